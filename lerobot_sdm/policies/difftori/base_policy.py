"""DiffTORI's base, which proposes the action chunks to improve: any chunk policy, frozen, as part of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class
from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor

from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.source.description import configuration
from lerobot_sdm.policy_types import POLICIES
from lerobot_sdm.safe_files.weights import load_strictly, read_weights

LEROBOT_TYPES = ("act", "diffusion")
"""LeRobot's own types whose chunks are known to begin at the current frame."""
COMPILED = "_orig_mod."
"""What `torch.compile` inserts into the names of weights that were saved while compiled."""


def base_types() -> tuple[str, ...]:
    """Policy types that can be a base."""
    return tuple(sorted({*POLICIES, *LEROBOT_TYPES} - {"difftori"}))


def observation_settings(base: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration that describes how a base sees clouds; for a student, its teacher's."""
    return getattr(base, "network_config", base)


def build_base(description: dict[str, Any], device: str) -> PreTrainedPolicy:
    """Build a base from the description of its configuration, frozen, with random weights."""
    config = configuration(description, device)
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None  # All weights come from a checkpoint, so download nothing.
    return get_policy_class(config.type)(config).requires_grad_(False).eval()


def load_weights(base: PreTrainedPolicy, file: Path, source: str) -> None:
    """Copy a checkpoint's `model.safetensors` into a base; messages name it `source`.

    Raises:
        InputError: The weights do not fit the base.
    """
    weights = {name.replace(COMPILED, ""): value for name, value in read_weights(file).items()}
    load_strictly(base.inference_model if isinstance(base, ChunkPolicy) else base, weights, source)


@torch.no_grad()
def propose(base: PreTrainedPolicy, batch: dict[str, Tensor], actions: int, noise: Tensor | None = None) -> Tensor:
    """Predict a base's normalized actions (B, actions, A) from the current frame on.

    Args:
        base: The policy.
        batch: Preprocessed observations, each (B, n_obs_steps, ...).
        actions: Number of actions.
        noise: Start noise (B, horizon, A) for a base that takes it; None to draw it from torch's global generator.
    """
    base.reset()  # With empty queues, a policy uses the batch's own frames.
    batch = {key: batch[key] for key in base.config.input_features}
    if base.config.observation_delta_indices is None:
        batch = {key: frames[:, -1] for key, frames in batch.items()}
    options = {} if noise is None or base.config.type == "act" else {"noise": noise}
    return base.predict_action_chunk(batch, **options)[:, :actions]
