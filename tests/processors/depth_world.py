"""A table with a ball and a block under a depth camera, as a Gymnasium environment and as a LeRobot robot.

MuJoCo renders; where every surface lies is known from the scene's description.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.robots import Robot, RobotConfig

from lerobot_sdm.envs.depth_camera import open_camera

SIZE = 64
FOVY = 25.0
BALL_RADIUS = 0.06
BLOCK_CENTER, BLOCK_HALF = np.array([0.12, 0.1, 0.04]), np.array([0.05, 0.03, 0.04])
DEPTH_KEY, COLOR_KEY = "observation.images.front_depth", "observation.images.front"
CROP = [[-0.3, -0.3, 0.005], [0.3, 0.3, 0.4]]

SCENE = f"""
<mujoco>
  <visual><map znear="0.02" zfar="10"/><quality numslices="128" numstacks="128"/></visual>
  <worldbody>
    <light pos="0 0 2"/>
    <geom name="table" type="plane" size="2 2 0.1" rgba="0.6 0.6 0.6 1"/>
    <geom name="block" type="box" pos="0.12 0.1 0.04" size="0.05 0.03 0.04" rgba="0 0 1 1"/>
    <body name="ball" mocap="true" pos="0 0 {BALL_RADIUS}">
      <geom type="sphere" size="{BALL_RADIUS}" rgba="1 0 0 1"/>
    </body>
    <camera name="front" pos="0.7 -0.3 0.6" xyaxes="0.4 1 0 -0.62 0.25 0.78" fovy="{FOVY}"/>
  </worldbody>
</mujoco>
"""


class DepthWorld(gym.Env):
    """The ball is pushed around; observed are its position and a depth image in millimeters."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, length: int = 6):
        self.model = mujoco.MjModel.from_xml_string(SCENE)
        self.data = mujoco.MjData(self.model)
        self.camera = open_camera(self.model, "auto", SIZE)
        self._max_episode_steps = length
        self.task = self.task_description = "push"
        self.render_mode = "rgb_array"
        self.observation_space = gym.spaces.Dict(
            {
                "agent_pos": gym.spaces.Box(-1, 1, (2,), np.float32),
                "depth": gym.spaces.Box(0, 65535, (SIZE, SIZE, 1), np.uint16),
                "pixels": gym.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
            }
        )
        self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.data.mocap_pos[0] = [*self.np_random.uniform(-0.1, 0.1, 2), BALL_RADIUS]
        return self.observe(), {"is_success": False}

    def step(self, action):
        self.steps += 1
        self.data.mocap_pos[0, :2] = np.clip(self.data.mocap_pos[0, :2] + 0.02 * np.asarray(action), -0.2, 0.2)
        return self.observe(), 0.0, False, self.steps >= self._max_episode_steps, {"is_success": False}

    def look(self):
        """The picture with depth in meters, of the scene as it stands."""
        mujoco.mj_forward(self.model, self.data)
        return self.camera.take(self.data, "front", SIZE, color=True)

    def observe(self) -> dict[str, np.ndarray]:
        picture = self.look()
        millimeters = np.where(picture.depth < 60, np.rint(picture.depth * 1000), 0).astype(np.uint16)[..., None]
        position = self.data.mocap_pos[0, :2].astype(np.float32)
        return {"agent_pos": position, "depth": millimeters, "pixels": picture.color.copy()}

    def render(self):
        return self.look().color

    def close(self):
        self.camera.close()

    def calibration(self, convention: str = "opencv", **changes) -> dict:
        """What a calibration of this camera finds, as plain values.

        MuJoCo's camera looks along its own -z with y up; OpenCV's axes are the same with y and z reversed.
        """
        mujoco.mj_forward(self.model, self.data)
        pose = np.eye(4)
        pose[:3, :3] = self.data.cam_xmat[0].reshape(3, 3) * ([1, -1, -1] if convention == "opencv" else 1)
        pose[:3, 3] = self.data.cam_xpos[0]
        focal = SIZE / 2 / math.tan(math.radians(FOVY / 2))
        center = (SIZE - 1) / 2
        camera = {
            "depth_key": DEPTH_KEY,
            "width": SIZE,
            "height": SIZE,
            "intrinsics": [focal, focal, center, center],
            "extrinsics": pose.tolist(),
            "convention": convention,
        }
        return camera | changes


