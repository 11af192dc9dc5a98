"""Policy types: one folder each, always configuration, modeling and processor."""

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.registration import register_choice


def config_classes() -> dict[str, type[PreTrainedConfig]]:
    """All policy types of this package: type name -> config class. Tests walk this."""
    from lerobot_sdm.policies.adjoint_matching.configuration_adjoint_matching import AdjointMatchingConfig
    from lerobot_sdm.policies.consistency.configuration_consistency import ConsistencyConfig
    from lerobot_sdm.policies.difftori.configuration_difftori import DiffTORIConfig
    from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
    from lerobot_sdm.policies.edm.configuration_edm import EdmConfig
    from lerobot_sdm.policies.manicm.configuration_manicm import ManiCMConfig
    from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig

    return {
        "adjoint_matching": AdjointMatchingConfig,
        "consistency": ConsistencyConfig,
        "difftori": DiffTORIConfig,
        "dp3": DP3Config,
        "edm": EdmConfig,
        "manicm": ManiCMConfig,
        "sdm": SDMConfig,
    }


def register() -> None:
    """Make the policy types, and the processor steps that their saved pipelines name, known to LeRobot's commands."""
    import lerobot_sdm.policies.dp3.processor_dp3
    import lerobot_sdm.policies.imagined_robot
    import lerobot_sdm.policies.observation_step  # noqa: F401

    for name, config_class in config_classes().items():
        register_choice(PreTrainedConfig, name, config_class)
