"""Estimate a run's remaining time from the stages so far, and from the sizes of those that are left."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.sizes import SMALL
from lerobot_sdm.measure.stages import Stage, startable

# Roughly the seconds that stages take on one core of a typical machine, measured with the default run. Only proportions
# matter; with other networks, simulators or devices, stages are compared only with others of their kind.
RECORDING, RECORDED_EPISODE = 3.0, 0.5
TRAINING, TEACHER_STEP, STUDENT_STEP = 5.0, 0.13, 0.09
EXPERT, EXPERT_EPISODE = 2.0, 0.1
EVALUATION, EVALUATED_EPISODE = 8.0, 0.4
DISTANCES, DISTANCE_SAMPLE = 3.0, 0.008
LATENCY, REPORT = 4.0, 6.0


def seconds_left(
    stages: Sequence[Stage], finished: Mapping[str, float], running: Mapping[str, float], cores: int
) -> float | None:
    """Estimated seconds until the last stage finishes.

    A stage's time per size is that of finished stages of its kind or, for a typical stage of a kind of which none has
    finished, that of all typical stages; the rest of the plan is then simulated as it will run.

    Args:
        finished: Seconds that each finished stage took.
        running: Seconds for which each running stage has run.
        cores: How many cores stages use together.

    Returns:
        None if nothing is left, or if a remaining stage cannot be estimated.
    """
    durations = {stage.name: _duration(stage, stages, finished) for stage in stages if stage.name not in finished}
    if not durations or None in durations.values():
        return None
    now, over = 0.0, set(finished)
    # A stage that is already overdue can end at any moment.
    active = {name: max(0.0, durations[name] - since) for name, since in running.items()}
    while active or len(over) < len(stages):
        while stage := startable(stages, over, active, cores):
            active[stage.name] = now + durations[stage.name]
        name = min(active, key=active.__getitem__)
        now = active.pop(name)
        over.add(name)
    return now


def _duration(stage: Stage, stages: Sequence[Stage], finished: Mapping[str, float]) -> float | None:
    """Estimated seconds of a stage; None if no comparable one has finished."""
    done = [other for other in stages if other.size and finished.get(other.name)]
    alike = [other for other in done if other.kind == stage.kind]
    if not alike and stage.typical:
        alike = [other for other in done if other.typical]
    if not alike or not stage.size:
        return None
    return stage.size * sum(finished[other.name] for other in alike) / sum(other.size for other in alike)


def rough_time(seconds: float) -> str:
    """A duration at the precision of an estimate: less than a minute, about 4 min, about 1 h 30 min."""
    minutes = round(seconds / 60)
    if seconds < 45:
        return "less than a minute"
    if minutes > 20:
        minutes = 5 * round(minutes / 5)
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest)
    return f"about {' '.join(parts)}"


def sized(stage: Stage, config: RunSettings) -> Stage:
    """A quickstart's stage with its kind and size filled in."""
    rules = 1 + len(config.other_rules)
    share = config.teacher.batch_size / SMALL.teacher.batch_size, config.student.batch_size / SMALL.student.batch_size
    sizes = {
        "record": RECORDING + RECORDED_EPISODE * config.episodes / stage.cores,
        "record_held_out": RECORDING + RECORDED_EPISODE * config.held_out_episodes,
        "train_teacher": TRAINING + TEACHER_STEP * config.teacher.steps * share[0],
        "train_student": TRAINING + STUDENT_STEP * config.student.steps * share[1],
        "train_regression": TRAINING + STUDENT_STEP * config.student.steps * share[1],  # As long, see `regression_of`.
        "evaluate_expert": EXPERT + EXPERT_EPISODE * config.eval_episodes * rules,
        "distances": DISTANCES + DISTANCE_SAMPLE * config.observations * config.samples,
        "latency": LATENCY,
        "report": REPORT,
    }
    an_evaluation = EVALUATION + EVALUATED_EPISODE * config.eval_episodes
    # Stages other than recording and training mostly sample and simulate, as evaluations do.
    kind = stage.name.partition("_")[0]
    kind = kind if kind in ("record", "train") else "evaluate"
    # Whether the proportions above hold across stages of all kinds.
    typical = (
        config.env_type == SMALL.env_type
        and config.device == SMALL.device
        and config.teacher.policy.get("down_dims") == SMALL.teacher.policy["down_dims"]
    )
    return replace(stage, kind=kind, size=sizes.get(stage.name, an_evaluation), typical=typical)
