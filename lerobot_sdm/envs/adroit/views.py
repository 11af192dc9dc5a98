"""How Adroit's scenes are looked at. Light: no simulator is imported."""

from dataclasses import replace

from lerobot_sdm.envs.hand_task import HandTask
from lerobot_sdm.envs.options import CloudOptions

DEFAULT_VIEW = "workspace"


def views(task: HandTask) -> dict[str, CloudOptions]:
    """The views of a task by name, as `--env.view`. docs/views.md says what each shows.

    Boxes of both leave out table and floor, and nothing else stands there: what a tighter box would leave out is the
    forearm, which hides as much as it shows.
    """
    dp3 = CloudOptions(
        num_points=512, camera=task.camera, camera_size=84, frame="legacy", show_goal=False, show_markers=True
    )
    workspace = replace(dp3, num_points=320, camera_size=128, show_goal=None, show_markers=False, show_arm=False)
    return {"workspace": workspace, "dp3": dp3}
