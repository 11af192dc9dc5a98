"""Vector environments whose finished members idle until the whole batch restarts."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode
from lerobot.envs.utils import NEW_ROLLOUT_OPTION, _LazyAsyncVectorEnv, freeze_after_episode_end

from lerobot_sdm.processes.threads import passive_waiting


class _ResetStartsRollout:
    """Frozen members thaw on any reset of the batch; LeRobot's own thaw only on an option of its rollout.

    Gymnasium's automatic resets call the members, not the batch, so members stay frozen.
    """

    def reset(self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None):
        return super().reset(seed=seed, options={NEW_ROLLOUT_OPTION: True, **(options or {})})


class RestingSyncVectorEnv(_ResetStartsRollout, gym.vector.SyncVectorEnv):
    """Members in this process."""


class RestingAsyncVectorEnv(_ResetStartsRollout, _LazyAsyncVectorEnv):
    """Members in separate processes, started at the first reset."""

    def __init__(self, makers: list[Callable[[], gym.Env]], preload: str):
        super().__init__(makers)
        self.preload = preload

    def _ensure(self) -> None:
        os.environ.update(passive_waiting())
        # Imports take many seconds. The fork server makes them once, and every member starts as its copy. The
        # scripts stand for the main module, which each member imports again.
        scripts = ("lerobot.scripts.lerobot_eval", "lerobot.scripts.lerobot_train")
        preload = [self.preload, *(name for name in scripts if name in sys.modules)]
        multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
        super()._ensure()


def make_vector_env(
    make_one: Callable[[], gym.Env], n_envs: int, use_async_envs: bool, preload: str
) -> RestingSyncVectorEnv | RestingAsyncVectorEnv:
    """Build a vector environment for LeRobot's rollouts.

    A rollout runs until its last member is done. A member that finishes early repeats its last transition,
    with reward 0, at no cost, while Gymnasium would simulate and render a further episode for nothing. That
    needs `NEXT_STEP` autoreset: `SAME_STEP` would replace the final observation, and `DISABLED` refuses
    to step a batch with a finished member.

    Args:
        make_one: Builds one member; must be picklable for processes.
        n_envs: How many members.
        use_async_envs: Whether to use processes; ignored for a single member.
        preload: The module that members need, imported once for all processes.
    """
    makers = [make_one] * n_envs
    if use_async_envs and n_envs > 1:
        return RestingAsyncVectorEnv(makers, preload)
    makers = [freeze_after_episode_end(make) for make in makers]
    return RestingSyncVectorEnv(makers, autoreset_mode=AutoresetMode.NEXT_STEP)
