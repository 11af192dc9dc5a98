"""Configuration of the Karras-preconditioned diffusion policy (EDM), the teacher of `consistency`."""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.policies.chunk_config import ChunkConfig
from lerobot_sdm.policies.observation_config import ImageObservationConfig
from lerobot_sdm.registration import registered


@registered(PreTrainedConfig, "edm")
@dataclass
class EdmConfig(ImageObservationConfig, ChunkConfig):
    """A diffusion policy in the form of Karras et al. 2022, as Consistency Policy (Prasad et al. 2024) has it.

    What it sees is said in `ImageObservationConfig`; other fields that are not listed here are in `ChunkConfig`. Where
    a default differs from the released code, `docs/deviations.md` says why.

    Args:
        dropout_rate: Share of entries dropped in the residual blocks of the U-Net.
        mid_dropout_rate: The same for the middle blocks; None for `dropout_rate`. Released: 0.2, inadvertently.
        sigma_min: Smallest noise, in normalized action units.
        sigma_max: Largest noise.
        rho: Bins are evenly spaced in sigma^(1/rho).
        bins: Noise levels on which a student will be trained.
        sigma_data: Standard deviation that the preconditioning assumes of actions.
        boundary: Make the denoiser the identity at `sigma_min` (and not at 0).
        sigma_log_mean: Mean of log sigma in training.
        sigma_log_std: Its standard deviation.
        loss_norm: "mse", "pseudo_huber" or "released"; see `diffusion.distance`.
        sampler: "heun", "euler", "dpmpp_2m" or "dpmpp_3m". May be changed at evaluation.
        num_inference_steps: Steps of the sampler; Heun has two network evaluations in each. May be changed at
            evaluation. The default is all bins, as released.
        initial_std: Standard deviation of the start noise. 1 is the "reduced initial variance" of the paper, which
            gives much the same actions each time; `sigma_max` samples from the whole distribution.
        clip_sample_range: Each clean sample is clipped to plus and minus this in use; None for no clipping.
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
        """Refuse values that the networks, the noise levels or the sampler cannot work with."""
        super()._check_shapes()
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(
                f"--policy.sigma_min={self.sigma_min}: must lie above 0 and below sigma_max={self.sigma_max}."
            )
        for name in ("rho", "sigma_data", "initial_std", "sigma_log_std"):
            if getattr(self, name) <= 0:
                raise InputError(f"--policy.{name}={getattr(self, name)}: must be above 0.")
        if self.bins < 2:
            raise InputError(f"--policy.bins={self.bins}: at least 2 noise levels.")
        if self.num_inference_steps < 1:
            raise InputError(f"--policy.num_inference_steps={self.num_inference_steps}: at least 1.")
        for name in ("dropout_rate", "mid_dropout_rate"):
            rate = getattr(self, name)
            if rate is not None and not 0 <= rate < 1:
                raise InputError(f"--policy.{name}={rate}: must lie in 0 ... 1, 1 excluded.")
        self._check_names()

    def _check_names(self) -> None:
        from lerobot_sdm.diffusion.distance import NORMS
        from lerobot_sdm.diffusion.karras import SAMPLERS

        if self.sampler not in SAMPLERS:
            raise unknown_name("--policy.sampler", self.sampler, SAMPLERS)
        if self.loss_norm not in NORMS:
            raise unknown_name("--policy.loss_norm", self.loss_norm, NORMS)
