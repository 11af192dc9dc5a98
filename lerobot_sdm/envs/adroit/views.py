"""Views of Adroit's scenes. Imports no simulator."""

from dataclasses import replace

from lerobot_sdm.envs.hand_task import HandTask
from lerobot_sdm.envs.options import CloudOptions


def views(task: HandTask) -> dict[str, CloudOptions]:
    """The views of a task by name, as `--env.view`. See docs/views.md for what each shows.

    Both boxes exclude table and floor, and nothing else stands there. A tighter box would only exclude the forearm.
    """
    dp3 = CloudOptions(
        num_points=512, camera=task.camera, camera_size=84, frame="legacy", show_goal=False, show_markers=True
    )
    workspace = replace(dp3, num_points=320, camera_size=128, show_goal=None, show_markers=False, show_arm=False)
    return {"workspace": workspace, "dp3": dp3}
