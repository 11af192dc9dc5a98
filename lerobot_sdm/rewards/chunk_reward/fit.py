"""Check that a reward model matches a policy: the same observations, actions and normalization."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.processors.sizes import check_sizes, shapes_of
from lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward import ChunkRewardConfig


def check_fits(reward: ChunkRewardConfig, policy: Any, model: SourcePolicy) -> None:
    """Refuse a reward model that was trained for another policy.

    Args:
        reward: Configuration of the reward model.
        policy: Configuration of the policy to fine-tune, with its features, `n_obs_steps`, `n_action_steps` and base
            (`source`).
        model: The saved reward model.

    Raises:
        InputError: Something differs; names it.
    """
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
    other = other_normalization(policy.source.normalization(), model.normalization(), mine)
    if other is not None:
        raise InputError(
            f"{model.given}: '{other}' is normalized differently than for the base at {policy.base_path}. Train a "
            "reward model for that base."
        )


def other_normalization(mine: dict[str, Tensor], theirs: dict[str, Tensor], features: Collection[str]) -> str | None:
    """The first of these features that is normalized differently, or None.

    Args:
        mine: From `SourcePolicy.normalization`.
        theirs: Likewise.
        features: Names, such as `observation.state`.
    """
    for feature in features:
        keys = [key for key in sorted(mine.keys() | theirs.keys()) if key.rpartition(".")[0] == feature]
        if any(key not in mine or key not in theirs or not torch.equal(mine[key], theirs[key]) for key in keys):
            return feature
    return None
