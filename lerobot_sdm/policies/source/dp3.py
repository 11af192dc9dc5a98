"""`dp3` as a source."""

from __future__ import annotations

from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model
from lerobot_sdm.policies.source.adapters import Adapter


class DP3Adapter(Adapter):
    """3D Diffusion Policy: its network already is a `Backbone`."""

    def network(self, config: DP3Config) -> DP3Model:
        return DP3Model(config)
