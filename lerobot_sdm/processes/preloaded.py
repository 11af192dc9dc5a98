"""What the warm process of a run imports: all that LeRobot's commands and those of this package are made of.

What is missing here costs each command its own import. Nothing here may start a thread.
"""

RECORDING = (
    "lerobot_policy_sdm",
    "lerobot_sdm.cli.main",
    "lerobot_sdm.cli.record",
    "lerobot_sdm.datasets.record",
    "lerobot_sdm.datasets.write",
    "lerobot_sdm.processes.compiled",
    "metaworld.policies",
    "datasets.io.parquet",
    "jinja2",
    "pydantic.type_adapter",
    "scipy.io",
)
"""What `lerobot-sdm record` needs, the first command of a run."""

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
    "lerobot_sdm.measure.quickstart_results",
    "scipy.stats",
    "lerobot_sdm.measure.pictures",
    "lerobot_sdm.measure.video",
)
"""What trainings, evaluations and reports need besides."""
