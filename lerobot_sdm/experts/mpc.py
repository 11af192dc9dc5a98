"""Sampling-based MPC: an expert that needs no file and no training, only a simulator and a cost.

Every few steps it samples plans, rolls them out in the simulator, and executes the first actions of the cheapest one.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.adroit.tasks import HAND_TASKS
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts.base import Expert
from lerobot_sdm.experts.dapg import DAPGExpert
from lerobot_sdm.experts.mpc_costs import TaskCost, task_cost
from lerobot_sdm.experts.prediction import HandPrediction, Prediction, prediction_class
from lerobot_sdm.experts.search import Search, improve, moved_on


class MPCExpert(Expert):
    """Receding-horizon search for low-cost plans, see `Search`.

    Args:
        task, action_noise, clip: See `Expert`.
        path: For an Adroit task, a policy of `hand_dapg` that guides the search. The search starts from the cheaper of
            its rollout and the shifted previous plan.
        search: Settings of the search; defaults to the task's own.
        threads: Number of parallel rollouts; defaults to all cores. Episodes do not depend on it.

    Raises:
        InputError: The file belongs to another task, or is not such a policy.
    """

    name: ClassVar[str] = "mpc"
    env_types: ClassVar[tuple[str, ...]] = ("adroit", "metaworld_pc")
    reads: ClassVar[str] = "a policy of hand_dapg as a guide, such as pen-v0.pickle"

    def __init__(
        self,
        task: str,
        action_noise: float = 0.0,
        clip: bool = True,
        path: Path | None = None,
        search: Search | None = None,
        threads: int | None = None,
    ):
        super().__init__(task, action_noise, clip)
        if path is not None and task not in HAND_TASKS:
            raise _no_guide_for(task)
        self._guide = None if path is None else DAPGExpert(task, path=path)
        self._search = search
        self._threads = threads
        self._cost: TaskCost | None = None
        self._prediction: Prediction | None = None
        self._plan: NDArray[np.float64] | None = None
        self._executed = self._due = 0

    def start(self, env: gym.Env, seed: int) -> dict[str, NDArray]:
        family = prediction_class(env.unwrapped).family
        if self._guide is not None and family != HandPrediction.family:
            raise _no_guide_for(f"{family}'s {self.task}")
        self._cost = task_cost(family, self.task)
        return super().start(env, seed)

    def reset(self, env: gym.Env, seed: int, variant: int = 0) -> None:
        super().reset(env, seed, variant)
        if self._prediction is None or self._prediction.env is not env.unwrapped:
            self._prediction = prediction_class(env.unwrapped)(env.unwrapped, self._cost.watched, self._threads)
        self._prediction.follow()
        # Independent of the action noise.
        self._draws = np.random.default_rng([seed, variant, 1])
        self._plan = np.zeros((self.search.horizon, *env.action_space.shape))
        self._executed = self._due = 0

    @property
    def search(self) -> Search:
        """The settings in use."""
        return self._search or (self._cost.search if self._guide is None else self._cost.guided)

    def plan(self, env: gym.Env) -> NDArray[np.float64]:
        """The next action of the current plan, (A,); searches for a new plan first if one is due."""
        if self._executed == self._due:
            bases = [moved_on(self._plan, self._executed)]
            if self._guide is not None:
                bases.append(self._prediction.follow_policy(self._guide.policy, self.search.horizon))
            self._plan = improve(bases, self._price, self.search, self._draws)
            self._executed, self._due = 0, self._next_search()
        action = self._plan[self._executed]
        self._executed += 1
        return action

    def provenance(self) -> dict[str, Any]:
        search = {} if self._cost is None else {"search": dataclasses.asdict(self.search), "cost": self._cost.weights}
        guide = {} if self._guide is None else {"guide": self._guide.provenance()}
        return super().provenance() | search | guide

    def _price(self, plans: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._cost(self._prediction(plans))

    def _next_search(self) -> int:
        """Steps until the next search; more if the task is done over the whole plan."""
        search, settled = self.search, self._cost.settled
        if settled is None or not settled(self._prediction(self._plan[None])).all():
            return search.replan
        return max(search.replan, search.horizon // 2)


def _no_guide_for(task: str) -> InputError:
    return InputError(f"--expert-path: a policy of hand_dapg is for Adroit tasks, not for {task}. Drop the option.")
