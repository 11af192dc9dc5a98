"""DexArt's four tasks: start and contact states, progress, reward and success. Independent of the physics engine."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.dexart.state import HandleRange, Measured, Placement
from lerobot_sdm.envs.options import Corner
from lerobot_sdm.errors import check_known

ROBOT_X = -0.5
"""Where the robot stands in the world, meters."""


@dataclass(frozen=True)
class RuleSet:
    """How a benchmark uses the tasks.

    Args:
        num_points: Rows of its clouds.
        camera_size: Pixels of its depth picture.
        progress: Task -> progress (faucet: angle) that must be exceeded for success.
        lift: How far the bucket must also be lifted, meters.
        horizon: Task -> control steps.
        bucket_ends_early: Whether a high and well-held bucket ends the episode.
    """

    num_points: int
    camera_size: int
    progress: dict[str, float]
    lift: float
    horizon: dict[str, int]
    bucket_ends_early: bool


LONG = dict.fromkeys(("laptop", "faucet", "bucket", "toilet"), 250)
RULE_SETS = {
    "dexart": RuleSet(512, 64, {"laptop": 0.95, "faucet": 1.5, "bucket": 0.7, "toilet": 0.95}, 0.25, LONG, False),
    "dp3": RuleSet(
        1024, 84, {"laptop": 0.8, "faucet": 1.2, "bucket": 0.7, "toilet": 0.95}, 0.15, LONG | {"bucket": 100}, True
    ),
}
"""Those of DexArt itself, and those that DP3, ManiCM and SDM use."""


class DexArtTask:
    """Abstract base class of the tasks.

    Args:
        rules: How a benchmark uses the task.
        episode_length: Control steps after which an episode is truncated, which the rules' horizon need not be.

    Attributes:
        name: What `--env.task` calls it.
        description: The task in a sentence.
        root_height: Of the robot's base, meters.
        pedestal: Half edges of the box under it; None where it stands on the ground.
        crop: Box of the cloud in the robot's frame.
        position_range: Maximum displacement of the object along each axis, meters.
        yaw_range: Maximum rotation of the object to either side, radians.
        start_offset: Offset of the joint's start angle beyond `left`, radians.
        reach: Distance within which the palm counts as at the handle, meters.
        fingers_needed: How many fingers make a grasp.
        palm_needed: Whether the palm must touch, too.
        effort_weight: Weight of the penalty on joint speed and tracking error.
        agent_pos_size: Numbers that a policy sees of the robot.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    root_height: ClassVar[float] = 0.0
    pedestal: ClassVar[tuple[float, float, float] | None] = None
    crop: ClassVar[tuple[Corner, Corner]]
    position_range: ClassVar[float]
    yaw_range: ClassVar[float]
    start_offset: ClassVar[float] = 0.0
    reach: ClassVar[float] = 0.2
    fingers_needed: ClassVar[int] = 2
    palm_needed: ClassVar[bool] = False
    effort_weight: ClassVar[float] = 0.01
    agent_pos_size: ClassVar[int] = 32

    def __init__(self, rules: RuleSet, episode_length: int):
        self.rules = rules
        self.episode_length = episode_length

    @property
    def robot_position(self) -> NDArray[np.float64]:
        """(3,) of the robot's base in the world."""
        return np.array([ROBOT_X, 0.0, self.root_height])

    def start(self, rng: np.random.Generator, offset: NDArray, yaw: float, handle: HandleRange) -> Placement:
        """Draw an episode's start state.

        Along each axis, up included, the position moves in one direction only, as in DexArt.

        Args:
            rng: Random generator.
            offset: (3,) of the object from the robot, before randomization.
            yaw: Of the object, before randomization.
            handle: Of its joint.
        """
        position = self.robot_position + offset + rng.uniform(0, self.position_range, 3)
        turn = rng.uniform(-self.yaw_range, self.yaw_range)
        return Placement(position, yaw + turn, self.start_angle(handle))

    def start_angle(self, handle: HandleRange) -> float:
        """Of the object's joint."""
        return handle.left + np.sign(handle.middle - handle.left) * self.start_offset

    def progress(self, measured: Measured, handle: HandleRange) -> float:
        """0 at the start, 1 when the joint is in the middle."""
        way = abs(handle.left - handle.middle) - self.start_offset
        return 1.0 - abs(measured.angle - handle.middle) / way

    def grasped(self, measured: Measured) -> bool:
        """Whether enough of the hand touches the handle."""
        return measured.fingers >= self.fingers_needed and (measured.palm_touches or not self.palm_needed)

    def state(self, measured: Measured, handle: HandleRange) -> int:
        """1 away from the handle, 2 near it, 3 with a grasp of it."""
        if np.linalg.norm(measured.palm_position - measured.handle) > self.reach:
            return 1
        return 3 if self.grasped(measured) else 2

    def succeeds(self, measured: Measured, handle: HandleRange) -> bool:
        """Whether the goal holds now."""
        far_enough = self.progress(measured, handle) > self.rules.progress[self.name]
        return far_enough and self.state(measured, handle) == 3

    def ends_early(self, measured: Measured, handle: HandleRange) -> bool:
        """Whether the episode is over before its time."""
        return self.succeeds(measured, handle)

    def reward(self, before: Measured, measured: Measured, handle: HandleRange, steps: int, ended: bool) -> float:
        """DexArt's dense reward of a control step.

        Args:
            before: At the last control step.
            measured: Now.
            handle: Of the object's joint.
            steps: Control steps so far.
            ended: Whether the episode ends early with this one.
        """
        progress, state = self.progress(measured, handle), self.state(measured, handle)
        reward = self._shaped(before, measured, progress, state)
        if ended:
            reward += (self.episode_length - steps) * 1.2 * progress
        effort = 0.01 * (np.clip(measured.qvel, -1, 1) ** 2).sum() + 1000 * measured.tracking_error**2
        return float(reward - self.effort_weight * effort)

    def _shaped(self, before: Measured, measured: Measured, progress: float, state: int) -> float:
        if state == 1:
            return self._approach(measured) + 0.5 * min(progress, 0.0)
        reward = 0.2 * self.grasped(measured) - 0.1 * measured.arm_touches
        return reward + progress if state == 3 else reward

    @staticmethod
    def _approach(measured: Measured) -> float:
        return -0.1 * min(float(np.linalg.norm(measured.palm_position - measured.handle)), 0.5)

    def agent_pos(self, measured: Measured, steps: int) -> NDArray[np.float64]:
        """(32,) joints, palm velocity, spin and position, and the share of the time that is over.

        The share is of the rules' time limit even if episodes are shorter, so that policies see demonstrations' values.
        """
        palm = (measured.palm_velocity, measured.palm_spin, measured.palm_position)
        return np.concatenate([measured.qpos, *palm, [steps / self.rules.horizon[self.name]]])


