"""Abstract base class of dexterous-hand tasks. A new hand or task is one class in one file.

Reward and goal are computed from measurements with any leading dimensions, so that the environment, which has one
state, and a planner, which has thousands of predicted ones, share the code.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.coordinate_frames import Frame
from lerobot_sdm.envs.options import Corner

if TYPE_CHECKING:
    import mujoco

SIMULATOR_RATE = 100
"""Simulator steps per second: the rate at which the original environments observe and reward."""

Measured = dict[str, NDArray[np.float64]]
"""Name -> values (..., 3) of a watched point, and `qpos` (..., nq), `qvel` (..., nv)."""

State = dict[str, NDArray[np.float64]]
"""The complete state: `qpos`, `qvel` and what the task placed at random."""


@dataclass(frozen=True)
class SuccessRule:
    """When an episode counts as a success.

    Args:
        relaxed_goal: Whether to use DP3's goal or the original one.
        last_steps: The goal must hold at each of this many last control steps of the episode; None where it may
            hold at any time.
        counted: Whether the goal must hold for more than the task's `dapg_steps` simulator steps.
        failure_ends: Whether an episode ends once it can no longer succeed.
    """

    relaxed_goal: bool = False
    last_steps: int | None = None
    counted: bool = False
    failure_ends: bool = True


SUCCESS_RULES = {
    "dp3": SuccessRule(relaxed_goal=True, last_steps=2),
    "dp3_ever": SuccessRule(relaxed_goal=True),
    "dapg": SuccessRule(counted=True),
    "gymnasium_robotics": SuccessRule(failure_ends=False),
}
"""Success rules by benchmark. `dp3_ever` is DP3's goal, reached at any time of the episode."""


class HandTask(ABC):
    """One task: its scene, randomization, observations, reward and goal.

    Attributes:
        name: What `--env.task` calls it.
        description: The task in a sentence.
        action_size: Actuators.
        full_observation_size: What experts see.
        agent_pos: Which entries of qpos a policy sees.
        cameras: Names of the scene's cameras.
        camera: The default camera.
        human_camera: The camera for human viewers.
        crops: Frame name -> default box in it.
        episode_substeps: Length of an episode in simulator steps of 10 ms.
        demonstration_substeps: Length of a recorded demonstration.
        dapg_steps: The goal must hold for more than this many simulator steps by the DAPG rule.
        watched: Measured points, see `add_sensors`.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    action_size: ClassVar[int]
    full_observation_size: ClassVar[int]
    agent_pos: ClassVar[slice]
    agent_pos_size: ClassVar[int] = 24
    cameras: ClassVar[tuple[str, ...]]
    camera: ClassVar[str]
    human_camera: ClassVar[str]
    crops: ClassVar[dict[str, tuple[Corner, Corner]]]
    episode_substeps: ClassVar[int] = 200
    demonstration_substeps: ClassVar[int] = 200
    dapg_steps: ClassVar[int] = 25
    watched: ClassVar[dict[str, tuple[str, str]]]

    @abstractmethod
    def spec(self) -> "mujoco.MjSpec":
        """The scene, with all of `cameras`."""

    @abstractmethod
    def frame(self, name: str) -> Frame:
        """The clouds' frame: `legacy` or `world`."""

    @abstractmethod
    def place(self, model: "mujoco.MjModel", rng: np.random.Generator) -> None:
        """Randomize object placement in a model whose state is reset afterwards."""

    @abstractmethod
    def placement(self, model: "mujoco.MjModel") -> dict[str, NDArray[np.float64]]:
        """Views of what `place` draws, by the names that Gymnasium-Robotics gives them in its states."""

    @abstractmethod
    def full_observation(self, model: "mujoco.MjModel", data: "mujoco.MjData") -> NDArray[np.float64]:
        """The experts' observation, in the order of the original environments."""

    @abstractmethod
    def start_of(self, model: "mujoco.MjModel", data: "mujoco.MjData", observation: NDArray[np.float64]) -> State:
        """The state at the start of an episode whose first full observation is given.

        Args:
            model: The scene.
            data: The scene at rest, after `place`.
            observation: `full_observation` of the start state.
        """

    @abstractmethod
    def reward(self, measured: Measured) -> NDArray[np.float64]:
        """The dense reward of a simulator step, (...)."""

    @abstractmethod
    def at_goal(self, measured: Measured, relaxed: bool) -> NDArray[np.bool_]:
        """Whether the goal holds, (...); `relaxed` as DP3 has it."""

    def failed(self, measured: Measured) -> NDArray[np.bool_]:
        """Whether an episode can no longer succeed, (...)."""
        return np.zeros(measured["qpos"].shape[:-1], dtype=bool)

    def goal_position(self, data: "mujoco.MjData") -> NDArray[np.float64] | None:
        """(3,) the goal, where it is a point in the air that no camera sees; else None."""
        return None

    def make_model(self) -> "mujoco.MjModel":
        """Compile the scene, with sensors of the watched points."""
        spec = self.spec()
        add_sensors(spec, self.watched)
        return spec.compile()

    def measure(
        self,
        model: "mujoco.MjModel",
        qpos: NDArray[np.float64],
        qvel: NDArray[np.float64],
        sensordata: NDArray[np.float64],
    ) -> Measured:
        """The measurements that reward and goal need.

        Args:
            model: The scene, from `make_model`.
            qpos: (..., nq).
            qvel: (..., nv).
            sensordata: (..., nsensordata). After a simulation step it belongs, like all derived positions, to the
                state 2 ms earlier.
        """
        return {"qpos": qpos, "qvel": qvel} | sensed(model, self.watched, sensordata)


def add_sensors(spec: "mujoco.MjSpec", points: Mapping[str, tuple[str, str]]) -> None:
    """Add one position sensor for each point behind a scene's own sensors.

    Sensors change nothing in the physics, and `mujoco.rollout` returns them for every predicted state.

    Args:
        spec: The scene.
        points: Name of a point -> kind (`site`, `body`, or `geom`) and name of the MuJoCo object.
    """
    import mujoco

    kinds = {"site": mujoco.mjtObj.mjOBJ_SITE, "body": mujoco.mjtObj.mjOBJ_XBODY, "geom": mujoco.mjtObj.mjOBJ_GEOM}
    for point, (kind, name) in points.items():
        spec.add_sensor(
            name=f"watched/{point}", type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=kinds[kind], objname=name
        )


def sensed(model: "mujoco.MjModel", points: Iterable[str], sensordata: NDArray[np.float64]) -> Measured:
    """Positions (..., 3) of points from `add_sensors` in sensor values (..., nsensordata), by name."""
    first = {point: model.sensor(f"watched/{point}").adr[0] for point in points}
    return {point: sensordata[..., at : at + 3] for point, at in first.items()}


def actions_to_controls(model: "mujoco.MjModel", actions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Actuator set points (..., A) of actions (..., A): -1 and 1 are the ends of each actuator's range."""
    low, high = model.actuator_ctrlrange.T
    return (low + high) / 2 + np.clip(actions, -1.0, 1.0) * (high - low) / 2


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distance (...) of points (..., 3)."""
    return np.linalg.norm(a - b, axis=-1)
