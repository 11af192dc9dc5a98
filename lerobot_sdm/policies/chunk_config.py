"""What the configurations of this package's denoising policies share: chunks of actions, U-Net, average, optimizer."""

from dataclasses import dataclass

from lerobot.optim.optimizers import AdamWConfig, OptimizerConfig
from lerobot.optim.schedulers import DiffuserSchedulerConfig, LRSchedulerConfig

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.observation_config import ObservationConfig


@dataclass
class ChunkConfig(ObservationConfig):
    """Settings of a policy that predicts chunks of actions with a FiLM-conditioned U-Net; no policy of its own.

    What it sees is said in `ObservationConfig`, how it runs in `InferenceConfig`.

    Args:
        horizon: Length of the predicted action sequence, which begins at the oldest observed frame.
        n_action_steps: How many of these actions are executed, beginning with the current frame's.
        down_dims: Channels of the U-Net's levels, finest first.
        blocks_per_level: Residual blocks per level: 2 for DP3, 1 for Simple DP3.
        kernel_size: Of the U-Net's convolutions.
        n_groups: Of the U-Net's group normalisation.
        diffusion_step_embed_dim: Width of the timestep embedding.
        use_film_scale_modulation: Whether FiLM scales as well as shifts.
        gradient_checkpointing: Trade compute for memory in training.
        use_ema: Evaluate and save an exponential moving average of the weights.
        ema_power: Exponent of the EMA's warm-up.
        ema_max_decay: Cap of the EMA's decay.
        do_mask_loss_for_padding: Leave actions beyond the end of an episode out of the loss.
        optimizer_lr: Learning rate.
        optimizer_betas: AdamW's betas.
        optimizer_eps: AdamW's epsilon.
        optimizer_weight_decay: AdamW's weight decay.
        optimizer_grad_clip_norm: Joint gradient norm at which LeRobot clips; 0 for none, as released.
        scheduler_name: Learning-rate schedule, by its diffusers name.
        scheduler_warmup_steps: Linear warm-up.
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

    optimizer_lr: float = 1e-4
    optimizer_betas: tuple[float, float] = (0.95, 0.999)
    optimizer_eps: float = 1e-8
    optimizer_weight_decay: float = 1e-6
    optimizer_grad_clip_norm: float = 0.0
    scheduler_name: str = "cosine"
    scheduler_warmup_steps: int = 500

    def _check_shapes(self) -> None:
        """Refuse values that the networks cannot work with."""
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
                f"--policy.n_action_steps={self.n_action_steps}: must lie in 1 ... {longest}, since of the "
                f"{self.horizon} predicted actions the first {self.n_obs_steps - 1} belong to past frames."
            )
        if self.blocks_per_level not in (1, 2):
            raise InputError(
                f"--policy.blocks_per_level={self.blocks_per_level}: 2 is DP3 and 1 is Simple DP3, nothing else exists."
            )
        if any(dim % self.n_groups for dim in self.down_dims):
            raise InputError(
                f"--policy.down_dims={list(self.down_dims)}: each must be a multiple of n_groups={self.n_groups}."
            )

    @property
    def drop_n_last_frames(self) -> int:
        """Last frames of an episode that start no window, so that not too much of it would be padding."""
        return max(0, self.horizon - self.n_action_steps - self.n_obs_steps + 1)

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(1 - self.n_obs_steps, 1 - self.n_obs_steps + self.horizon))

    def get_optimizer_preset(self) -> OptimizerConfig:
        return AdamWConfig(
            lr=self.optimizer_lr,
            betas=self.optimizer_betas,
            eps=self.optimizer_eps,
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> LRSchedulerConfig | None:
        return DiffuserSchedulerConfig(name=self.scheduler_name, num_warmup_steps=self.scheduler_warmup_steps)
