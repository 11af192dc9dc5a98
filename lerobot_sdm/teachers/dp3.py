"""`dp3` as a teacher."""

from __future__ import annotations

from collections.abc import Mapping

from lerobot.configs.types import PolicyFeature

from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model
from lerobot_sdm.policies.normalization import Stats, prepare_stats
from lerobot_sdm.teachers.adapters import Adapter


class TeacherAdapter(Adapter):
    """3D Diffusion Policy: its network is a backbone as it stands."""

    def network(self, config: DP3Config) -> DP3Model:
        return DP3Model(config)

    def keep_features(self, config: DP3Config, offered: Mapping[str, PolicyFeature]) -> dict[str, PolicyFeature]:
        config.input_features = dict(offered)
        config.validate_features()
        return config.input_features

    def prepare_stats(self, config: DP3Config, stats: Stats) -> None:
        prepare_stats(stats, config.cloud_channels, config.depth_to_cloud)
