"""The reward model that a policy is fine-tuned with: load it through LeRobot's registry, and check that it fits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from lerobot.configs.rewards import RewardModelConfig
from lerobot.rewards import get_reward_model_class
from torch import Tensor

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.source.files import CONFIG_FILE
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.processors.sizes import check_sizes, shapes_of
from lerobot_sdm.safe_files.configurations import read_configuration
from lerobot_sdm.safe_files.json_files import read_object

REWARD_TYPE = "chunk_reward"
"""Type of the reward models that judge a policy's action chunks in its own normalized units."""


def load_reward_model(path: str, device: str, revision: str | None = None) -> Any:
    """Load a trained `rewards.chunk_reward` model, frozen, from a checkpoint's `pretrained_model` folder or the Hub.

    Raises:
        InputError: There is no reward model, or it is of another type.
    """
    source = saved_reward_model(path, revision)
    file = source.file(CONFIG_FILE)
    kind = read_object(file, str(file)).get("type")
    if kind != REWARD_TYPE:
        raise InputError(
            f"{source.given}: is of type '{kind}', not {REWARD_TYPE}. Train one with "
            f"lerobot-train --reward_model.type={REWARD_TYPE}."
        )
    config = read_configuration(RewardModelConfig, file.parent, source.given)
    config.device = device
    model_class = get_reward_model_class(kind)
    return model_class.from_pretrained(str(file.parent), config=config).requires_grad_(False)


def saved_reward_model(path: str, revision: str | None) -> SourcePolicy:
    """The files of a reward model, as `--policy.reward_path` names it."""
    return SourcePolicy(path, revision, "reward model", "--policy.reward_path")


def check_fits(reward: Any, policy: Any) -> None:
    """Refuse a reward model that was trained for another policy than the one to fine-tune, by their configurations.

    Raises:
        InputError: Something differs; names it.
    """
    model = saved_reward_model(policy.reward_path, policy.reward_revision)
    for name in ("n_obs_steps", "n_action_steps"):
        mine, theirs = getattr(policy, name), getattr(reward.base, name)
        if mine != theirs:
            raise InputError(
                f"{model.given}: judges chunks with {name}={theirs}, but this policy has {mine}. Train a reward "
                f"model with --reward_model.base_path={policy.base_path}."
            )
    mine = shapes_of({**policy.input_features, **policy.output_features})
    theirs = shapes_of({**reward.base.input_features, **reward.base.output_features})
    fix = "A reward model sees what its policy sees."
    check_sizes(mine, theirs, "this policy", model.owner, fix, complete=True, cut=False)
    check_sizes(theirs, mine, model.owner, "this policy", fix, complete=True, cut=False)
    other = _other_normalization(policy.source.normalization(), model.normalization(), mine)
    if other is not None:
        raise InputError(
            f"{model.given}: '{other}' is normalized differently than for the base at {policy.base_path}. Train a "
            "reward model for that base."
        )


def _other_normalization(mine: dict[str, Tensor], theirs: dict[str, Tensor], features: Collection[str]) -> str | None:
    """The first of these features, such as `observation.state`, that is normalized differently, or None."""
    for feature in features:
        keys = [key for key in sorted(mine.keys() | theirs.keys()) if key.rpartition(".")[0] == feature]
        if any(key not in mine or key not in theirs or not torch.equal(mine[key], theirs[key]) for key in keys):
            return feature
    return None
