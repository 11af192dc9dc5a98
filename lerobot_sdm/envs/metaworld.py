"""MetaWorld's tasks seen through point clouds.

The default frame, camera and crop are those of the DP3 demonstrations, so that datasets converted from them
and policies trained on them fit. MetaWorld's own markers of the goal never appear in what a policy sees.
"""

import functools
import importlib
import importlib.resources
import json
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv
from numpy.typing import NDArray

from lerobot_sdm.clouds.geometry import rotation_x, rotation_y, rotation_z
from lerobot_sdm.envs.cloud_sensor import CloudSensor, Frame, upright
from lerobot_sdm.envs.depth_camera import DepthCamera, RayDepthCamera, open_camera
from lerobot_sdm.envs.options import CloudOptions, require_positive
from lerobot_sdm.envs.tasks import EXTRA_TASKS, short_name
from lerobot_sdm.errors import unknown_name

# DP3 moves `corner2` from where MetaWorld has it. The camera hangs upside down.
CORNER2_POSITION = np.array([0.6, 0.295, 0.8])
CORNER2_ROTATION = rotation_x(3.9) @ rotation_y(2.3) @ rotation_z(0.6)

# For people watching: close enough to see small objects, the arm not in the way.
HUMAN_CAMERA = "corner2"
# A ray-cast frame costs 2 microseconds per pixel: small pictures, enlarged.
MAX_RAYCAST_RENDER_SIZE = 96


def legacy_frame() -> Frame:
    """The frame of the DP3 demonstrations: centred on the camera, z up but for half a degree, turned by -130°.

    DP3 takes camera coordinates of `corner2`, never applies the camera's pose, and turns them by two fixed
    angles. Written here as a transform from the world, so that it also holds for other cameras.
    """
    to_frame = rotation_x(np.deg2rad(-61.4)) @ rotation_y(np.deg2rad(-7.0)) @ CORNER2_ROTATION.T
    return Frame(
        rotation=to_frame,
        translation=-to_frame @ CORNER2_POSITION,
        crop=((-0.5, -1.5, -0.795), (1.0, -0.4, 100.0)),
        pixel_offset=0.0,
    )


def world_frame() -> Frame:
    """MuJoCo's own frame: metres, z up, the table top at z = 0; the box holds the table and all above it."""
    return Frame(
        rotation=np.eye(3),
        translation=np.zeros(3),
        crop=((-0.7, 0.2, -0.02), (0.7, 1.05, 0.9)),
        pixel_offset=0.5,
    )


FRAME_BUILDERS = {"legacy": legacy_frame, "world": world_frame}


