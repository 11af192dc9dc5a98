"""The robot-side loop: observe, decide, send, once in every control period, with LeRobot's own inference engine.

What a decision takes is really measured, from the raw observation to the action in the robot's units: processors,
`select_action`, and every so many calls a new chunk of actions. Virtual time advances by it. Where a decision ends
after its period, the loop has missed its deadline and goes on at the next beginning of a period.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lerobot.rollout.inference import SyncInferenceEngine
from simulated_robot import SimulatedRobot

from lerobot_sdm.export.runtime import Policy as ExportedPolicy
from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.policies.loaded_policy import LoadedPolicy

CLOCKS: dict[str, Callable[[], int]] = {"wall": time.perf_counter_ns, "cpu": time.thread_time_ns}
"""What measures a decision. Processor time, of one thread, is for machines on which other work runs: it is about what
the clock on the wall would show on an idle core."""


@dataclass(frozen=True)
class Tick:
    """One turn of the loop.

    Args:
        start: Nanoseconds since the episode began.
        decision: Nanoseconds from the observation to the action.
        planned: Whether a new chunk of actions was computed; otherwise the next one of the last chunk was taken.
        missed: Control periods that began while the action was still being computed.
    """

    start: int
    decision: int
    planned: bool
    missed: int

    @property
    def sent(self) -> int:
        """When the command left, nanoseconds since the episode began."""
        return self.start + self.decision


def missed_periods(decision: int, period: int) -> int:
    """How many control periods begin before a decision ends that began with a period: ceil(decision / period) - 1.

    Args:
        decision: Nanoseconds that it took.
        period: Nanoseconds of a control period.
    """
    return max(0, -(-decision // period) - 1)


class Controller:
    """A policy at the robot: LeRobot's synchronous inference engine, with a watch.

    Args:
        loaded: The policy with its processors.
        action_size: Numbers in an action.
        keys: What the policy calls each of the robot's observations.
        clock: What measures a decision, in nanoseconds.
        slowdown: Factor on measured times.
        replay: Nanoseconds of the decisions that plan, one after the other, in the place of measured times; a decision
            that takes an action of the last chunk then takes no time.
    """

    def __init__(
        self,
        loaded: LoadedPolicy,
        action_size: int,
        keys: dict[str, str],
        clock: Callable[[], int],
        slowdown: float = 1.0,
        replay: Iterator[int] | None = None,
    ):
        names = [f"action.{index}" for index in range(action_size)]
        self._engine = SyncInferenceEngine(
            policy=loaded.policy,
            preprocessor=loaded.preprocess,
            postprocessor=loaded.postprocess,
            dataset_features={"action": {"dtype": "float32", "shape": (action_size,), "names": names}},
            ordered_action_keys=names,
            task="",
            device=str(loaded.config.device),
            robot_type="simulated",
        )
        self._denoiser, self._keys = loaded.denoiser, keys
        self._clock, self._slowdown, self._replay = clock, slowdown, replay

    def reset(self, seed: int = 0) -> None:
        """Forget the last episode; the seed is that of the policy's noise."""
        self._engine.reset()
        torch.manual_seed(seed)

    def decide(self, observation: dict[str, Any]) -> tuple[torch.Tensor, int, bool]:
        """The next action.

        Args:
            observation: As the environment gives it.

        Returns:
            The action (A,), what it took in nanoseconds, and whether a new chunk was planned.
        """
        frame = {self._keys[key]: value for key, value in observation.items()}
        with count_calls(self._denoiser) as counter:
            start = self._clock()
            action = self._engine.get_action(frame)
            took = round(self._slowdown * (self._clock() - start))
        planned = counter.calls > 0
        if self._replay is not None:
            took = next(self._replay) if planned else 0
        return action, took, planned

    def warm_up(self, observation: dict[str, Any], decisions: int = 3) -> None:
        """Plan a few times unseen: first calls are slower than all others."""
        for _ in range(decisions):
            self.reset()
            self._engine.get_action({self._keys[key]: value for key, value in observation.items()})


class ExportedController:
    """An exported policy at the robot: its runtime without torch, with a watch.

    Args:
        policy: The runtime.
        keys: What the policy calls each of the robot's observations.
        clock: What measures a decision, in nanoseconds.
        slowdown: Factor on measured times.
        replay: See `Controller`.
    """

    def __init__(
        self,
        policy: ExportedPolicy,
        keys: dict[str, str],
        clock: Callable[[], int],
        slowdown: float = 1.0,
        replay: Iterator[int] | None = None,
    ):
        self._policy, self._keys, self._clock = policy, keys, clock
        self._slowdown, self._replay, self._decisions = slowdown, replay, 0

    def reset(self, seed: int = 0) -> None:
        """Forget the last episode; the seed is that of the policy's noise."""
        self._policy.reset(seed)
        self._decisions = 0

    def decide(self, observation: dict[str, Any]) -> tuple[torch.Tensor, int, bool]:
        """The next action; see `Controller`."""
        frame = {self._keys[key]: value for key, value in observation.items()}
        planned = self._decisions % self._policy.manifest["n_action_steps"] == 0
        self._decisions += 1
        start = self._clock()
        action = self._policy.act(frame)
        took = round(self._slowdown * (self._clock() - start))
        if self._replay is not None:
            took = next(self._replay) if planned else 0
        return torch.from_numpy(action), took, planned

    def warm_up(self, observation: dict[str, Any], decisions: int = 3) -> None:
        """Plan a few times unseen: first calls are slower than all others."""
        for _ in range(decisions):
            self.reset()
            self._policy.act({self._keys[key]: value for key, value in observation.items()})


def run_episode(robot: SimulatedRobot, controller: Controller | ExportedController, seed: int) -> list[Tick]:
    """Control the robot until its episode is over.

    Args:
        robot: Reset here.
        controller: Reset here.
        seed: Of the start state and of the policy's noise.

    Returns:
        Every turn of the loop.
    """
    robot.reset(seed)
    controller.reset(seed)
    ticks: list[Tick] = []
    now = 0
    while not robot.over:
        action, decision, planned = controller.decide(robot.observe())
        missed = missed_periods(decision, robot.period)
        robot.send(action.numpy(), now + decision)
        ticks.append(Tick(now, decision, planned, missed))
        now += (1 + missed) * robot.period
        robot.run_until(now)
    return ticks
