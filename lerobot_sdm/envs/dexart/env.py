"""DexArt's tasks with point clouds: an arm with a dexterous hand, and objects that open and turn."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lerobot_sdm.envs.base import Outcome, PointCloudEnv
from lerobot_sdm.envs.coordinate_frames import Frame
from lerobot_sdm.envs.dexart.control import ACTION_SIZE, TWIST, TWIST_LIMIT, arm_velocity, finger_targets
from lerobot_sdm.envs.dexart.imagination import COLUMNS, IMAGINED_LINKS, MODES, POINTS, imagine, template
from lerobot_sdm.envs.dexart.robot import ARM_LINKS, LINKS, PALM
from lerobot_sdm.envs.dexart.sources import body_source
from lerobot_sdm.envs.dexart.state import Measured
from lerobot_sdm.envs.dexart.tasks import RULE_SETS, DexArtTask, dexart_task
from lerobot_sdm.envs.dexart.views import (
    HUMAN,
    OBSERVER,
    SAMPLINGS,
    VIEW_SAMPLINGS,
    jittered,
    noisy_sample,
    observer,
    robot_frame,
    views,
)
from lerobot_sdm.envs.dexart.world import MuJoCoWorld
from lerobot_sdm.envs.options import DEFAULT_VIEW, require_not_negative
from lerobot_sdm.errors import check_known

MOST_OVERLAP, MOST_STARTS = 0.001, 100
"""Starts with the hand deeper than this inside the object, meters, are redrawn, up to this many times."""


class DexArtPointCloudEnv(PointCloudEnv):
    """A DexArt task; see `PointCloudEnv` for observations. Short clouds repeat their first point.

    `agent_pos` is (32,): angles of the 22 joints, velocity, spin and position of the palm in the world, and the share
    of the rule set's time that is over, whatever `episode_length`; for the bucket (33,), with how far the palm faces up
    before the last. An action is linear and angular velocity of the last arm link in the robot's frame, 1 m/s and
    1 rad/s, and a set point for each finger joint, -1 and 1 the ends of its range. It is held for 40 ms. Points of the
    hand are an observation `imagin_robot` (96, 7), or the first 96 rows of the cloud, if they are asked for.

    For the arguments, see the fields of `DexArtPointCloudEnvConfig`.

    Raises:
        InputError: For an invalid value, or incomplete official assets, before anything is built.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012 - Gymnasium's convention
    human_camera = HUMAN
    arm = ARM_LINKS
    hand = (PALM, *LINKS.keys() - {PALM, *ARM_LINKS})
    hand_in_agent_pos = slice(28, 31)

    def __init__(
        self,
        task: str = "laptop",
        objects: str = "seen",
        assets_dir: str | Path | None = None,
        rule_set: str = "dp3",
        imagin_robot: str = "none",
        sampling: str | None = None,
        cloud_noise: float = 0.005,
        camera_jitter: float = 1.0,
        view: str = DEFAULT_VIEW,
        episode_length: int | None = None,
        terminate_on_success: bool = True,
        **options: Any,
    ):
        task_class = dexart_task(task)
        check_known("rule_set", rule_set, RULE_SETS)
        check_known("imagin_robot", imagin_robot, MODES)
        check_known("view", view, VIEW_SAMPLINGS)
        sampling = sampling or VIEW_SAMPLINGS[view]
        check_known("sampling", sampling, SAMPLINGS)
        require_not_negative("cloud_noise", cloud_noise)
        require_not_negative("camera_jitter", camera_jitter)
        rules = RULE_SETS[rule_set]
        self._source, self.object_names = body_source(assets_dir, task, objects)
        super().__init__(
            views(rules),
            view=view,
            cameras=(OBSERVER, HUMAN),
            agent_pos_size=task_class.agent_pos_size,
            action_size=ACTION_SIZE,
            episode_length=rules.horizon[task] if episode_length is None else episode_length,
            terminate_on_success=terminate_on_success,
            **options,
        )
        self.task = task
        self.dexart_task = task_class(rules, self._max_episode_steps)
        self.object_name: str | None = None
        self._sampling, self._noise, self._jitter = sampling, cloud_noise, camera_jitter
        self._imagined, self._template = imagin_robot, template()
        self._cloud_seed = 0
        self._world: MuJoCoWorld | None = None
        self._measured: Measured | None = None
        observed = self.observation_space.spaces
        if imagin_robot == "apart":
            observed["imagin_robot"] = _unbounded(POINTS, COLUMNS)
        elif imagin_robot == "joined":
            observed["point_cloud"] = _unbounded(self.cloud_options.num_points + POINTS, self.cloud_options.channels)

    @property
    def task_description(self) -> str:
        return self.dexart_task.description

    @property
    def world(self) -> MuJoCoWorld:
        """The simulated robot and object. For experts, which must not change it."""
        self._require_reset("world")
        return self._world

    @property
    def measured(self) -> Measured:
        """The current state as the task sees it. For experts."""
        self._require_reset("measured")
        return self._measured

    @property
    def bodies(self) -> str:
        """`stand-in` or `official`: results of the two must not stand in one table."""
        return self._source.label

    @property
    def expert_state(self) -> NDArray[np.float64]:
        """(40,) what a policy of the laptop sees, then handle (3,), joint angle, root (3,) and yaw of the object."""
        measured, data = self.measured, self._world.data
        root = data.body("object")
        yaw = np.arctan2(root.xmat[3], root.xmat[0])
        robot = DexArtTask.agent_pos(self.dexart_task, measured, self._steps)
        return np.concatenate([robot, measured.handle, [measured.angle], root.xpos, [yaw]])

    @property
    def frame(self) -> Frame:
        return robot_frame(self.dexart_task, self.cloud_options.frame)

    def _build(self) -> None:
        # Called once per reset, after seeding, because the drawn object determines the scene.
        chosen = self.object_names[self.np_random.integers(len(self.object_names))]
        if chosen != self.object_name:
            self.close()
            self.object_name = chosen
        super()._build()

    def _load(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        thing = self._source.thing(self.object_name)
        self._offset, self._yaw = thing.offset, thing.yaw
        self._world = MuJoCoWorld(self._source.robot(), thing, type(self.dexart_task))
        return self._world.model, self._world.data

    def close(self) -> None:
        super().close()
        self._world = self._measured = self.object_name = None

    def _restart(self, seed: int | None, options: dict[str, Any]) -> None:
        world, rng = self._world, self.np_random
        for _ in range(MOST_STARTS):
            placement = self.dexart_task.start(rng, self._offset, self._yaw, world.handle_range)
            world.reset(placement)
            if world.overlap() < MOST_OVERLAP:
                break
        position, axes = jittered(*observer(type(self.dexart_task)), self._jitter, rng)
        camera = world.model.camera(OBSERVER).id
        world.model.cam_pos[camera] = position
        mujoco.mju_mat2Quat(world.model.cam_quat[camera], axes.ravel())
        self._measured = world.reset(placement)
        self._cloud_seed = int(rng.integers(2**63))

    def _advance(self, action: NDArray[np.float64]) -> Outcome:
        world, task, before = self._world, self.dexart_task, self._measured
        twist = np.clip(action[TWIST], -1.0, 1.0) * TWIST_LIMIT
        velocity = arm_velocity(twist, world.jacobian())
        self._measured = world.step(velocity, finger_targets(action, *world.finger_limits), twist[:3])
        success = task.succeeds(self._measured, world.handle_range)
        ended = task.ends_early(self._measured, world.handle_range)
        steps = self._steps + 1
        reward = task.reward(before, self._measured, world.handle_range, steps, ended and self._terminate_on_success)
        return Outcome(reward, int(success), success)

    def _verdict(self, outcome: Outcome, over: bool) -> bool:
        """Whether the goal holds at the end of the episode, set by DexArt's rules or the time limit."""
        return outcome.goal_reached and (over or self.dexart_task.ends_early(self._measured, self._world.handle_range))

    def _agent_pos(self) -> NDArray[np.float64]:
        return self.dexart_task.agent_pos(self._measured, self._steps)

    def _subsample(self, points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        # Drawn anew for each step, so that clouds that are left out change neither later ones nor the next episode.
        rng = np.random.default_rng([self._cloud_seed, self._steps])
        return noisy_sample(points, count, self._noise, self._sampling, rng)

    def _observation(self) -> dict[str, NDArray]:
        observation = super()._observation()
        if self._imagined == "none":
            return observation
        data = self._data
        poses = {link: (data.body(link).xmat.reshape(3, 3), data.body(link).xpos) for link in IMAGINED_LINKS}
        hand = imagine(self._template, poses, self.frame)
        if self._imagined == "apart":
            return observation | {"imagin_robot": hand}
        cloud = observation["point_cloud"]
        return observation | {"point_cloud": np.vstack([hand[:, : cloud.shape[1]], cloud])}


def _unbounded(*shape: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, shape, np.float32)
