"""A simulated robot behind LeRobot's `Robot` interface, for its loops and servers without hardware."""

import logging
import signal
from typing import Any

import gymnasium as gym
import numpy as np
from lerobot.robots.robot import Robot
from lerobot.utils.errors import DeviceAlreadyConnectedError, DeviceNotConnectedError

from lerobot_sdm.errors import InputError
from lerobot_sdm.robots.config_simulated import SimulatedRobotConfig

logger = logging.getLogger(__name__)

CLOUD = "point_cloud"
"""The robot's observation that LeRobot passes on as `clouds.ROBOT_CLOUD`."""


class SimulatedRobot(Robot):
    """One task of a point-cloud environment, advanced by one control step with each action.

    Between actions, time stands still. Observations are `state_0.vel` ... for the robot's own position, and
    `point_cloud` (N, C, 1) float32. Actions are `action_0.vel` ... in -1 ... 1. LeRobot's loops pass on no other
    scalars than `.pos` and `.vel`, and at their end drive a robot to the `.pos` it had at the start, which these
    actions cannot.

    When an episode ends, the robot logs its outcome and begins the next one. LeRobot's loops know nothing of episodes:
    a policy finishes the chunk that it has planned.

    Attributes:
        outcomes: Whether each finished episode was a success.
    """

    config_class = SimulatedRobotConfig
    name = "simulated"

    def __init__(self, config: SimulatedRobotConfig):
        super().__init__(config)
        self.config = config
        features = config.env_config.features
        self._state_keys = [f"state_{index}.vel" for index in range(features["agent_pos"].shape[0])]
        self._action_keys = [f"action_{index}.vel" for index in range(features["action"].shape[0])]
        self._cloud_shape = (*features["point_cloud"].shape, 1)
        self._env: gym.Env | None = None
        self._observation: dict[str, np.ndarray] = {}
        self._succeeded = False
        self._steps = 0
        self.outcomes: list[bool] = []

    @property
    def observation_features(self) -> dict[str, Any]:
        return {**dict.fromkeys(self._state_keys, float), CLOUD: self._cloud_shape}

    @property
    def action_features(self) -> dict[str, type]:
        return dict.fromkeys(self._action_keys, float)

    @property
    def is_connected(self) -> bool:
        return self._env is not None

    @property
    def is_calibrated(self) -> bool:
        return True

    def calibrate(self) -> None:
        """Nothing to calibrate."""

    def configure(self) -> None:
        """Nothing to configure."""

    def connect(self, calibrate: bool = True) -> None:
        """Build the environment and begin the first episode."""
        if self.is_connected:
            raise DeviceAlreadyConnectedError(f"{self} is already connected.")
        config = self.config.env_config
        self._env = config.maker(config.task_names()[0])()
        self._begin_episode()

    def get_observation(self) -> dict[str, Any]:
        """The latest observation: a float for each state, and the cloud (N, C, 1)."""
        self._environment()
        state = dict(zip(self._state_keys, map(float, self._observation["agent_pos"]), strict=True))
        # A copy, because LeRobot's loops convert observations in place.
        return {**state, CLOUD: self._observation[CLOUD][..., None].astype(np.float32, copy=True)}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        """Advance the environment by one step, and return the numbers as executed, clipped to the environment's range.

        Raises:
            InputError: A number is missing or not finite.
        """
        env = self._environment()
        if set(action) != set(self._action_keys):
            raise InputError(
                f"action: has {', '.join(map(repr, action)) or 'nothing'}. The simulated robot needs "
                f"{', '.join(map(repr, self._action_keys))}."
            )
        values = np.array([action[key] for key in self._action_keys], dtype=np.float32)
        if not np.isfinite(values).all():
            raise InputError(f"action: {values.tolist()} is not finite. Nothing was executed.")
        values = values.clip(-1, 1)
        self._observation, _, terminated, truncated, info = env.step(values)
        self._steps += 1
        self._succeeded |= bool(info["is_success"])
        if terminated or truncated:
            self._end_episode()
        return dict(zip(self._action_keys, map(float, values), strict=True))

    def disconnect(self) -> None:
        """Close the environment."""
        self._environment().close()
        self._env = None

    def _environment(self) -> gym.Env:
        if self._env is None:
            raise DeviceNotConnectedError(f"{self} is not connected.")
        return self._env

    def _begin_episode(self) -> None:
        self._observation, _ = self._environment().reset(seed=self.config.seed + len(self.outcomes))
        self._steps, self._succeeded = 0, False

    def _end_episode(self) -> None:
        self.outcomes.append(self._succeeded)
        count, successes = len(self.outcomes), sum(self.outcomes)
        outcome = "success" if self._succeeded else "failure"
        logger.info("Episode %d: %s after %d steps (%d of %d).", count, outcome, self._steps, successes, count)
        self._begin_episode()
        if count == self.config.num_episodes:
            # LeRobot's loops offer no other way to end them from within, and clean up after this one.
            signal.raise_signal(signal.SIGINT)
