"""Settings shared by this package's denoising policies: action chunks, U-Net, EMA model."""

from dataclasses import dataclass

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.observation_config import ObservationConfig
from lerobot_sdm.policies.optimizer_settings import OptimizerSettings


@dataclass
class ChunkConfig(OptimizerSettings, ObservationConfig):
    """Settings of a policy that predicts chunks of actions with a FiLM-conditioned U-Net; abstract base class.

    See `ObservationConfig` (observations), `InferenceConfig` (inference) and `OptimizerSettings` (training) for
    inherited fields.

    Args:
        horizon: Length of the predicted action sequence, which begins at the oldest observed frame.
        n_action_steps: How many of these actions are executed, beginning with the current frame's.
        down_dims: Channels of the U-Net's levels, finest first.
        blocks_per_level: Residual blocks per level: 2 for DP3, 1 for Simple DP3.
        kernel_size: Kernel size of the U-Net's convolutions.
        n_groups: Groups of the U-Net's group normalization.
        diffusion_step_embed_dim: Width of the timestep embedding.
        use_film_scale_modulation: Whether FiLM scales as well as shifts.
        gradient_checkpointing: Trade compute for memory in training.
        use_ema: Evaluate and save an exponential moving average of the weights.
        ema_power: Exponent of the EMA's warm-up.
        ema_max_decay: Cap of the EMA's decay.
        do_mask_loss_for_padding: Exclude actions beyond the end of an episode from the loss.
    """

    horizon: int = 16
    n_action_steps: int = 8

    down_dims: tuple[int, ...] = (512, 1024, 2048)
    blocks_per_level: int = 2
    kernel_size: int = 5
    n_groups: int = 8
    diffusion_step_embed_dim: int = 128
    use_film_scale_modulation: bool = True
    gradient_checkpointing: bool = False

    use_ema: bool = True
    ema_power: float = 0.75
    ema_max_decay: float = 0.9999
    do_mask_loss_for_padding: bool = False

    def _check_shapes(self) -> None:
        """Reject values that the networks do not support."""
        super()._check_shapes()
        factor = 2 ** (len(self.down_dims) - 1)
        if self.horizon <= 0 or self.horizon % factor:
            raise InputError(
                f"--policy.horizon={self.horizon}: the U-Net halves the sequence {len(self.down_dims) - 1} times, "
                f"so the horizon must be a multiple of {factor} (next: {(self.horizon // factor + 1) * factor})."
            )
        longest = self.horizon - self.n_obs_steps + 1
        if not 1 <= self.n_action_steps <= longest:
            raise InputError(
                f"--policy.n_action_steps={self.n_action_steps}: must lie in 1 ... {longest}, since the first "
                f"{self.n_obs_steps - 1} of the {self.horizon} predicted actions belong to past frames."
            )
        if self.blocks_per_level not in (1, 2):
            raise InputError(f"--policy.blocks_per_level={self.blocks_per_level}: must be 2 (DP3) or 1 (Simple DP3).")
        if self.kernel_size % 2 == 0:
            raise InputError(
                f"--policy.kernel_size={self.kernel_size}: must be odd, so that a convolution keeps the length of its "
                f"sequence. Use {self.kernel_size + 1}."
            )
        if any(dim % self.n_groups for dim in self.down_dims):
            raise InputError(
                f"--policy.down_dims={list(self.down_dims)}: each must be a multiple of n_groups={self.n_groups}."
            )

    @property
    def drop_n_last_frames(self) -> int:
        """Last frames of an episode at which no window starts, to limit the padding in a window."""
        return max(0, self.horizon - self.n_action_steps - self.n_obs_steps + 1)

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(1 - self.n_obs_steps, 1 - self.n_obs_steps + self.horizon))
