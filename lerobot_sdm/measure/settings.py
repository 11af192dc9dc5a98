"""Settings of a run: the task, amounts, and its two trainings."""

from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from lerobot_sdm.errors import InputError, check_at_least
from lerobot_sdm.experts import default_expert
from lerobot_sdm.measure.suites import table_name

Flags = dict[str, Any]
"""Values of command-line options by name, without the prefix: {"down_dims": [64, 128]} -> --policy.down_dims=..."""

DEFAULT_CHUNK = {"n_action_steps": 8, "n_obs_steps": 2}
"""Those of the policies' configurations, which importing would cost many seconds."""


@dataclass(frozen=True)
class Training:
    """One call of `lerobot-train`.

    Args:
        steps: Optimizer steps.
        batch_size: Samples per step.
        save_freq: Steps between checkpoints, the most that an interruption can lose.
        policy: `--policy.*` options.
        options: Further options, such as {"num_workers": 0}.
    """

    steps: int
    batch_size: int
    save_freq: int
    policy: Flags = field(default_factory=dict)
    options: Flags = field(default_factory=dict)


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run from demonstrations to a table. Results depend on these values alone.

    Args:
        task: Short name of the task, as `--env.task`.
        teacher: Training of the dp3 policy.
        student: Training of the sdm policy.
        env_type: Environment type, as `--env.type`.
        env: `--env.*` options, such as {"num_points": 256}; used for recording and for evaluation.
        episodes: Demonstrations to train on.
        held_out_episodes: Further demonstrations on which action distributions are compared.
        record: Further options of `lerobot-sdm record`, such as {"expert": "scripted"}.
        eval_episodes: Episodes per row of the table, over the same seeds.
        eval_batch_size: Environments that LeRobot steps together.
        eval_async: Whether they run in separate processes.
        other_rules: Further evaluations of every row on the same seeds, such as another way of counting successes or
            other objects: name -> `--env.*` options that differ, such as {"ever": {"success_rule": "dp3_ever"}}.
        observations: Held-out observations on which action samples are compared.
        samples: Action samples per observation and policy.
        latency_repeats: Timed action chunks per policy.
        demo_seed: Seed of the first demonstration; counts up by one per attempt.
        held_out_seed: Seed of the first held-out demonstration.
        eval_seed: Seed of the first evaluation episode.
        train_seed: `--seed` of both trainings.
        device: Torch device.
        threads: OMP_NUM_THREADS for every command.
    """

    task: str
    teacher: Training
    student: Training
    env_type: str = "metaworld_pc"
    env: Flags = field(default_factory=dict)
    episodes: int = 50
    held_out_episodes: int = 10
    record: Flags = field(default_factory=dict)
    eval_episodes: int = 50
    eval_batch_size: int = 10
    eval_async: bool = False
    other_rules: dict[str, Flags] = field(default_factory=dict)
    observations: int = 64
    samples: int = 64
    latency_repeats: int = 30
    demo_seed: int = 0
    held_out_seed: int = 50_000
    eval_seed: int = 100_000
    train_seed: int = 1
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("episodes", "held_out_episodes", "eval_episodes", "observations", "latency_repeats", "threads"):
            check_at_least(f"--{name.replace('_', '-')}", getattr(self, name))
        for name in ("teacher", "student"):
            check_at_least(f"--{name}-steps", getattr(self, name).steps)
        check_at_least("--train-seed", self.train_seed, 0)
        if self.samples < 2:
            raise InputError(f"samples={self.samples}: comparing action samples needs at least 2. Give 2 or more.")
        # Far apart, so that attempts that the recorder discards cannot run into the next range.
        first_seeds = sorted([self.demo_seed, self.held_out_seed, self.eval_seed])
        if min(b - a for a, b in pairwise(first_seeds)) < 10_000:
            raise InputError(
                f"demo_seed={self.demo_seed}, held_out_seed={self.held_out_seed}, eval_seed={self.eval_seed}: keep "
                "them at least 10000 apart, so that policies are not evaluated on starts that they were trained on."
            )

    @property
    def chunk(self) -> Flags:
        """How the teacher and every policy made from it plan, so that evaluations make only the clouds they read."""
        return {name: self.teacher.policy.get(name, default) for name, default in DEFAULT_CHUNK.items()}

    @property
    def name(self) -> str:
        """The task's `table_name`."""
        return table_name(self.env_type, self.task)

    @property
    def eval_seeds(self) -> range:
        """Seeds of the evaluation episodes, the same for every row and the expert."""
        return range(self.eval_seed, self.eval_seed + self.eval_episodes)

    @property
    def expert(self) -> str:
        """Name of the expert that demonstrates."""
        return self.record.get("expert") or default_expert(self.env_type, self.task)

    def settings(self) -> dict[str, Any]:
        """All values as JSON-compatible ones."""
        return asdict(self)
