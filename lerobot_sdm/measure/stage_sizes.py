"""Sizes of a run's stages: roughly the seconds that each takes on one core of a typical machine.

Only proportions matter, see `estimate`. They were measured with the default run; with other networks, simulators or
devices, stages are compared only with others of their kind.
"""

from dataclasses import replace

from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.sizes import SMALL
from lerobot_sdm.measure.stages import Stage

RECORDING, RECORDED_EPISODE = 3.0, 0.5
TRAINING, TEACHER_STEP, STUDENT_STEP = 5.0, 0.13, 0.09
EXPERT, EXPERT_EPISODE = 2.0, 0.1
EVALUATION, EVALUATED_EPISODE = 8.0, 0.4
DISTANCES, DISTANCE_SAMPLE = 3.0, 0.008
LATENCY, REPORT = 4.0, 6.0


def sized(stage: Stage, config: RunSettings) -> Stage:
    """A stage with its size filled in; unchanged if the size is unknown."""
    size = _size(stage, config)
    if size is None:
        return stage
    kind = stage.name.partition("_")[0]
    # All other stages mostly sample and simulate, as evaluations do.
    kind = kind if kind in ("record", "train") else "evaluate"
    return replace(stage, kind=kind, size=size, typical=_is_typical(config))


def _size(stage: Stage, config: RunSettings) -> float | None:
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
    if stage.name.startswith("evaluate_"):
        return sizes.get(stage.name, EVALUATION + EVALUATED_EPISODE * config.eval_episodes)
    return sizes.get(stage.name)


def _is_typical(config: RunSettings) -> bool:
    """Whether the proportions given here hold across stages of all kinds."""
    usual = config.env_type == SMALL.env_type and config.device == SMALL.device
    return usual and config.teacher.policy.get("down_dims") == SMALL.teacher.policy["down_dims"]