class MetaWorldPointCloudEnv(gym.Env):
    """One MetaWorld task, observed as a point cloud and the positions of hand and fingers.

    Observation:
        agent_pos: (9,) float32, world metres: hand body, right finger site, left finger site. No goal.
        point_cloud: (num_points, 3 or 6) float32 in farthest-point order, see `CloudOptions`.
        pixels: (camera_size, camera_size, 3) uint8, upright, the picture behind the cloud; if asked for.

    Action: (4,) in -1..1: hand displacement in centimetres per 12.5 ms step, then gripper effort.

    `info` holds `is_success`, whether the task is solved now, and `success_steps`, how many steps of this
    episode it was. The scene is compiled and graphics opened at the first reset: vector environments build
    their members before they start processes.

    Where the goal is only a point in the air (reach, push, pick-place and the like) nothing but
    `show_goal=True` lets a policy see it.

    Args:
        task: A name from `envs.tasks`, with or without `-v3`.
        num_points, use_color, camera, camera_size, frame, crop, renderer, show_goal: See `CloudOptions`.
        episode_length: Steps after which an episode is truncated.
        terminate_on_success: Whether the first success ends the episode. A failure that is final always does.
        pixels: Whether observations hold the picture.
        render_size: Height and width of `render()`'s frames.
        render_mode: Only `rgb_array`, the default, exists.

    Raises:
        InputError: For a value that cannot work, before anything is built.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}  # noqa: RUF012 - Gymnasium's convention

    def __init__(
        self,
        task: str = "drawer-open",
        num_points: int = 512,
        use_color: bool = False,
        camera: str = "corner2",
        camera_size: int = 128,
        frame: str = "legacy",
        crop: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
        renderer: str = "auto",
        episode_length: int = 200,
        terminate_on_success: bool = True,
        pixels: bool = False,
        show_goal: bool = False,
        render_size: int = 256,
        render_mode: str = "rgb_array",
    ):
        self.task = short_name(task)
        self.cloud_options = CloudOptions(num_points, use_color, camera, camera_size, frame, crop, renderer, show_goal)
        require_positive("episode_length", episode_length)
        require_positive("render_size", render_size)
        if render_mode not in self.metadata["render_modes"]:
            raise unknown_name("render_mode", str(render_mode), self.metadata["render_modes"])
        self.render_mode = render_mode
        self._max_episode_steps = episode_length
        self._terminate_on_success = terminate_on_success
        self._pixels = pixels
        self._render_size = render_size

        unbounded = {"low": -np.inf, "high": np.inf, "dtype": np.float32}
        observations = {
            "agent_pos": spaces.Box(shape=(9,), **unbounded),
            "point_cloud": spaces.Box(shape=(num_points, self.cloud_options.channels), **unbounded),
        }
        if pixels:
            observations["pixels"] = spaces.Box(0, 255, (camera_size, camera_size, 3), np.uint8)
        self.observation_space = spaces.Dict(observations)
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)

        self._sim: SawyerXYZEnv | None = None
        self._camera: DepthCamera | None = None
        self._sensor: CloudSensor | None = None
        self._state: NDArray[np.float64] | None = None
        self._frame_cache: NDArray[np.uint8] | None = None
        self._steps = 0
        self._success_steps = 0

    @property
    def task_description(self) -> str:
        """What to do, in a sentence."""
        described = getattr(task_class(self.task), "task_description", None)
        return described or _lerobot_descriptions().get(f"{self.task}-v3", self.task.replace("-", " "))

    @property
    def expert_state(self) -> NDArray[np.float64]:
        """(39,) MetaWorld's full observation including the goal. For scripted experts, never for policies."""
        if self._state is None:
            raise RuntimeError("expert_state: reset the environment first.")
        return self._state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Start an episode. With a seed it depends on the seed alone; without, it continues the stream."""
        super().reset(seed=seed)
        sim = self._build()
        if seed is not None:
            # MetaWorld ignores the seed given to its reset.
            sim.seed(seed)
        sim.reset()
        # Tasks move bodies in the model at the end of their reset and leave the positions derived from them
        # as they were in the previous episode.
        mujoco.mj_forward(sim.model, sim.data)
        sim._prev_obs = sim._get_curr_obs_combined_no_goal()
        self._state = sim._get_obs().astype(np.float64)
        self._steps = self._success_steps = 0
        self._frame_cache = None
        return self._observation(), {"is_success": False, "success_steps": 0}

    def step(self, action: NDArray) -> tuple[dict[str, NDArray], float, bool, bool, dict[str, Any]]:
        """Advance by 12.5 ms. Actions beyond -1..1, as scripted experts give, are clipped by MetaWorld."""
        if self._sim is None:
            raise RuntimeError("step: reset the environment first.")
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (4,) or not np.isfinite(action).all():
            raise ValueError(f"action: four finite numbers are needed, got {action}.")
        state, reward, _, _, sim_info = self._sim.step(action)
        self._state = state
        self._frame_cache = None
        self._steps += 1
        success = bool(sim_info["success"])
        self._success_steps += success
        # Tasks of this package may end an episode that can no longer succeed.
        terminated = (success and self._terminate_on_success) or bool(sim_info.get("failed", False))
        truncated = not terminated and self._steps >= self._max_episode_steps
        info = {"is_success": success, "success_steps": self._success_steps}
        return self._observation(), float(reward), terminated, truncated, info

    def render(self) -> NDArray[np.uint8]:
        """An upright (render_size, render_size, 3) uint8 frame of the scene as it is now.

        A second call before the next step costs nothing.
        """
        if self._sim is None:
            raise RuntimeError("render: reset the environment first.")
        if self._frame_cache is None:
            self._frame_cache = self._human_view()
        return self._frame_cache.copy()

    def close(self) -> None:
        """Free the scene and the graphics; a later reset builds them again."""
        if self._camera is not None:
            self._camera.close()
        self._sim = self._camera = self._sensor = self._state = self._frame_cache = None

    def _build(self) -> SawyerXYZEnv:
        if self._sim is None:
            sim = make_sim(self.task)
            sim.max_path_length = max(sim.max_path_length, self._max_episode_steps)
            options = self.cloud_options
            self._camera = open_camera(sim.model, options.renderer, max(options.camera_size, self._render_size))
            self._sensor = CloudSensor(sim.model, self._camera, options, FRAME_BUILDERS[options.frame]())
            self._sim = sim
        return self._sim

    def _goal(self) -> NDArray[np.float64] | None:
        return self._sim._target_pos if self.cloud_options.show_goal else None

    def _observation(self) -> dict[str, NDArray]:
        data = self._sim.data
        fingers = [data.site("rightEndEffector").xpos, data.site("leftEndEffector").xpos]
        hand_and_fingers = np.concatenate([data.body("hand").xpos, *fingers]).astype(np.float32)
        cloud, image = self._sensor.look(data, image=self._pixels, goal=self._goal())
        observation = {"agent_pos": hand_and_fingers, "point_cloud": cloud}
        if self._pixels:
            observation["pixels"] = image
        return observation

    def _human_view(self) -> NDArray[np.uint8]:
        data, size = self._sim.data, self._render_size
        small = min(size, MAX_RAYCAST_RENDER_SIZE) if isinstance(self._camera, RayDepthCamera) else size
        picture = self._camera.take(data, HUMAN_CAMERA, small, colour=True, goal=self._goal())
        nearest = np.arange(size) * small // size
        enlarged = picture.colour[nearest][:, nearest]
        return upright(enlarged, data.camera(HUMAN_CAMERA).xmat.reshape(3, 3))


def make_sim(task: str) -> SawyerXYZEnv:
    """Build MetaWorld's own environment of a task, its randomness drawn from `seed()`, goal in its state."""
    sim = task_class(task)()
    # MetaWorld caches the space of the goal-less observation, and clips observations to it.
    sim._partially_observable = False
    del sim.sawyer_observation_space
    sim._freeze_rand_vec = False
    sim.seeded_rand_vec = True
    # What `set_task` would do with a pickled task; here the task is whatever the seed makes it.
    sim._set_task_called = True
    sim.model.camera("corner2").pos[:] = CORNER2_POSITION
    return sim


def task_class(task: str) -> type[SawyerXYZEnv]:
    """The simulator class of a task given by its short name."""
    if task in EXTRA_TASKS:
        module, name = EXTRA_TASKS[task].split(":")
        return getattr(importlib.import_module(module), name)
    return ALL_V3_ENVIRONMENTS[f"{task}-v3"]


@functools.cache
def _lerobot_descriptions() -> dict[str, str]:
    """One sentence per MetaWorld task, as LeRobot ships them: datasets recorded elsewhere use the same."""
    text = importlib.resources.files("lerobot.envs").joinpath("metaworld_config.json").read_text()
    return json.loads(text)["TASK_DESCRIPTIONS"]
