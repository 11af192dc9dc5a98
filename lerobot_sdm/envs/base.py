"""Base class of all point-cloud environments: options, spaces, time limits, images. A family adds its simulator."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lerobot_sdm.clouds.geometry import sample_or_pad
from lerobot_sdm.envs.cloud_sensor import CloudSensor, upright
from lerobot_sdm.envs.coordinate_frames import Frame
from lerobot_sdm.envs.depth_camera import GOAL, MARKER, VISIBLE_GEOM_GROUPS, RayDepthCamera, SceneCamera, open_camera
from lerobot_sdm.envs.options import FIXED_FRAMES, CloudOptions, check_chunk, options_of_view, require_positive
from lerobot_sdm.errors import check_known

# A ray-cast frame costs 2 microseconds per pixel, so cast small images and enlarge them.
MAX_RAYCAST_RENDER_SIZE = 96


@dataclass(frozen=True)
class Outcome:
    """Outcome of one control step.

    Args:
        reward: The simulator's reward.
        goal_steps: Number of the step's simulator steps at which the goal held.
        goal_reached: Whether the goal holds now.
        failed: Whether the episode can no longer succeed.
    """

    reward: float
    goal_steps: int
    goal_reached: bool
    failed: bool = False


class PointCloudEnv(gym.Env, ABC):
    """A simulated task observed as a point cloud and the robot's own position.

    Observation:
        agent_pos: (S,) float32, the robot's proprioception, defined by the family. No goal.
        point_cloud: (num_points, 3 or 6) float32 in farthest-point order, see `CloudOptions`.
        pixels: (camera_size, camera_size, 3) uint8, upright, the image that the cloud comes from; on request.

    Action: (A,) in -1..1.

    `info` contains `is_success`, the verdict that evaluations count; `goal_reached`, whether the goal holds now; and
    `success_steps`, the number of simulator steps of this episode at which it held. The scene is compiled and graphics
    opened at the first reset, because vector environments build their members before they start processes.

    Args:
        views: The views of the scene.
        view: Name of one of them.
        cameras: Names of the cameras that the scene has.
        agent_pos_size: S.
        action_size: A.
        episode_length: Control steps after which an episode is truncated.
        terminate_on_success: Whether the first success ends the episode. A final failure always does.
        pixels: Whether observations include the image.
        render_size: Height and width of `render()`'s frames.
        render_mode: Only `rgb_array` exists.
        n_action_steps: Leaves out the clouds that a policy with chunks of as many actions never reads: they are NaN
            but for the `n_obs_steps` at which it plans. None to make all of them.
        n_obs_steps: How many observations that policy plans from.
        cloud: Options of the cloud by name, see `CloudOptions`; the view's for None.

    Raises:
        InputError: For a value that cannot work, before anything is built.
    """

    human_camera: str
    """Camera for human viewers: small objects visible, no arm in the way."""

    frames: ClassVar[Collection[str]] = FIXED_FRAMES
    """Coordinate frames that clouds can have."""

    arm: ClassVar[Collection[str]] = ()
    """Bodies of the robot's arm, which a view can exclude."""

    hand: ClassVar[Collection[str]] = ()
    """Bodies of the robot's hand."""

    scenery: ClassVar[Collection[str]] = ("world",)
    """Bodies of table, floor and walls."""

    hand_in_agent_pos: ClassVar[slice | None] = None
    """Slice of `agent_pos` with the hand's position in the world, meters; None if it is not observed."""

    def __init__(
        self,
        views: Mapping[str, CloudOptions],
        *,
        view: str,
        cameras: Collection[str],
        agent_pos_size: int,
        action_size: int,
        episode_length: int,
        terminate_on_success: bool,
        pixels: bool = False,
        render_size: int = 256,
        render_mode: str = "rgb_array",
        n_action_steps: int | None = None,
        n_obs_steps: int = 2,
        **cloud: Any,
    ):
        options = options_of_view(views, view, **cloud)
        check_chunk(n_action_steps, n_obs_steps, pixels)
        check_known("camera", options.camera, cameras)
        check_known("frame", options.frame, self.frames)
        require_positive("episode_length", episode_length)
        require_positive("render_size", render_size)
        check_known("render_mode", render_mode, self.metadata["render_modes"])
        self.cloud_options = options
        self.render_mode = render_mode
        self._max_episode_steps = episode_length
        self._terminate_on_success = terminate_on_success
        self._pixels = pixels
        self._render_size = render_size
        self._n_action_steps = n_action_steps
        self._n_obs_steps = n_obs_steps

        unbounded = {"low": -np.inf, "high": np.inf, "dtype": np.float32}
        observations = {
            "agent_pos": spaces.Box(shape=(agent_pos_size,), **unbounded),
            "point_cloud": spaces.Box(shape=(options.num_points, options.channels), **unbounded),
        }
        if pixels:
            observations["pixels"] = spaces.Box(0, 255, (options.camera_size, options.camera_size, 3), np.uint8)
        self.observation_space = spaces.Dict(observations)
        self.action_space = spaces.Box(-1.0, 1.0, (action_size,), np.float32)

        self._model: mujoco.MjModel | None = None
        self._data: mujoco.MjData | None = None
        self._camera: SceneCamera | None = None
        self._sensor: CloudSensor | None = None
        self._frame_cache: NDArray[np.uint8] | None = None
        self._steps = 0
        self._success_steps = 0
        self._over = False

    @property
    @abstractmethod
    def task_description(self) -> str:
        """The task in a sentence."""

    @property
    @abstractmethod
    def expert_state(self) -> NDArray[np.float64]:
        """The simulator's full observation, goals included. For experts, never for policies."""

    @abstractmethod
    def _load(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """Build the simulator; called once before the first reset and once after each `close`."""

    @property
    @abstractmethod
    def frame(self) -> Frame:
        """The frame of the clouds, as the options name it."""

    @abstractmethod
    def _restart(self, seed: int | None, options: dict[str, Any]) -> None:
        """Draw a start state. With a seed it depends on the seed alone."""

    @abstractmethod
    def _advance(self, action: NDArray[np.float64]) -> Outcome:
        """One control step with a finite action of the right shape."""

    @abstractmethod
    def _agent_pos(self) -> NDArray[np.floating]:
        """(S,) as policies see it."""

    def _goal(self) -> NDArray[np.float64] | None:
        """(3,) where to draw the goal, None to draw none."""
        return None

    def _subsample(self, points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """A cloud of `count` rows of all points (n, C) in the crop.

        Must not draw from `np_random`: clouds may be left out, which must not change the episodes.
        """
        return sample_or_pad(points, count)

    def points_by_part(self) -> dict[str, int]:
        """Count a new cloud's points by the part of the scene that they lie on.

        For diagnosis: takes a new image, and leaves the environment's state unchanged.

        Returns:
            `hand`, `arm`, `scenery`, `goal`, `markers` or an object's name -> points. Parts that no point shows are
            missing; padding rows are not counted.
        """
        self._require_reset("points_by_part")
        points, geoms, _ = self._sensor.points(self._data, goal=self._goal())
        if not len(points):
            return {}
        cloud = self._subsample(points, self.cloud_options.num_points)
        cloud = cloud[(cloud != 0).any(axis=1)]
        nearest = cKDTree(points[:, :3]).query(cloud[:, :3])[1]
        return dict(Counter(self._part_of(geom) for geom in geoms[nearest]))

    @property
    def objects(self) -> set[str]:
        """Names of what stands in the scene besides robot and scenery, as `points_by_part` has them."""
        visible = np.flatnonzero(VISIBLE_GEOM_GROUPS[self._model.geom_group])
        return {self._part_of(geom) for geom in visible} - {"hand", "arm", "scenery"}

    def _part_of(self, geom: int) -> str:
        """The part of the scene that an entry of `Picture.geoms` belongs to."""
        if geom in (GOAL, MARKER):
            return "goal" if geom == GOAL else "markers"
        model = self._model
        body = int(model.geom_bodyid[geom])
        for part, bodies in (("hand", self.hand), ("arm", self.arm), ("scenery", self.scenery)):
            if model.body(body).name in bodies:
                return part
        return model.body(int(model.body_rootid[body])).name or f"body {model.body_rootid[body]}"

    def _verdict(self, outcome: Outcome, over: bool) -> bool:
        """Whether the episode counts as a success as of now: by default, once its goal has held.

        Args:
            outcome: Outcome of the current step, already included in the episode's counts.
            over: Whether the episode ends with this step, whatever the verdict.
        """
        return self._success_steps > 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Start an episode. With a seed it depends on the seed alone; without, it continues the stream."""
        super().reset(seed=seed)
        self._build()
        self._restart(seed, options or {})
        self._steps = self._success_steps = 0
        self._over = False
        self._frame_cache = None
        return self._observation(), {"is_success": False, "goal_reached": False, "success_steps": 0}

    def step(self, action: NDArray) -> tuple[dict[str, NDArray], float, bool, bool, dict[str, Any]]:
        """Advance by one control step. Actions beyond -1..1, which experts may return, are clipped."""
        self._require_reset("step")
        action = np.asarray(action, dtype=np.float64)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise ValueError(f"action: must be {self.action_space.shape[0]} finite numbers, got {action}.")
        outcome = self._advance(action)
        self._frame_cache = None
        self._steps += 1
        self._success_steps += outcome.goal_steps
        late = self._steps >= self._max_episode_steps
        success = self._verdict(outcome, over=outcome.failed or late)
        terminated = (success and self._terminate_on_success) or outcome.failed
        self._over = terminated or late
        info = {"is_success": success, "goal_reached": outcome.goal_reached, "success_steps": self._success_steps}
        observation = self._observation() if self._is_read() else self._without_clouds()
        return observation, outcome.reward, terminated, late and not terminated, info

    def render(self) -> NDArray[np.uint8]:
        """An upright (render_size, render_size, 3) uint8 frame of the scene as it is now.

        A second call before the next step costs nothing.
        """
        self._require_reset("render")
        if self._frame_cache is None:
            self._frame_cache = self._human_view()
        return self._frame_cache.copy()

    def close(self) -> None:
        """Free the scene and the graphics; a later reset builds them again."""
        if self._camera is not None:
            self._camera.close()
        self._model = self._data = self._camera = self._sensor = self._frame_cache = None

    def _require_reset(self, what: str) -> None:
        """Refuse to use what only exists from the first reset on.

        Raises:
            RuntimeError: There was none, or the environment has been closed since.
        """
        if self._model is None:
            raise RuntimeError(f"{what}: reset the environment first.")

    def _build(self) -> None:
        if self._model is None:
            (model, data), options = self._load(), self.cloud_options
            self._camera = open_camera(model, options.renderer, max(options.camera_size, self._render_size))
            self._sensor = CloudSensor(model, self._camera, options, self.frame, self._subsample, self.arm)
            self._model, self._data = model, data

    def _observation(self) -> dict[str, NDArray]:
        cloud, image = self._sensor.look(self._data, image=self._pixels, goal=self._goal())
        observation = {"agent_pos": self._agent_pos().astype(np.float32), "point_cloud": cloud}
        if self._pixels:
            observation["pixels"] = image
        return observation

    def _without_clouds(self) -> dict[str, NDArray]:
        """An observation that nobody plans from: all NaN but the robot's position."""
        parts = cast(dict[str, spaces.Box], self.observation_space)
        missing: dict[str, NDArray] = {key: np.full(part.shape, np.nan, np.float32) for key, part in parts.items()}
        return missing | {"agent_pos": self._agent_pos().astype(np.float32)}

    def _is_read(self) -> bool:
        """Whether a policy plans from the current observation, in this step or in one of the next."""
        # A batch repeats a finished member's last observation until all have finished, and plans for it too.
        if self._n_action_steps is None or self._over:
            return True
        until_next_plan = -self._steps % self._n_action_steps
        return until_next_plan < self._n_obs_steps

    def _human_view(self) -> NDArray[np.uint8]:
        data, size = self._data, self._render_size
        small = min(size, MAX_RAYCAST_RENDER_SIZE) if isinstance(self._camera, RayDepthCamera) else size
        picture = self._camera.photograph(data, self.human_camera, small, self._goal())
        nearest = np.arange(size) * small // size
        enlarged = picture[nearest][:, nearest]
        return upright(enlarged, data.camera(self.human_camera).xmat.reshape(3, 3))