def distance_to_surfaces(points: np.ndarray, ball: np.ndarray) -> np.ndarray:
    """(n,) meters from points (n, 3) to the nearest of table, block and ball."""
    beyond = np.abs(points - BLOCK_CENTER) - BLOCK_HALF
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
    block = np.abs(outside + np.minimum(beyond.max(axis=1), 0))
    sphere = np.abs(np.linalg.norm(points - ball, axis=1) - BALL_RADIUS)
    return np.min([np.abs(points[:, 2]), block, sphere], axis=0)


@EnvConfig.register_subclass("depth_world")
@dataclass
class DepthWorldEnvConfig(EnvConfig):
    """The environment for `lerobot-eval`."""

    task: str = "push"
    fps: int = 10
    features: dict[str, PolicyFeature] = field(
        default_factory=lambda: {
            "action": PolicyFeature(FeatureType.ACTION, (2,)),
            "agent_pos": PolicyFeature(FeatureType.STATE, (2,)),
            "depth": PolicyFeature(FeatureType.VISUAL, (SIZE, SIZE, 1)),
            "pixels": PolicyFeature(FeatureType.VISUAL, (SIZE, SIZE, 3)),
        }
    )
    features_map: dict[str, str] = field(
        default_factory=lambda: {
            "action": "action",
            "agent_pos": "observation.state",
            "depth": "observation.depth",
            "pixels": "observation.image",
        }
    )

    @property
    def gym_kwargs(self) -> dict:
        return {}

    def create_envs(self, n_envs: int, use_async_envs: bool = False):
        return {"depth_world": {0: gym.vector.SyncVectorEnv([DepthWorld] * n_envs)}}


@RobotConfig.register_subclass("depth_world_robot")
@dataclass
class DepthWorldRobotConfig(RobotConfig):
    """The robot for `lerobot-rollout`."""

    log: Path | None = None


class DepthWorldRobot(Robot):
    """Gives observations as LeRobot's robots with a RealSense do: joints by name, `<camera>_depth` in uint16."""

    config_class = DepthWorldRobotConfig
    name = "depth_world_robot"

    def __init__(self, config: DepthWorldRobotConfig):
        super().__init__(config)
        self.config = config
        self.world = None

    @property
    def observation_features(self) -> dict:
        return {"x.pos": float, "y.pos": float, "front": (SIZE, SIZE, 3), "front_depth": (SIZE, SIZE, 1)}

    @property
    def action_features(self) -> dict:
        return {"x.pos": float, "y.pos": float}

    @property
    def is_connected(self) -> bool:
        return self.world is not None

    @property
    def is_calibrated(self) -> bool:
        return True

    def connect(self, calibrate: bool = True) -> None:
        self.world = DepthWorld()
        self.world.reset(seed=0)

    def calibrate(self) -> None:
        pass

    def configure(self) -> None:
        pass

    def get_observation(self) -> dict:
        observation = self.world.observe()
        x, y = observation["agent_pos"]
        cameras = {"front": observation["pixels"], "front_depth": observation["depth"]}
        return {"x.pos": float(x), "y.pos": float(y), **cameras}

    def send_action(self, action: dict) -> dict:
        if self.config.log is not None:
            with self.config.log.open("a") as file:
                file.write(f"{action['x.pos']} {action['y.pos']}\n")
        self.world.step([action["x.pos"], action["y.pos"]])
        return action

    def disconnect(self) -> None:
        self.world.close()
        self.world = None
