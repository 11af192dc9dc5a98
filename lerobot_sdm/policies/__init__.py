"""Policy types: one folder each, always configuration, modeling and processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lerobot.configs.policies import PreTrainedConfig


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
