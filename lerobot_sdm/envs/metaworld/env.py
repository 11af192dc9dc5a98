"""MetaWorld's tasks with point clouds.

What a cloud shows limits what a policy can learn: the default view is made for learning, and the view `dp3` is that of
the DP3 demonstrations; see `envs.metaworld.views`.
"""

import functools
import importlib.resources
import json
from pkgutil import resolve_name
from typing import Any

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv
from numpy.typing import NDArray

from lerobot_sdm.clouds.geometry import rotation_x, rotation_y, rotation_z
from lerobot_sdm.envs.base import Outcome, PointCloudEnv
from lerobot_sdm.envs.coordinate_frames import Frame, world_frame
from lerobot_sdm.envs.metaworld.tasks import CAMERAS, CONTROL_RATE, EXTRA_TASKS, HIDDEN_GOALS, short_name
from lerobot_sdm.envs.metaworld.views import views
from lerobot_sdm.envs.options import DEFAULT_VIEW

# DP3 moves `corner2` from where MetaWorld has it. The camera hangs upside down.
CORNER2_POSITION = np.array([0.6, 0.295, 0.8])
CORNER2_ROTATION = rotation_x(3.9) @ rotation_y(2.3) @ rotation_z(0.6)

ARM = (
    *("base", "controller_box", "pedestal_feet", "torso", "pedestal", "right_arm_base_link", "head", "screen"),
    *("right_l0", "right_l1", "right_l2", "right_l3", "right_l4", "right_l5", "right_l6", "right_l1_2"),
)
HAND = ("right_hand", "hand", "rightclaw", "rightpad", "leftclaw", "leftpad")
SCENERY = ("world", "tablelink", "RetainingWall", "mocap")

# The table top is at z = 0.
WORLD_CROP = ((-0.7, 0.2, -0.02), (0.7, 1.05, 0.9))


def legacy_frame() -> Frame:
    """The frame of the DP3 demonstrations: centered on the camera, z up within half a degree, rotated by -130°.

    DP3 takes camera coordinates of `corner2`, never applies the camera's pose, and rotates them by two fixed
    angles. Here it is a transform from the world, so that it also holds for other cameras.
    """
    to_frame = rotation_x(np.deg2rad(-61.4)) @ rotation_y(np.deg2rad(-7.0)) @ CORNER2_ROTATION.T
    return Frame(
        rotation=to_frame,
        translation=-to_frame @ CORNER2_POSITION,
        crop=((-0.5, -1.5, -0.795), (1.0, -0.4, 100.0)),
        pixel_offset=0.0,
    )


FRAME_BUILDERS = {
    "legacy": legacy_frame,
    "world": functools.partial(world_frame, WORLD_CROP),
    "hand": functools.partial(world_frame, WORLD_CROP, origin="hand"),
}


