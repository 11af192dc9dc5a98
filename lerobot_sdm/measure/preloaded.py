"""Modules that a run's warm process imports: everything that LeRobot's and this package's commands need.

A module missing here is imported again by each command. Nothing here may start a thread.
"""

RECORDING = (
    "lerobot_policy_sdm",
    "lerobot_sdm.cli.main",
    "lerobot_sdm.cli.record",
    "lerobot_sdm.datasets.record",
    "lerobot_sdm.datasets.write",
    "lerobot_sdm.clouds.compiled",
    "metaworld.policies",
    "datasets.io.parquet",
    "jinja2",
    "pydantic.type_adapter",
    "scipy.io",
)
"""Modules for `lerobot-sdm record`, the first command of a run."""

EVERYTHING_ELSE = (
    "lerobot.scripts.lerobot_train",
    "lerobot.scripts.lerobot_eval",
    "lerobot_sdm.policies.dp3.modeling_dp3",
    "lerobot_sdm.policies.sdm.modeling_sdm",
    "lerobot_sdm.cli.distance",
    "lerobot_sdm.measure.expert",
    "lerobot_sdm.measure.distillation",
    "lerobot_sdm.measure.latency",
    "lerobot_sdm.measure.measurements",
    "lerobot_sdm.measure.quickstart_report",
    "scipy.stats",
    "lerobot_sdm.measure.pictures",
    "lerobot_sdm.measure.video",
    "lerobot_sdm.measure.parsers",
)
"""Further modules for trainings, evaluations and reports."""
