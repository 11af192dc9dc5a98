"""A simulated robot that does not wait: its clock runs while the policy thinks, and messages take their time.

Time is virtual, in whole nanoseconds, so that neither the simulator's speed nor rounding has a say. The robot's clock
cuts it into control periods. A command that arrives before a period ends counts for all of that period, since the
simulator knows no shorter steps: a policy that keeps the deadline acts as it does in `lerobot-eval`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

MILLISECOND = 1_000_000
"""Nanoseconds."""

Action = NDArray[np.float32]
Observation = dict[str, NDArray]


def keep_set_point(action: Action) -> Action:
    """What a position-controlled arm does without a new command: it stays where it was told to be.

    Args:
        action: MetaWorld's (4,): displacement of the set point, gripper effort.

    Returns:
        (4,): no displacement, the same effort.
    """
    return np.concatenate([np.zeros_like(action[:3]), action[3:]])


def repeat(action: Action) -> Action:
    """What a velocity-controlled arm does without a new command: it goes on as it was told to."""
    return action


HOLDS: dict[str, Callable[[Action], Action]] = {"position": keep_set_point, "velocity": repeat}
"""What a robot executes in a period for which no new command has come, by its interface."""


@dataclass(frozen=True)
class Period:
    """One control period of the robot.

    Args:
        command: Number of the command that was executed, from 0; -1 before the first one.
        held: Whether it had been executed before, so that the robot only held it.
    """

    command: int
    held: bool


class SimulatedRobot:
    """A MetaWorld environment behind a robot's interface: observe, send, and time that passes.

    Args:
        env: The environment; a control step of it is a control period of the robot.
        period: Length of a control period, nanoseconds.
        latency: Nanoseconds that an observation takes to the policy, and a command to the robot.
        hold: What is executed in a period without a new command, from the last command.
    """

    def __init__(
        self, env: gym.Env[Observation, Action], period: int, latency: int = 0, hold: Callable = keep_set_point
    ):
        self._env, self.period, self._latency, self._hold = env, period, latency, hold

    def reset(self, seed: int) -> None:
        """Start an episode at time 0. What stands there has been seen already; no command has been given."""
        observation, _ = self._env.reset(seed=seed)
        self._seen = [observation]  # The state at the beginning of each period.
        self._under_way: deque[tuple[int, int, Action]] = deque()  # Arrival, number, action.
        self._sent = 0
        self._command = -1, np.zeros(self._env.action_space.shape, np.float32)
        self.periods: list[Period] = []
        self.success = self.over = False
        self._now = 0

    def observe(self) -> Observation:
        """The newest observation that has arrived by now; one is taken at the beginning of each period."""
        newest = max(0, (self._now - self._latency) // self.period)
        return self._seen[min(newest, len(self._seen) - 1)]

    def send(self, action: Action, at: int) -> None:
        """Send a command.

        Args:
            action: (A,) for the environment.
            at: When, nanoseconds; not earlier than the last one.
        """
        self._under_way.append((at + self._latency, self._sent, action))
        self._sent += 1

    def run_until(self, now: int) -> None:
        """Let time pass: every period that ends until then is executed, unless the episode is over before.

        Args:
            now: Nanoseconds since the episode began.
        """
        self._now = now
        while not self.over and (len(self.periods) + 1) * self.period <= now:
            self._execute()

    def _execute(self) -> None:
        """The next period, with the newest command that arrives before it ends."""
        end = (len(self.periods) + 1) * self.period
        before = self._command[0]
        while self._under_way and self._under_way[0][0] <= end:
            self._command = self._under_way.popleft()[1:]
        number, action = self._command
        held = number == before
        observation, _, terminated, truncated, info = self._env.step(self._hold(action) if held else action)
        self._seen.append(observation)
        self.periods.append(Period(number, held))
        self.success |= bool(info["is_success"])
        self.over = terminated or truncated

    @property
    def overwritten(self) -> int:
        """Commands that were never executed, since a newer one came within the same period."""
        executed = [-1, *(period.command for period in self.periods if not period.held)]
        return sum(later - earlier - 1 for earlier, later in pairwise(executed))

    def summary(self) -> dict[str, Any]:
        """What the robot lived through in this episode."""
        held = sum(period.held for period in self.periods)
        return {
            "success": self.success,
            "periods": len(self.periods),
            "periods_held": held,
            "overwritten": self.overwritten,
        }
