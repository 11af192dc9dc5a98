"""Views of MetaWorld's scenes. Imports no simulator."""

from dataclasses import replace

from lerobot_sdm.envs.options import CloudOptions

# Made for learning. The box starts just above the table, so that the table top does not take most of the points, and
# ends around what a task can reach. The arm is dropped, because it adds nothing to the state. Clouds are relative to
# the hand: actions depend on positions relative to it, which ten demonstrations are too few to learn.
WORKSPACE = CloudOptions(num_points=160, frame="hand", crop=((-0.65, 0.23, 0.004), (0.65, 0.975, 0.7)), show_arm=False)

# View of the DP3 demonstrations, so that stores and checkpoints of the DP3 family fit: camera-centered frame, table and
# robot in the box, and MetaWorld's own markers drawn.
DP3 = CloudOptions(num_points=512, frame="legacy", show_goal=False, show_markers=True)

TABLE_TOPS = {"hand-insert": 0.05, "sweep-into": 0.05, "pick-out-of-hole": 0.054}
"""Heights of the tables that have a hole, meters; all others end at 0."""

CEILINGS = {"shelf-place": 0.4}
"""Tops of other boxes: the unused upper half of the shelf would take nine of ten points."""

SEEN_IN_THE_WORLD = ("sweep-into", "pick-out-of-hole", "shelf-place")
"""Tasks with clouds in the world frame: two move to a fixed hole in the table that no cloud shows, and on shelf-place
policies learned less from clouds relative to the hand (docs/notes/teacher_recipe.md)."""


def views(task: str) -> dict[str, CloudOptions]:
    """The views of a task by name, as `--env.view`; see docs/views.md.

    Args:
        task: Short name of a task. The default view depends on it in table and ceiling height, and frame.
    """
    (left, near, floor), (right, far, ceiling) = WORKSPACE.crop
    crop = ((left, near, floor + TABLE_TOPS.get(task, 0.0)), (right, far, CEILINGS.get(task, ceiling)))
    frame = "world" if task in SEEN_IN_THE_WORLD else WORKSPACE.frame
    return {"workspace": replace(WORKSPACE, crop=crop, frame=frame), "dp3": DP3}
