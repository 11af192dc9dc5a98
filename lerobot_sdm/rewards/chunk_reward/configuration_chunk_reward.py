"""Configuration of the reward model of action chunks."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.rewards import RewardModelConfig
from lerobot.optim.optimizers import AdamWConfig
from lerobot.optim.schedulers import DiffuserSchedulerConfig

from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.registration import registered

if TYPE_CHECKING:
    from lerobot_sdm.policies.source.source_policy import SourcePolicy

TARGETS = ("reward", "change")


@registered(RewardModelConfig, "chunk_reward")
@dataclass
class ChunkRewardConfig(RewardModelConfig):
    """Predicts the environment's reward after the executed part of a policy's action chunk, or its change.

    It sees what the policy sees, in the policy's own normalized units: keypoints and states unchanged, clouds and
    images through the policy's frozen encoder. So its gradient is one with respect to the actions the policy samples.

    Args:
        base_path: Folder or Hub repo of the policy whose chunks are judged, of type `dp3` or `diffusion`; needed for
            training.
        base_revision: Hub revision of that policy.
        network: That policy's configuration. Filled in from `base_path`.
        target: "reward", the environment's reward for the last executed action, or "change", its difference from the
            reward before the first.
        look_ahead: Take the reward this many steps after the executed actions. Above 0, the prediction includes how the
            policy in the data continues from the state that the chunk leads to.
        ensemble: Number of members, which differ in their initial weights; their disagreement measures the uncertainty.
        hidden_dims: Widths of a member's hidden layers.
        drop_n_last_frames: Last frames of an episode that are not used for training. Beyond its end, an episode's last
            reward is repeated.
        optimizer_lr: Learning rate.
        optimizer_weight_decay: AdamW's weight decay.
        optimizer_grad_clip_norm: Gradient norm at which LeRobot clips; 0 for no clipping.
        scheduler_warmup_steps: Linear warm-up in optimizer steps, before a cosine decay to 0.
    """

    base_path: str | None = None
    base_revision: str | None = None
    network: dict[str, Any] | None = None

    target: str = "change"
    look_ahead: int = 0
    ensemble: int = 4
    hidden_dims: tuple[int, ...] = (512, 512, 512)
    drop_n_last_frames: int = 0

    optimizer_lr: float = 1e-3
    optimizer_weight_decay: float = 1e-4
    optimizer_grad_clip_norm: float = 1.0
    scheduler_warmup_steps: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("--reward_model.target", self.target, TARGETS)
        for name, least in {"look_ahead": 0, "ensemble": 1, "drop_n_last_frames": 0}.items():
            if getattr(self, name) < least:
                raise InputError(f"--reward_model.{name}={getattr(self, name)}: give {least} or more.")
        # A saved model contains its policy's configuration, so the policy may no longer exist.
        if self.network is None and self.source is not None:
            from lerobot_sdm.policies.source.description import describe

            self.network = describe(self.source.config)
        if self.network is not None:
            self.input_features = self.base.input_features
            self.output_features = self.base.output_features

    @cached_property
    def source(self) -> "SourcePolicy | None":
        """The policy whose chunks are judged; None if none is named."""
        from lerobot_sdm.policies.source.adapters import DIFFUSION_TYPES
        from lerobot_sdm.policies.source.source_policy import SourcePolicy

        if self.base_path is None:
            return None
        return SourcePolicy(self.base_path, self.base_revision, "base", "--reward_model.base_path", DIFFUSION_TYPES)

    @cached_property
    def base(self) -> PreTrainedConfig:
        """The configuration of the policy whose chunks are judged.

        Raises:
            InputError: No policy is named.
        """
        from lerobot_sdm.policies.source.description import configuration

        if self.network is None:
            raise InputError(
                "--reward_model.base_path: a chunk_reward judges the chunks of a policy. Give its folder or Hub repo."
            )
        return configuration(self.network, self.device)

    @property
    def n_action_steps(self) -> int:
        """Number of actions that the model sees: those that the policy executes, starting with the current frame's."""
        return self.base.n_action_steps

    @property
    def observation_delta_indices(self) -> list[int]:
        return self.base.observation_delta_indices

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(self.n_action_steps))

    @property
    def reward_delta_indices(self) -> list[int]:
        """Before the first executed action, and after the last: `next.reward` of a row is the reward for its action."""
        return [-1, self.n_action_steps - 1 + self.look_ahead]

    def get_optimizer_preset(self) -> AdamWConfig:
        return AdamWConfig(
            lr=self.optimizer_lr,
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> DiffuserSchedulerConfig:
        return DiffuserSchedulerConfig(name="cosine", num_warmup_steps=self.scheduler_warmup_steps)
