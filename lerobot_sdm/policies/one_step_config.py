"""Settings shared by the one-step policies that learn from demonstrations alone."""

from dataclasses import dataclass

from lerobot_sdm.policies.chunk_config import ChunkConfig
from lerobot_sdm.policies.observation_config import ImageObservationConfig


@dataclass
class OneStepConfig(ImageObservationConfig, ChunkConfig):
    """Settings of a policy that learns to act in one network evaluation, without a teacher; abstract base class.

    See `ImageObservationConfig` and `ChunkConfig` for inherited fields.

    Args:
        clip_sample_range: Sampled actions are clipped to plus and minus this, as `dp3` does; None for no clipping, as
            released.
    """

    clip_sample_range: float | None = 1.0
