"""The exact command of each stage of a run. Pure functions of a config and a folder, but for one that mends a link."""

from dataclasses import dataclass, field
from pathlib import Path

from lerobot_sdm.measure.settings import Flags, PipelineConfig, Training, flags
from lerobot_sdm.policies.sdm import GENERATOR_TIMESTEP

TRAIN_CONFIG = Path("checkpoints/last/pretrained_model/train_config.json")


@dataclass(frozen=True)
class Row:
    """One row of the table: a checkpoint, sampled in a certain way.

    Args:
        key: Name of its files.
        label: Name in the table.
        run: Which training it comes from, `teacher` or `student`.
        overrides: `--policy.*` options at evaluation.
        checkpoint: Which of its checkpoints: `last`, or a step as LeRobot writes it.
    """

    key: str
    label: str
    run: str
    overrides: dict[str, str] = field(default_factory=dict)
    checkpoint: str = "last"


ROWS = (
    Row("teacher_10", "teacher, 10 steps", "teacher", {"num_inference_steps": "10"}),
    Row("teacher_2", "teacher, 2 steps", "teacher", {"num_inference_steps": "2"}),
    Row("teacher_1", "teacher, 1 step", "teacher", {"num_inference_steps": "1"}),
    # What the student is before its first training step: the teacher, read out at the generator's timestep.
    Row(
        "generator",
        f"untrained student: teacher, 1 step at t = {GENERATOR_TIMESTEP}",
        "teacher",
        {"num_inference_steps": "1", "inference_start_timestep": str(GENERATOR_TIMESTEP)},
    ),
    Row("student", "student (SDM), 1 step", "student"),
)
EXPERT_LABEL = "expert (sees the full state)"


@dataclass(frozen=True)
class Layout:
    """Where everything lies in a run's folder."""

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


def dataset_name(config: PipelineConfig, held_out: bool = False) -> str:
    """Name of a run's dataset; it only ever exists in the run's folder."""
    return f"local/{config.name}" + ("-held-out" if held_out else "")


def record_command(config: PipelineConfig, layout: Layout, held_out: bool = False) -> tuple[str, ...]:
    """Command that records demonstrations."""
    return (
        "lerobot-sdm",
        "record",
        *_environment_flags(config),
        f"--episodes={config.held_out_episodes if held_out else config.episodes}",
        f"--seed={config.held_out_seed if held_out else config.demo_seed}",
        f"--repo_id={dataset_name(config, held_out)}",
        f"--root={layout.held_out if held_out else layout.demonstrations}",
        *flags(config.record),
    )


def train_command(config: PipelineConfig, layout: Layout, run: str) -> tuple[str, ...]:
    """Command that trains the teacher or distils the student."""
    kind = {"type": "dp3"} if run == "teacher" else {"type": "sdm", "teacher_path": layout.checkpoint("teacher")}
    return training_command(config, layout, run, kind, getattr(config, run), config.train_seed)


def training_command(
    config: PipelineConfig, layout: Layout, run: str, kind: Flags, training: Training, seed: int
) -> tuple[str, ...]:
    """Command of one training.

    Args:
        config: Dataset and device.
        layout: Where everything lies.
        run: Name of the training's folder.
        kind: `--policy.*` options that say what is trained, and from what.
        training: How much, and with which settings.
        seed: Its `--seed`.
    """
    return (
        "lerobot-train",
        *flags(kind | training.policy, "policy."),
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
        f"--output_dir={layout.training(run)}",
    )


def continue_training_command(layout: Layout, run: str) -> tuple[str, ...] | None:
    """Command that resumes a training from its last checkpoint, None where it had not written one.

    LeRobot writes a checkpoint whole and then replaces the link `last`, by taking the old one away first. Where it was
    killed in between, the link is missing, and the newest of several checkpoints is whole: the link is made again. A
    single checkpoint without the link may be half-written.
    """
    train_config = layout.training(run) / TRAIN_CONFIG
    last = train_config.parents[1]
    checkpoints = sorted(last.parent.glob("[0-9]*"))
    if not last.is_symlink() and len(checkpoints) > 1:
        last.symlink_to(checkpoints[-1].name)
    if not train_config.exists():
        return None
    # LeRobot would otherwise go on in the folder that the checkpoint remembers, even if it was moved since.
    return (
        "lerobot-train",
        "--resume=true",
        f"--config_path={train_config}",
        f"--output_dir={layout.training(run)}",
    )


def evaluate_command(config: PipelineConfig, layout: Layout, row: Row, rule: str | None = None) -> tuple[str, ...]:
    """Command that measures the success of one row; all rows and rules get the same seeds."""
    return (
        "lerobot-eval",
        f"--policy.path={layout.checkpoint(row.run, row.checkpoint)}",
        *flags(row.overrides, "policy."),
        f"--policy.device={config.device}",
        *_environment_flags(config, rule),
        f"--eval.n_episodes={config.eval_episodes}",
        # LeRobot fills up its last batch with episodes that nobody counts.
        f"--eval.batch_size={min(config.eval_batch_size, config.eval_episodes)}",
        f"--eval.use_async_envs={'true' if config.eval_async else 'false'}",
        f"--seed={config.eval_seed}",
        f"--output_dir={layout.evaluation(row.key, rule)}",
    )


def distance_command(config: PipelineConfig, layout: Layout) -> tuple[str, ...]:
    """Command that compares the action samples of all rows with the teacher's."""
    teacher, *others = ROWS
    return (
        "lerobot-sdm",
        "distance",
        f"--teacher={contender_text(layout, teacher)}",
        *(f"--policy={contender_text(layout, row)}" for row in others),
        f"--dataset.repo_id={dataset_name(config, held_out=True)}",
        f"--dataset.root={layout.held_out}",
        f"--observations={config.observations}",
        f"--samples={config.samples}",
        f"--device={config.device}",
        f"--output={layout.distances}",
    )


def contender_text(layout: Layout, row: Row) -> str:
    """A row as `lerobot-sdm distance` takes it: PATH,label=KEY,FIELD=VALUE."""
    settings = [f"{key}={value}" for key, value in row.overrides.items()]
    return ",".join([str(layout.checkpoint(row.run)), f"label={row.key}", *settings])


def _environment_flags(config: PipelineConfig, rule: str | None = None) -> list[str]:
    options = config.env | ({} if rule is None else config.other_rules[rule])
    return [f"--env.type={config.env_type}", f"--env.task={config.task}", *flags(options, "env.")]
