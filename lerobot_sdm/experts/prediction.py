"""What would come of a plan: thousands of short futures of a simulator, on all cores at once.

A prediction has a model of its own, which is the environment's plus position sensors for what a cost looks at:
`mujoco.rollout` returns sensors for every predicted state, and sensors change nothing in the physics.
"""

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from lerobot_sdm.errors import InputError

PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS
KINDS = {"site": mujoco.mjtObj.mjOBJ_SITE, "body": mujoco.mjtObj.mjOBJ_XBODY, "geom": mujoco.mjtObj.mjOBJ_GEOM}
PREFIX = "mpc/"

Measured = dict[str, NDArray[np.float64]]
"""Name -> (..., 3) position of a watched point in meters, and `qpos` (..., nq), `qvel` (..., nv)."""


class Prediction(ABC):
    """Runs plans in a copy of an environment's simulator. A family of environments says where that is.

    Args:
        env: The environment, reset once.
        watched: Name of a point -> kind (`site`, `body` or `geom`) and name of what is there.
        threads: How many futures run at a time; all cores unless given. Results do not depend on it.
    """

    family: ClassVar[str]
    """What tasks of this family begin with in the table of costs."""

    control_spec: ClassVar[int] = mujoco.mjtState.mjSTATE_CTRL
    """Which parts of the simulator's state actions set."""

    def __init__(self, env: gym.Env, watched: Mapping[str, tuple[str, str]], threads: int | None = None):
        self.env = env
        spec = self.spec()
        for point, (kind, name) in watched.items():
            spec.add_sensor(
                name=PREFIX + point, type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=KINDS[kind], objname=name
            )
        self.model = spec.compile()
        self._addresses = {point: self.model.sensor(PREFIX + point).adr[0] for point in watched}
        threads = threads or len(os.sched_getaffinity(0))
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
        """(N, H, C) what `control_spec` names, for plans (N, H, A) that begin now."""

    def follow(self) -> None:
        """Take over what the environment changed in its model at a reset, such as where things stand."""
        copy_model(self.actual[0], self.model)

    def __call__(self, plans: NDArray[np.float64]) -> Measured:
        """What is measured at the end of each control step of plans (N, H, A): name -> (N, H, ...)."""
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
            # The solver starts where the environment's will.
            initial_warmstart=data.qacc_warmstart[None],
        )
        states, sensors = states[:, steps - 1 :: steps], sensors[:, steps - 1 :: steps]
        # A state begins with the time.
        positions_end = 1 + model.nq
        measured = {"qpos": states[..., 1:positions_end], "qvel": states[..., positions_end : positions_end + model.nv]}
        return measured | {point: sensors[..., at : at + 3] for point, at in self._addresses.items()}


class HandPrediction(Prediction):
    """Of tasks of a dexterous hand."""

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
        return self.env.controls(plans)

    def follow_policy(self, policy: Callable[[NDArray[np.float64]], NDArray], horizon: int) -> NDArray[np.float64]:
        """(H, A) what a policy of full observations would do from here on, H steps in a copy of the simulator."""
        model, data = self.actual
        # All of it, not the state alone: policies see derived positions, which are those of 2 ms earlier.
        shadow = copy.copy(data)
        actions = []
        for _ in range(horizon):
            observation = self.env.hand_task.full_observation(model, shadow)
            actions.append(np.clip(policy(observation), -1.0, 1.0).astype(np.float64))
            shadow.ctrl[:] = self.env.controls(actions[-1])
            mujoco.mj_step(model, shadow, self.physics_steps)
        return np.stack(actions)


class MetaWorldPrediction(Prediction):
    """Of MetaWorld's tasks: an action moves a point that drags the hand along, and closes the gripper."""

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
    """What can predict an environment.

    Raises:
        InputError: Nothing can.
    """
    from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv

    if hasattr(env, "hand_task"):
        return HandPrediction
    if isinstance(env, MetaWorldPointCloudEnv):
        return MetaWorldPrediction
    raise InputError(f"--expert=mpc: cannot predict a {type(env).__name__}. Derive a Prediction for it.")


def copy_model(source: mujoco.MjModel, target: mujoco.MjModel) -> None:
    """Copy everything numeric about bodies, joints, shapes and actuators; the two differ in sensors alone."""
    kinds = ("body_", "jnt_", "dof_", "geom_", "site_", "actuator_", "eq_", "tendon_")
    for name in dir(source):
        if name.startswith(kinds):
            values: Any = getattr(source, name)
            if isinstance(values, np.ndarray):
                getattr(target, name)[:] = values
