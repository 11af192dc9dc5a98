"""Settings shared by this package's denoising policies: action chunks, EMA model."""

from dataclasses import dataclass

from lerobot_sdm.nets.backbone_settings import BackboneSettings
from lerobot_sdm.policies.observation_config import ObservationConfig
from lerobot_sdm.policies.optimizer_settings import OptimizerSettings
from lerobot_sdm.policies.settings import check_action_steps


@dataclass
class ChunkConfig(BackboneSettings, OptimizerSettings, ObservationConfig):
    """Settings of a policy that predicts chunks of actions; abstract base class.

    See `ObservationConfig` (observations), `BackboneSettings` (network), `InferenceConfig` (inference) and
    `OptimizerSettings` (training) for inherited fields.

    Args:
        horizon: Length of the predicted action sequence, which begins at the oldest observed frame.
        n_action_steps: How many of these actions are executed, beginning with the current frame's.
        use_ema: Evaluate and save an exponential moving average of the weights.
        ema_power: Exponent of the EMA's warm-up.
        ema_max_decay: Cap of the EMA's decay.
        do_mask_loss_for_padding: Exclude actions beyond the end of an episode from the loss.
    """

    horizon: int = 16
    n_action_steps: int = 8

    use_ema: bool = True
    ema_power: float = 0.75
    ema_max_decay: float = 0.9999
    do_mask_loss_for_padding: bool = False

    def _check_shapes(self) -> None:
        """Reject values that the networks do not support."""
        super()._check_shapes()
        self.check_backbone(self.horizon)
        check_action_steps(self, network=self)

    @property
    def drop_n_last_frames(self) -> int:
        """Last frames of an episode at which no window starts, to limit the padding in a window."""
        return max(0, self.horizon - self.n_action_steps - self.n_obs_steps + 1)

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(1 - self.n_obs_steps, 1 - self.n_obs_steps + self.horizon))
