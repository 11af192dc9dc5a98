"""Predicts plans: thousands of short rollouts of a simulator, on all cores in parallel.

A prediction uses its own model, which is the environment's plus position sensors for the points that a cost measures:
`mujoco.rollout` returns sensor values for every predicted state, and sensors do not affect the physics.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from lerobot_sdm.envs.hand_task import Measured, actions_to_controls, add_sensors, sensed
from lerobot_sdm.errors import InputError
from lerobot_sdm.processes.threads import available_cores

PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS


class Prediction(ABC):
    """Rolls plans out in a copy of an environment's simulator. Subclasses adapt it to a family of environments.

    Args:
        env: The environment, reset at least once.
        watched: The points that a cost measures, see `add_sensors`.
        threads: Number of parallel rollouts; defaults to all cores. Results do not depend on it.
    """

    family: ClassVar[str]
    """Prefix of this family's tasks in `TASK_COSTS`."""

    control_spec: ClassVar[int] = mujoco.mjtState.mjSTATE_CTRL
    """The parts of the simulator's state that actions set."""

    def __init__(self, env: gym.Env, watched: Mapping[str, tuple[str, str]], threads: int | None = None):
        self.env = env
        spec = self.spec()
        add_sensors(spec, watched)
        self.model = spec.compile()
        self._watched = watched
        threads = threads or available_cores()
        self._datas = [mujoco.MjData(self.model) for _ in range(threads)]
        self._pool = Rollout(nthread=threads)
        self.follow()

    @abstractmethod
    def spec(self) -> mujoco.MjSpec:
        """The environment's scene."""

    @property
    @abstractmethod
    def actual(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """The environment's simulator."""

    @property
    @abstractmethod
    def physics_steps(self) -> int:
        """Physics steps in a control step."""

    @abstractmethod
    def controls(self, plans: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, H, C) values of `control_spec` for plans (N, H, A) that start at the current state."""

    def follow(self) -> None:
        """Copy the changes that the environment made to its model at a reset, such as object positions.

        They are in the numeric fields of bodies, joints, shapes, and actuators; the two models differ only in sensors.
        """
        actual, _ = self.actual
        kinds = ("body_", "jnt_", "dof_", "geom_", "site_", "actuator_", "eq_", "tendon_")
        for name in dir(actual):
            if name.startswith(kinds) and isinstance(values := getattr(actual, name), np.ndarray):
                getattr(self.model, name)[:] = values

    def __call__(self, plans: NDArray[np.float64]) -> Measured:
        """Measured values at the end of each control step of plans (N, H, A): name -> (N, H, ...)."""
        model, data = self.actual
        start = np.empty(mujoco.mj_stateSize(model, PHYSICS))
        mujoco.mj_getState(model, data, start, PHYSICS)
        steps = self.physics_steps
        states, sensors = self._pool.rollout(
            self.model,
            self._datas,
            start[None],
            np.repeat(self.controls(plans), steps, axis=1),
            control_spec=self.control_spec,
            # Warm-start the solver like the environment's.
            initial_warmstart=data.qacc_warmstart[None],
        )
        states, sensors = states[:, steps - 1 :: steps], sensors[:, steps - 1 :: steps]
        # The first entry of a state is the time.
        positions_end = 1 + model.nq
        measured = {"qpos": states[..., 1:positions_end], "qvel": states[..., positions_end : positions_end + model.nv]}
        return measured | sensed(self.model, self._watched, sensors)


class HandPrediction(Prediction):
    """Prediction for tasks of a dexterous hand."""

    family: ClassVar[str] = "adroit"

    def spec(self) -> mujoco.MjSpec:
        return self.env.hand_task.spec()

    @property
    def actual(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        return self.env.model, self.env.data

    @property
    def physics_steps(self) -> int:
        return self.env.physics_steps

    def controls(self, plans: NDArray[np.float64]) -> NDArray[np.float64]:
        return actions_to_controls(self.env.model, plans)

    def follow_policy(self, policy: Callable[[NDArray[np.float64]], NDArray], horizon: int) -> NDArray[np.float64]:
        """(H, A) actions of a policy on full observations, from H steps in a copy of the simulator."""
        model, data = self.actual
        # Copy all data, not only the state: policies see derived positions, which lag by 2 ms.
        shadow = copy.copy(data)
        actions = []
        for _ in range(horizon):
            observation = self.env.hand_task.full_observation(model, shadow)
            actions.append(np.clip(policy(observation), -1.0, 1.0).astype(np.float64))
            shadow.ctrl[:] = self.controls(actions[-1])
            mujoco.mj_step(model, shadow, self.physics_steps)
        return np.stack(actions)


class MetaWorldPrediction(Prediction):
    """Prediction for MetaWorld's tasks: an action moves a mocap body that drags the hand, and closes the gripper."""

    family: ClassVar[str] = "metaworld"
    control_spec: ClassVar[int] = (
        mujoco.mjtState.mjSTATE_CTRL | mujoco.mjtState.mjSTATE_MOCAP_POS | mujoco.mjtState.mjSTATE_MOCAP_QUAT
    )

    def spec(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_file(self.env.simulator.fullpath)

    @property
    def actual(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        return self.env.simulator.model, self.env.simulator.data

    @property
    def physics_steps(self) -> int:
        return self.env.simulator.frame_skip

    def controls(self, plans: NDArray[np.float64]) -> NDArray[np.float64]:
        sim = self.env.simulator
        moves, grips = plans[..., :3] * sim.action_scale, plans[..., 3:]
        place = sim.data.mocap_pos[0]
        places = np.empty_like(moves)
        for step in range(plans.shape[1]):
            place = places[:, step] = np.clip(place + moves[:, step], sim.mocap_low, sim.mocap_high)
        turns = np.broadcast_to(sim.data.mocap_quat[0], (*plans.shape[:2], 4))
        return np.concatenate([grips, -grips, places, turns], axis=-1)


def prediction_class(env: gym.Env) -> type[Prediction]:
    """The prediction class for an environment.

    Raises:
        InputError: There is none.
    """
    from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv

    if hasattr(env, "hand_task"):
        return HandPrediction
    if isinstance(env, MetaWorldPointCloudEnv):
        return MetaWorldPrediction
    raise InputError(f"--expert=mpc: does not support {type(env).__name__}. Derive a Prediction for it.")