class Laptop(DexArtTask):
    """Open a laptop that is ajar."""

    name = "laptop"
    description = "Take the laptop's lid and open it"
    crop = ((0.1, -1.0, 0.0047767), (1.0, 2.0, 0.6))
    position_range = 0.1
    yaw_range = np.deg2rad(60)
    start_offset = 0.2
    palm_needed = True


class Faucet(DexArtTask):
    """Turn a faucet on."""

    name = "faucet"
    description = "Take the faucet's lever and turn it"
    crop = ((0.1, -1.0, 0.0047767), (2.0, 1.0, 0.4))
    position_range = 0.1
    yaw_range = np.deg2rad(90)
    palm_needed = True

    def start_angle(self, handle: HandleRange) -> float:
        return 0.0

    def progress(self, measured: Measured, handle: HandleRange) -> float:
        """Angle by which the faucet is turned, radians."""
        return abs(measured.angle)


class Toilet(DexArtTask):
    """Lift a toilet's lid."""

    name = "toilet"
    description = "Take the toilet's lid and open it"
    root_height = 0.4
    pedestal = (0.1, 0.2, 0.2)
    crop = ((0.1, -2.0, -0.3), (2.0, 2.0, 0.8))
    position_range = 0.2
    yaw_range = np.deg2rad(45)
    start_offset = 0.25
    reach = 0.1
    effort_weight = 0.005


class Bucket(DexArtTask):
    """Lift a bucket by its handle."""

    name = "bucket"
    description = "Take the bucket by its handle and lift it"
    root_height = 0.3
    pedestal = (0.1, 0.2, 0.15)
    crop = ((0.1, -2.0, -0.29), (2.0, 2.0, 0.4))
    position_range = 0.05
    yaw_range = 0.0
    fingers_needed = 3
    effort_weight = 0.1
    agent_pos_size = 33

    def state(self, measured: Measured, handle: HandleRange) -> int:
        state = super().state(measured, handle)
        return 2 if state == 3 and self.progress(measured, handle) < 0.5 else state

    def succeeds(self, measured: Measured, handle: HandleRange) -> bool:
        """Upright enough and lifted, however it is held."""
        return self.progress(measured, handle) > self.rules.progress[self.name] and measured.height > self.rules.lift

    def ends_early(self, measured: Measured, handle: HandleRange) -> bool:
        held = self.state(measured, handle) == 3 and self.progress(measured, handle) > 0.9
        return self.rules.bucket_ends_early and held and measured.height > 0.3

    def _shaped(self, before: Measured, measured: Measured, progress: float, state: int) -> float:
        if state == 1:
            return self._approach(measured)
        touch = float(self.grasped(measured))
        reward = 0.2 * measured.palm_rotation[2, 0] - 0.2 * measured.base_touched
        reward += 0.2 * touch - 0.1 * measured.arm_touches + 0.5 * progress + 0.2 * progress * touch
        if state == 2:
            speeds = np.linalg.norm(measured.palm_velocity) + np.linalg.norm(measured.palm_spin)
            return float(reward - 0.01 * speeds)
        reward += progress
        if measured.height < 0.3:
            reward += 100 * (measured.palm_position[2] - before.palm_position[2]) + measured.height / 0.3 * 10
        return float(reward)

    def agent_pos(self, measured: Measured, steps: int) -> NDArray[np.float64]:
        """(33,) as the others, and how far the palm faces up before the time."""
        common = super().agent_pos(measured, steps)
        return np.concatenate([common[:-1], [measured.palm_rotation[2, 0]], common[-1:]])


DEXART_TASKS: dict[str, type[DexArtTask]] = {task.name: task for task in (Laptop, Faucet, Bucket, Toilet)}


def dexart_task(name: str) -> type[DexArtTask]:
    """The task with that name.

    Raises:
        InputError: If there is no such task; the nearest names are offered.
    """
    check_known("task", name, DEXART_TASKS)
    return DEXART_TASKS[name]
