"""Stages shared by quickstart and benchmark, and the exact command of each.

Pure functions of settings and a folder, except `continue_training_command`, which may repair a link.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lerobot_sdm.measure.methods import ROWS, RUNS, TableRow
from lerobot_sdm.measure.settings import RunSettings, Training
from lerobot_sdm.measure.stages import Stage
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.specs import flag_text, flags

TRAIN_CONFIG = Path("checkpoints/last/pretrained_model/train_config.json")


@dataclass(frozen=True)
class RunLayout:
    """Paths in a run's folder."""

    root: Path

    @property
    def demonstrations(self) -> Path:
        return self.root / "data" / "demonstrations"

    @property
    def held_out(self) -> Path:
        return self.root / "data" / "held_out"

    def training(self, run: str) -> Path:
        return self.root / run

    def checkpoint(self, run: str, name: str = "last") -> Path:
        return self.training(run) / "checkpoints" / name / "pretrained_model"

    def evaluation(self, key: str, rule: str | None = None) -> Path:
        return self.root / "evaluation" / (key if rule is None else f"{key}_{rule}")

    @property
    def expert(self) -> Path:
        return self.root / "evaluation" / "expert.json"

    @property
    def distances(self) -> Path:
        return self.root / "evaluation" / "distances.json"

    @property
    def latency(self) -> Path:
        return self.root / "evaluation" / "latency.json"

    @property
    def results(self) -> Path:
        return self.root / "results.json"


def dataset_name(config: RunSettings, held_out: bool = False) -> str:
    """Name of a run's dataset, which exists only in the run's folder."""
    return f"local/{config.name}" + ("-held-out" if held_out else "")


def record_stage(config: RunSettings, layout: RunLayout, held_out: bool = False, **options: Any) -> Stage:
    """The stage that records demonstrations, for training or held out; `options` are further fields of `Stage`."""
    name, what = ("record_held_out", "held-out demonstrations") if held_out else ("record", "demonstrations")
    produces = layout.held_out if held_out else layout.demonstrations
    command = (
        "lerobot-sdm",
        "record",
        *_environment_flags(config),
        f"--episodes={config.held_out_episodes if held_out else config.episodes}",
        f"--seed={config.held_out_seed if held_out else config.demo_seed}",
        f"--repo_id={dataset_name(config, held_out)}",
        f"--root={produces}",
        *flags(config.record),
    )
    return Stage(name, f"Record {what}", produces, command, whole=True, **options)


def training_stage(
    config: RunSettings,
    layout: RunLayout,
    run: str,
    training: Training,
    seed: int,
    name_of: Callable[[str], str],
    title: str,
    **options: Any,
) -> Stage:
    """The stage of one training, which resumes from its last checkpoint.

    Args:
        run: What is trained, one of `methods.RUNS`.
        name_of: Run -> folder of that training.
        options: Further fields of `Stage`.
    """
    name, kind = name_of(run), RUNS[run]
    policy = {"type": kind.policy}
    if kind.source is not None:
        policy[kind.option] = str(layout.checkpoint(name_of(kind.source)))
    command = (
        "lerobot-train",
        *flags(policy | training.policy, "policy."),
        f"--policy.device={config.device}",
        "--policy.push_to_hub=false",
        f"--dataset.repo_id={dataset_name(config)}",
        f"--dataset.root={layout.demonstrations}",
        f"--steps={training.steps}",
        f"--batch_size={training.batch_size}",
        f"--save_freq={training.save_freq}",
        "--env_eval_freq=0",
        f"--seed={seed}",
        *flags(training.options),
        f"--output_dir={layout.training(name)}",
    )
    goes_on = partial(continue_training_command, layout, name)
    return Stage(f"train_{name}", title, layout.training(name), command, continue_command=goes_on, **options)


def continue_training_command(layout: RunLayout, run: str) -> tuple[str, ...] | None:
    """Command that resumes a training from its last checkpoint; None if there is none.

    LeRobot finishes writing a checkpoint and then replaces the link `last`, removing the old one first. If it was
    killed in between, the link is missing and the newest of several checkpoints is complete, so the link is recreated.
    A single checkpoint without the link may be incomplete.
    """
    train_config = layout.training(run) / TRAIN_CONFIG
    last = train_config.parents[1]
    checkpoints = sorted(last.parent.glob("[0-9]*"))
    if not last.is_symlink() and len(checkpoints) > 1:
        last.symlink_to(checkpoints[-1].name)
    if not train_config.exists():
        return None
    # Otherwise LeRobot would resume in the folder stored in the checkpoint, even if it has been moved since.
    return ("lerobot-train", "--resume=true", f"--config_path={train_config}", f"--output_dir={layout.training(run)}")


def evaluate_command(config: RunSettings, layout: RunLayout, row: TableRow, rule: str | None = None) -> tuple[str, ...]:
    """Command that measures the success of one row; all rows and rules get the same seeds."""
    return lerobot_eval(
        layout.checkpoint(row.run, row.checkpoint),
        [
            *flags(row.overrides, "policy."),
            f"--policy.device={config.device}",
            *_environment_flags(config, rule),
            *flags(config.chunk, "env."),
        ],
        config.eval_episodes,
        config.eval_batch_size,
        config.eval_seed,
        layout.evaluation(row.key, rule),
        config.eval_async,
    )


def lerobot_eval(
    policy: str | Path,
    options: Sequence[str],
    episodes: int,
    batch_size: int,
    seed: int,
    output: Path,
    use_async_envs: bool = False,
) -> tuple[str, ...]:
    """Command that evaluates a policy.

    Args:
        policy: Checkpoint folder or Hub repository.
        options: `--policy.*` and `--env.*`.
        batch_size: Episodes that LeRobot runs together.
        seed: Of the first episode; counts up from there.
        use_async_envs: Whether environments run in separate processes.
    """
    return (
        "lerobot-eval",
        f"--policy.path={policy}",
        *options,
        f"--eval.n_episodes={episodes}",
        # LeRobot fills up its last batch with episodes that are not counted.
        f"--eval.batch_size={min(batch_size, episodes)}",
        f"--eval.use_async_envs={flag_text(use_async_envs)}",
        f"--seed={seed}",
        f"--output_dir={output}",
    )


def distance_command(config: RunSettings, layout: RunLayout) -> tuple[str, ...]:
    """Command that compares the action samples of a quickstart's rows with its teacher's."""
    teacher, *others = (policy_of(row, layout).text() for row in ROWS)
    return (
        "lerobot-sdm",
        "distance",
        f"--teacher={teacher}",
        *(f"--policy={text}" for text in others),
        f"--dataset.repo_id={dataset_name(config, held_out=True)}",
        f"--dataset.root={layout.held_out}",
        f"--observations={config.observations}",
        f"--samples={config.samples}",
        f"--device={config.device}",
        f"--output={layout.distances}",
    )


def policy_of(row: TableRow, layout: RunLayout) -> PolicySpec:
    """The policy spec of a row, labeled with the row's key."""
    return PolicySpec(row.key, str(layout.checkpoint(row.run, row.checkpoint)), row.overrides)


def _environment_flags(config: RunSettings, rule: str | None = None) -> list[str]:
    options = config.env | ({} if rule is None else config.other_rules[rule])
    return [f"--env.type={config.env_type}", f"--env.task={config.task}", *flags(options, "env.")]
