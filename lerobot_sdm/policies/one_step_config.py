"""Settings shared by the one-step policies that learn from demonstrations alone."""

from dataclasses import dataclass

from lerobot_sdm.errors import InputError
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

    def check_above_zero(self, *names: str) -> None:
        """Raises: InputError: The value of one of these fields is not above 0."""
        for name in names:
            if getattr(self, name) <= 0:
                raise InputError(f"--policy.{name}={getattr(self, name)}: must be above 0.")

    def check_shares(self, *names: str) -> None:
        """Raises: InputError: The value of one of these fields is not in 0 ... 1."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"--policy.{name}={getattr(self, name)}: must lie in 0 ... 1.")
