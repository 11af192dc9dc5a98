"""`edm` as a source."""

from __future__ import annotations

from lerobot_sdm.policies.edm.configuration_edm import EdmConfig
from lerobot_sdm.policies.edm.modeling_edm import EdmModel
from lerobot_sdm.policies.source.adapters import Adapter


class EdmAdapter(Adapter):
    """The diffusion policy in the EDM formulation of Karras et al."""

    def network(self, config: EdmConfig) -> EdmModel:
        config.pretrained_backbone_weights = None  # All weights come from a checkpoint, so download nothing.
        return EdmModel(config)