class MetaWorldPointCloudEnv(PointCloudEnv):
    """A MetaWorld task; see `PointCloudEnv` for observations.

    `agent_pos` is (9,): hand body, right finger site, left finger site, in world meters; if the hand is the clouds'
    origin, relative to the hand, whose own position is then 0. An action is (4,): hand displacement in centimeters per
    12.5 ms step, then gripper effort. Success is MetaWorld's, at any step.

    If the goal is only a point in the air (`envs.metaworld.tasks.HIDDEN_GOALS`), nothing in the scene shows it, so the
    default view draws a ball there.

    For the arguments, see the fields of `MetaWorldPointCloudEnvConfig`; `task` is a single one.

    Raises:
        InputError: For a value that cannot work, before anything is built.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": CONTROL_RATE}  # noqa: RUF012 - Gymnasium's convention
    human_camera = "corner2"
    frames = tuple(FRAME_BUILDERS)
    arm = ARM
    hand = HAND
    scenery = SCENERY
    hand_in_agent_pos = slice(0, 3)

    def __init__(
        self,
        task: str = "drawer-open",
        view: str = DEFAULT_VIEW,
        episode_length: int = 200,
        terminate_on_success: bool = True,
        **options: Any,
    ):
        self.task = short_name(task)
        super().__init__(
            views(self.task),
            view=view,
            cameras=CAMERAS,
            agent_pos_size=9,
            action_size=4,
            episode_length=episode_length,
            terminate_on_success=terminate_on_success,
            **options,
        )
        self._sim: SawyerXYZEnv | None = None
        self._state: NDArray[np.float64] | None = None

    @property
    def task_description(self) -> str:
        described = getattr(task_class(self.task), "task_description", None)
        return described or _lerobot_descriptions().get(f"{self.task}-v3", self.task.replace("-", " "))

    @property
    def simulator(self) -> SawyerXYZEnv:
        """MetaWorld's own environment. For experts, which must not change it."""
        self._require_reset("simulator")
        return self._sim

    @property
    def expert_state(self) -> NDArray[np.float64]:
        """(39,) MetaWorld's full observation including the goal."""
        self._require_reset("expert_state")
        return self._state

    def _load(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        self._sim = make_sim(self.task)
        self._sim.max_path_length = max(self._sim.max_path_length, self._max_episode_steps)
        return self._sim.model, self._sim.data

    def close(self) -> None:
        super().close()
        self._sim = self._state = None

    @property
    def frame(self) -> Frame:
        return FRAME_BUILDERS[self.cloud_options.frame]()

    def _restart(self, seed: int | None, options: dict[str, Any]) -> None:
        sim = self._sim
        if seed is not None:
            # MetaWorld ignores the seed given to its reset.
            sim.seed(seed)
        sim.reset()
        # Tasks move bodies in the model at the end of their reset and leave the positions derived from them
        # as they were in the previous episode.
        mujoco.mj_forward(sim.model, sim.data)
        sim._prev_obs = sim._get_curr_obs_combined_no_goal()
        self._state = sim._get_obs().astype(np.float64)
        self._place_markers()

    def _advance(self, action: NDArray[np.float64]) -> Outcome:
        # MetaWorld clips actions by itself.
        self._state, reward, _, _, info = self._sim.step(action)
        self._place_markers()
        success = bool(info["success"])
        # Tasks of this package may end an episode that can no longer succeed.
        return Outcome(float(reward), int(success), success, bool(info.get("failed", False)))

    def _place_markers(self) -> None:
        """Move the goal's markers to this episode's goal, as MetaWorld v2 did.

        MetaWorld v3 moves them in its step, too, but then computes all positions again from the model, in which most
        markers are elsewhere.
        """
        for name, position in self._sim._target_site_config:
            self._sim.data.site(name).xpos[:] = position[:3]

    def _agent_pos(self) -> NDArray[np.float64]:
        data = self._sim.data
        hand, fingers = data.body("hand").xpos, ("rightEndEffector", "leftEndEffector")
        positions = np.array([hand, *(data.site(finger).xpos for finger in fingers)])
        return (positions - hand if self.cloud_options.frame == "hand" else positions).ravel()

    def _goal(self) -> NDArray[np.float64] | None:
        shown = self.cloud_options.show_goal
        return self._sim._target_pos if (self.task in HIDDEN_GOALS if shown is None else shown) else None


def make_sim(task: str) -> SawyerXYZEnv:
    """Build MetaWorld's own environment of a task, its randomness drawn from `seed()`, goal in its state."""
    sim = task_class(task)()
    # MetaWorld caches the space of the goal-less observation, and clips observations to it.
    sim._partially_observable = False
    del sim.sawyer_observation_space
    sim._freeze_rand_vec = False
    sim.seeded_rand_vec = True
    # Replaces `set_task` with a pickled task; here the seed determines the task.
    sim._set_task_called = True
    sim.model.camera("corner2").pos[:] = CORNER2_POSITION
    return sim


def task_class(task: str) -> type[SawyerXYZEnv]:
    """The simulator class of a task given by its short name."""
    if task in EXTRA_TASKS:
        return resolve_name(EXTRA_TASKS[task])
    return ALL_V3_ENVIRONMENTS[f"{task}-v3"]


@functools.cache
def _lerobot_descriptions() -> dict[str, str]:
    """One sentence per MetaWorld task, as LeRobot ships them: datasets recorded elsewhere use the same."""
    text = importlib.resources.files("lerobot.envs").joinpath("metaworld_config.json").read_text()
    return json.loads(text)["TASK_DESCRIPTIONS"]
