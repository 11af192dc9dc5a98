"""Configuration of the Karras-preconditioned diffusion policy (EDM), the teacher of `consistency`."""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_at_least, check_below_one, check_known
from lerobot_sdm.policies.chunk_config import ChunkConfig
from lerobot_sdm.policies.observation_config import ImageObservationConfig
from lerobot_sdm.policies.settings import check_above_zero
from lerobot_sdm.registration import registered


@registered(PreTrainedConfig, "edm")
@dataclass
class EdmConfig(ImageObservationConfig, ChunkConfig):
    """A diffusion policy in the EDM formulation (Karras et al. 2022), as in Consistency Policy (Prasad et al. 2024).

    See `ImageObservationConfig` and `ChunkConfig` for inherited fields. `docs/deviations.md` explains the defaults that
    differ from the released code.

    Args:
        dropout_rate: Dropout rate of the U-Net's residual blocks, or of the mixer's MLPs over steps and channels.
        mid_dropout_rate: The same for the U-Net's middle blocks; None for `dropout_rate`. Released: 0.2, inadvertently.
        sigma_min: Smallest noise, in normalized action units.
        sigma_max: Largest noise.
        rho: Bins are evenly spaced in sigma^(1/rho).
        bins: Number of noise levels that a student will be trained on.
        sigma_data: Standard deviation of the actions assumed by the preconditioning.
        boundary: Make the denoiser the identity at `sigma_min` (and not at 0).
        sigma_log_mean: Mean of log sigma in training.
        sigma_log_std: Its standard deviation.
        loss_norm: "mse", "pseudo_huber" or "released"; see `diffusion.distance`.
        sampler: "heun", "euler", "dpmpp_2m" or "dpmpp_3m". May be changed at evaluation.
        num_inference_steps: Steps of the sampler; Heun makes two network evaluations per step. May be changed at
            evaluation. The default is all bins, as released.
        initial_std: Standard deviation of the start noise. 1 is the "reduced initial variance" of the paper, which
            gives nearly the same actions each time; `sigma_max` samples from the whole distribution.
        clip_sample_range: At inference, each clean sample is clipped to plus and minus this; None for no clipping.
    """

    dropout_rate: float = 0.0
    mid_dropout_rate: float | None = None

    sigma_min: float = 0.02
    sigma_max: float = 80.0
    rho: float = 7.0
    bins: int = 80
    sigma_data: float = 0.5
    boundary: bool = True
    sigma_log_mean: float = -1.2
    sigma_log_std: float = 1.2
    loss_norm: str = "mse"

    sampler: str = "heun"
    num_inference_steps: int = 79
    initial_std: float = 1.0
    clip_sample_range: float | None = 1.0

    def _check_shapes(self) -> None:
        """Reject values that the networks, the noise levels or the sampler do not support."""
        super()._check_shapes()
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(
                f"--policy.sigma_min={self.sigma_min}: must lie above 0 and below sigma_max={self.sigma_max}."
            )
        check_above_zero(self, "rho", "sigma_data", "initial_std", "sigma_log_std")
        check_at_least("--policy.bins", self.bins, 2)
        for name in ("dropout_rate", "mid_dropout_rate"):
            check_below_one(f"--policy.{name}", getattr(self, name))
        self._check_names()

    def _check_names(self) -> None:
        from lerobot_sdm.diffusion.distance import NORMS
        from lerobot_sdm.diffusion.karras import SAMPLERS

        check_known("--policy.sampler", self.sampler, SAMPLERS)
        check_known("--policy.loss_norm", self.loss_norm, NORMS)
