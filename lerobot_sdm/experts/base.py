"""The base class of experts, and their registry."""

from abc import ABC, abstractmethod
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from lerobot_sdm.errors import InputError, check_at_least, unknown_name


class Expert(ABC):
    """Acts while demonstrations are recorded; may use the simulator's full state, which a policy never sees.

    A subclass implements `plan`; this class adds noise and clips, so that all experts share both.

    Args:
        task: Short name of the task, such as `drawer-open`.
        action_noise: Standard deviation of Gaussian noise added to every action, in units of the action space.
            The noisy action is executed and recorded.
        clip: Clip actions to [-1, 1], which the simulator does anyway. False records the unclipped actions, like the
            demonstrations of the DP3 paper, whose actions go far beyond 1.

    Attributes:
        name: The registered name of the expert, if it has one.
        variants: Number of ways in which it does the task, such as passing an obstacle on either side. The recorder
            then starts consecutive episodes from the same state, one per variant.
        env_types: The environment types that it supports; None for any.
        reads: The kind of file or folder it reads, for messages; None if it reads none. The class gets its path as
            `path`.
        needs_path: Whether the path is required.
        exhausted: Whether it has no action for the current state, which ends the episode.
        refusal: Why the current episode must not become a demonstration even if it succeeds; None if it may.
    """

    name: ClassVar[str] = ""
    variants: ClassVar[int] = 1
    env_types: ClassVar[tuple[str, ...] | None] = None
    reads: ClassVar[str | None] = None
    needs_path: ClassVar[bool] = False

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True):
        check_at_least("action_noise", action_noise, 0)
        self.task = task
        self.action_noise = action_noise
        self.clip = clip
        self.variant = 0
        self.exhausted = False
        self.refusal: str | None = None
        self._rng = np.random.default_rng(0)

    def start(self, env: gym.Env, seed: int) -> dict[str, np.ndarray]:
        """Reset the environment to the start of an episode; returns the first observation.

        Args:
            env: The environment.
            seed: The episode's own seed; equal seeds give equal episodes.

        Raises:
            InputError: The expert cannot act in this episode.
        """
        return env.reset(seed=seed)[0]

    def reset(self, env: gym.Env, seed: int, variant: int = 0) -> None:
        """Prepare for an episode; called after `start`.

        Args:
            env: The environment, already reset.
            seed: The episode's own seed; equal seeds give equal episodes.
            variant: Index of the variant to take.
        """
        self.variant, self.exhausted, self.refusal = variant, False, None
        self._rng = np.random.default_rng(seed)

    def act(self, env: gym.Env) -> np.ndarray:
        """The action for the environment's current state, (A,) float32."""
        action = np.asarray(self.plan(env), dtype=np.float64)
        if self.action_noise:
            action = action + self._rng.normal(0.0, self.action_noise, action.shape)
        if self.clip:
            action = np.clip(action, -1.0, 1.0)
        return action.astype(np.float32)

    @abstractmethod
    def plan(self, env: gym.Env) -> np.ndarray:
        """The expert's action, (A,), before noise and clipping."""

    def provenance(self) -> dict[str, Any]:
        """Facts needed to record the dataset again; plain values only."""
        name = self.name or f"{type(self).__module__}:{type(self).__qualname__}"
        return {"name": name, "action_noise": self.action_noise, "clip": self.clip}


# Name -> "module:Class", so that registering an expert does not import its simulator.
_EXPERTS: dict[str, str] = {}
_DEFAULTS: dict[str, str] = {}


def register_expert(name: str, target: str, default_for: tuple[str, ...] = ()) -> None:
    """Register an expert.

    Args:
        name: Its name for `--expert`.
        target: Its class, as "module:Class".
        default_for: Environment types, or single tasks as "type/task", that use it by default.
    """
    _EXPERTS[name] = target
    _DEFAULTS.update(dict.fromkeys(default_for, name))


def expert_names() -> list[str]:
    """The names of all registered experts."""
    return sorted(_EXPERTS)


def default_expert(env_type: str, task: str) -> str:
    """The name of a task's default expert.

    Raises:
        InputError: The environment type has no default expert.
    """
    found = _DEFAULTS.get(f"{env_type}/{task}") or _DEFAULTS.get(env_type)
    if found is None:
        raise InputError(f"--env.type={env_type}: has no default expert. Give one with --expert=module:Class.")
    return found


def check_expert(name: str, env_type: str, path: Path | None) -> None:
    """Refuse an expert that does not support this environment, or lacks its file.

    Args:
        name: Registered name, or "module:Class".
        env_type: Type of the environment.
        path: Value of `--expert-path`.

    Raises:
        InputError: The expert cannot be used like this.
    """
    expert = expert_class(name)
    if expert.env_types is not None and env_type not in expert.env_types:
        raise InputError(
            f"--expert={name}: supports {' and '.join(expert.env_types)}, not {env_type}. "
            f"Give one of {', '.join(_names_for(env_type))}."
        )
    if path is not None and expert.reads is None:
        raise InputError(f"--expert-path={path}: expert '{name}' reads no file. Drop the option.")
    if path is None and expert.needs_path:
        raise InputError(f"--expert-path: is missing. Expert '{name}' needs {expert.reads}.")
    if path is not None and not path.exists():
        raise InputError(f"--expert-path={path}: does not exist. Give {expert.reads}.")


def check_variants(option: str, episodes: int, name: str) -> None:
    """Refuse a number of demonstrations that would leave out a variant of some start.

    Args:
        option: The option that gives the number.
        episodes: The number.
        name: Registered name of the expert, or "module:Class".

    Raises:
        InputError: It is not a multiple of the expert's variants.
    """
    variants = expert_class(name).variants
    if episodes % variants:
        raise InputError(
            f"{option}={episodes}: expert '{name}' records every start state {variants} times. Give a multiple of "
            f"{variants}."
        )


def _names_for(env_type: str) -> list[str]:
    classes = {name: expert_class(name) for name in expert_names()}
    return [name for name, found in classes.items() if found.env_types is None or env_type in found.env_types]


def expert_class(name: str) -> type[Expert]:
    """Find an expert by its registered name, or by "module:Class" if it is not registered.

    Raises:
        InputError: No such expert.
    """
    target = _EXPERTS.get(name, name)
    if ":" not in target:
        raise unknown_name("--expert", name, _EXPERTS)
    try:
        found = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"--expert: '{target}' cannot be imported ({error}).") from error
    if not (isinstance(found, type) and issubclass(found, Expert)):
        raise InputError(f"--expert: '{target}' is not an Expert. Derive it from lerobot_sdm.experts.Expert.")
    return found


def make_expert(name: str, task: str, **options: Any) -> Expert:
    """Build an expert.

    Args:
        name: Registered name, or "module:Class".
        task: Short name of the task.
        options: Passed to the expert, such as `action_noise` and `clip`.

    Raises:
        InputError: There is no such expert, or it does not know the task.
    """
    return expert_class(name)(task, **options)
