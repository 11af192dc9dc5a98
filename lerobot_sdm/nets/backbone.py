"""Base class of the networks used in distillation: an observation encoder and an action denoiser."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn
from torch.nn import functional as F

from lerobot_sdm.diffusion.predictions import Denoised, read_out, training_target
from lerobot_sdm.diffusion.samplers import ddim_sample
from lerobot_sdm.diffusion.schedules import add_noise
from lerobot_sdm.nets.frames import FrameEncoder


class Backbone(FrameEncoder):
    """A conditional denoiser of action sequences under a variance-preserving schedule.

    Its `denoiser` is called as `denoiser(x_t (B, T, A), t (B,), global_cond=(B, F))`; see `DenoisingNetwork`. Teacher,
    one-step generator and fake score are such networks; methods with a `network` argument evaluate another one than
    `denoiser` with this model's noise schedule and prediction type.

    Subclasses set the attributes below and define `encode_frames` and `sampler_timesteps`.

    Attributes:
        alphas_cumprod: Signal powers (T_train,), a buffer.
        prediction_type: What `denoiser` predicts, "sample" or "epsilon".
        clip_range: Predicted clean actions are clipped to plus and minus this; None for no clipping.
        action_shape: (T, A) of an action sequence.
        cond_dim: F, the size of an encoded observation.
    """

    alphas_cumprod: Tensor
    prediction_type: str
    clip_range: float | None
    action_shape: tuple[int, int]
    cond_dim: int

    @abstractmethod
    def sampler_timesteps(self, steps: int | None = None) -> list[int]:
        """Timesteps of the network's own deterministic sampler, strictly decreasing: `steps` of them, or as many as its
        configuration says."""

    @property
    def num_train_timesteps(self) -> int:
        return len(self.alphas_cumprod)

    def freeze_encoder(self) -> None:
        """Freeze the encoder, so that only the denoiser is trained."""
        self.requires_grad_(False)
        self.denoiser.requires_grad_(True)

    def denoise(self, x_t: Tensor, t: Tensor, cond: Tensor, network: nn.Module | None = None) -> Denoised:
        """Estimate the clean actions and the noise in actions (B, T, A) at timesteps (B,), int64, under encoded
        observations (B, F), by `denoiser` or another network."""
        output = (self.denoiser if network is None else network)(x_t, t, global_cond=cond)
        return read_out(output, x_t, self.alphas_cumprod[t], self.prediction_type)

    def denoising_loss(
        self, x0: Tensor, noise: Tensor, t: Tensor, cond: Tensor, network: nn.Module | None = None
    ) -> Tensor:
        """Elementwise squared error of the network's prediction (B, T, A).

        Measured in the predicted quantity: converting an error of eps to x_0 would amplify it thousands of times at the
        noisiest levels.
        """
        output = (self.denoiser if network is None else network)(
            add_noise(x0, noise, self.alphas_cumprod[t]), t, global_cond=cond
        )
        return F.mse_loss(output, training_target(x0, noise, self.prediction_type), reduction="none")

    def sample(self, noise: Tensor, cond: Tensor, timesteps: list[int] | None = None) -> Tensor:
        """Deterministic DDIM from noise (B, T, A) under a fixed condition (B, F): normalized actions (B, T, A).

        The timesteps are strictly decreasing; a single one gives the one-step DDIM sample. None for the network's own.
        """
        return ddim_sample(
            lambda x, t: self.denoise(x, t, cond).x0,
            noise,
            self.sampler_timesteps() if timesteps is None else timesteps,
            self.alphas_cumprod,
            self.clip_range,
        )
