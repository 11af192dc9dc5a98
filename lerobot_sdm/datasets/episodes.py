"""Runs one episode with an expert, and keeps it in one file until the dataset is written."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import gymnasium as gym
import numpy as np

from lerobot_sdm.envs.base import PointCloudEnv
from lerobot_sdm.experts import Expert
from lerobot_sdm.files import new_file

LOOK_EVERY = 25
"""Steps between two counts of the points that the clouds show."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at an episode; these numbers alone determine its content.

    Attributes:
        index: Position in the order of attempts.
        seed: Seed of the environment and of the expert.
        variant: Index of the expert's way of doing the task.
    """

    index: int
    seed: int
    variant: int


def attempts(seed: int, variants: int) -> Iterator[Attempt]:
    """All attempts, without end: every start state once per variant, then the next start state."""
    for index in itertools.count():
        yield Attempt(index, seed + index // variants, index % variants)


@dataclass(frozen=True)
class Rules:
    """Which episodes to keep, and where to cut them; see `RecordOptions` for the fields."""

    keep: str = "any"
    min_success_steps: int = 5
    stop_after_success: int | None = None

    def accept(self, success: np.ndarray, success_steps: int) -> bool:
        """Whether an episode is kept whose recorded frames have these successes, (T,) bool, and that held the goal for
        so many simulator steps."""
        if self.keep == "all":
            return True
        enough = success_steps >= self.min_success_steps
        return enough and (self.keep != "last" or bool(success[-1]))

    def end(self, success: np.ndarray) -> int:
        """How many frames of an episode with these successes, (T,) bool, are recorded."""
        if self.stop_after_success is None or not success.any():
            return len(success)
        return min(len(success), int(np.argmax(success)) + self.stop_after_success + 1)

    def may_stop(self, first_success: int | None, success_steps: int, step: int) -> bool:
        """Whether steps after `step` can no longer change what is recorded or whether it is kept."""
        if self.stop_after_success is None or first_success is None:
            return False
        return step >= first_success + self.stop_after_success and success_steps >= self.min_success_steps


@dataclass
class Episode:
    """The outcome of an attempt.

    Attributes:
        attempt: The attempt.
        kept: Whether the rules accept it.
        success_steps: Simulator steps at the goal.
        points: Part of the scene -> points of the cloud on it, at every `LOOK_EVERY`th step.
        frames: Column -> (T, ...) values; empty unless kept.
    """

    attempt: Attempt
    kept: bool
    success_steps: int
    points: list[dict[str, int]] = field(default_factory=list)
    frames: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything to one `.npz`, which appears only when it is complete."""
        summary = {"attempt": asdict(self.attempt), "kept": self.kept, "success_steps": self.success_steps}
        summary["points"] = self.points
        with new_file(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, summary=json.dumps(summary), **self.frames)

    @classmethod
    def load(cls, path: Path, with_frames: bool = True) -> "Episode":
        """Read what `save` wrote; `with_frames=False` reads the outcome only."""
        with np.load(path) as stored:
            summary = json.loads(str(stored["summary"]))
            summary["attempt"] = Attempt(**summary["attempt"])
            frames = {key: stored[key] for key in stored.files if key != "summary"} if with_frames else {}
        return cls(**summary, frames=frames)


def drive(env: gym.Env, expert: Expert, attempt: Attempt, rules: Rules, columns: Mapping[str, str]) -> Episode:
    """Run one episode with the expert; the rules decide whether to keep it and where to cut it.

    Row t holds the observation before action t, the action, and the resulting reward and success.

    Args:
        env: Ends episodes itself, and reports at every step whether the goal holds and for how many simulator steps.
        columns: Observation key of the environment -> column of the dataset.
    """
    observation = expert.start(env, attempt.seed)
    expert.reset(env, attempt.seed, attempt.variant)
    rows: list[dict[str, np.ndarray]] = []
    points: list[dict[str, int]] = []
    first_success: int | None = None
    success_steps = 0
    for step in itertools.count():
        if step % LOOK_EVERY == 0 and isinstance(env, PointCloudEnv):
            points.append(env.points_by_part())
        action = expert.act(env)
        row = {column: np.array(observation[key]) for key, column in columns.items()}
        # The simulator gets the clipped action; the dataset keeps the one that the expert chose.
        accepted = np.clip(action, env.action_space.low, env.action_space.high)
        observation, reward, terminated, truncated, info = env.step(accepted)
        success, success_steps = bool(info["goal_reached"]), int(info["success_steps"])
        row["action"] = action
        row["next.reward"] = np.float32([reward])
        row["next.success"] = np.array([success])
        rows.append(row)
        if success and first_success is None:
            first_success = step
        if terminated or truncated or expert.exhausted or rules.may_stop(first_success, success_steps, step):
            break
    succeeded = np.array([row["next.success"][0] for row in rows])
    recorded = rules.end(succeeded)  # How long the simulation went on must not decide whether an episode is kept.
    kept = expert.refusal is None and rules.accept(succeeded[:recorded], success_steps)
    frames = {}
    if kept:
        rows = rows[:recorded]
        frames = {column: np.stack([row[column] for row in rows]) for column in rows[0]}
    return Episode(attempt, kept, success_steps, points, frames)


def shown_points(looks: Iterable[Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """Count the points that clouds show on each part of the scene.

    Args:
        looks: Part -> points on it, one mapping per cloud.

    Returns:
        Part -> `mean` and `least` number of points, in descending order of the mean.
    """
    looks = list(looks)
    parts = {part: [look.get(part, 0) for look in looks] for part in set().union(*looks)}
    shown = {part: {"mean": round(float(np.mean(counts)), 1), "least": min(counts)} for part, counts in parts.items()}
    return dict(sorted(shown.items(), key=lambda item: (-item[1]["mean"], item[0])))
