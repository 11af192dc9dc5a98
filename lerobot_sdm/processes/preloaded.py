"""What the warm process of a run imports: all that LeRobot's commands and those of this package are made of.

Order does not matter, and what is missing here costs each command its own import. Nothing here may start a thread.
"""

PRELOADED = (
    "lerobot_policy_sdm",
    "lerobot.scripts.lerobot_train",
    "lerobot.scripts.lerobot_eval",
    "lerobot_sdm.cli.main",
    "lerobot_sdm.cli.record",
    "lerobot_sdm.cli.distance",
    "lerobot_sdm.clouds.fps",
    "lerobot_sdm.datasets.write",
    "lerobot_sdm.envs.base",
    "lerobot_sdm.policies.dp3.modeling_dp3",
    "lerobot_sdm.policies.sdm.modeling_sdm",
    "lerobot_sdm.evaluation.distillation",
    "lerobot_sdm.evaluation.latency",
    "lerobot_sdm.pipeline.report",
    "lerobot_sdm.pipeline.pictures",
    "lerobot_sdm.pipeline.video",
    "metaworld.policies",
    "jinja2",
    "pydantic",
    "scipy.io",
)
