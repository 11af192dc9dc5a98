"""How MetaWorld's scenes are looked at. Light: no simulator is imported."""

from dataclasses import replace

from lerobot_sdm.envs.options import CloudOptions

DEFAULT_VIEW = "workspace"

# Made for learning. The box begins just above the table, where the table top does not take most of the points, and ends
# around what a task can reach. The arm says nothing that the state does not. And all is seen from the hand: what to do
# depends on where things are from there, and ten demonstrations cannot show that it depends on nothing else.
WORKSPACE = CloudOptions(num_points=160, frame="hand", crop=((-0.65, 0.23, 0.004), (0.65, 0.975, 0.7)), show_arm=False)

# That of the DP3 demonstrations, so that stores and checkpoints of the DP3 family fit: camera-centered frame, table and
# robot in the box, and MetaWorld's own markers drawn.
DP3 = CloudOptions(num_points=512, frame="legacy", show_goal=False, show_markers=True)

TABLE_TOPS = {"hand-insert": 0.05, "sweep-into": 0.05, "pick-out-of-hole": 0.054}
"""Heights of the tables that have a hole, meters; all others end at 0."""

CEILINGS = {"shelf-place": 0.4}
"""Where the box ends elsewhere: the upper half of the shelf, where nothing goes, would take nine of ten points."""

SEEN_IN_THE_WORLD = ("sweep-into", "pick-out-of-hole", "shelf-place")
"""Tasks that are seen in the world's frame: two go to a hole in the table, always the same, that no cloud shows, and of
shelf-place a policy that sees it from the hand learned less (docs/notes/teacher_recipe.md)."""


def views(task: str) -> dict[str, CloudOptions]:
    """The views of a task by name, as `--env.view`. docs/views.md says what each shows.

    Args:
        task: Short name of a task. The default view differs in height of table and ceiling, and for three in the frame.
    """
    (left, near, floor), (right, far, ceiling) = WORKSPACE.crop
    crop = ((left, near, floor + TABLE_TOPS.get(task, 0.0)), (right, far, CEILINGS.get(task, ceiling)))
    frame = "world" if task in SEEN_IN_THE_WORLD else WORKSPACE.frame
    return {"workspace": replace(WORKSPACE, crop=crop, frame=frame), "dp3": DP3}
