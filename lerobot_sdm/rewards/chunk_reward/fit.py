"""Whether a reward model judges the chunks of a given policy: the same observations, the same actions, same units."""

from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.sizes import check_sizes, shapes_of
from lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward import ChunkRewardConfig
from lerobot_sdm.teachers.normalization import normalization_state, other_normalization


def check_fits(reward: ChunkRewardConfig, policy: Any) -> None:
    """Refuse a reward model that was trained for another policy.

    Args:
        reward: Configuration of the reward model.
        policy: Configuration of the policy that is fine-tuned: its features, `n_obs_steps` and `n_action_steps`, and
            where its base and the reward model are (`base_path`, `reward_path` and their revisions).

    Raises:
        InputError: Names what differs.
    """
    given = f"--policy.reward_path={policy.reward_path}"
    for name in ("n_obs_steps", "n_action_steps"):
        mine, theirs = getattr(policy, name), getattr(reward.base, name)
        if mine != theirs:
            raise InputError(
                f"{given}: judges chunks with {name}={theirs}, and this policy has {mine}. Train a reward model with "
                f"--reward_model.base_path={policy.base_path}."
            )
    mine = shapes_of({**policy.input_features, **policy.output_features})
    theirs = shapes_of({**reward.base.input_features, **reward.base.output_features})
    model, fix = f"the reward model at {policy.reward_path}", "A reward model sees what its policy sees."
    check_sizes(mine, theirs, "this policy", model, fix, complete=True, cut=False)
    check_sizes(theirs, mine, model, "this policy", fix, complete=True, cut=False)
    other = other_normalization(
        normalization_state(policy.base_path, policy.base_revision, role="base"),
        normalization_state(policy.reward_path, policy.reward_revision, role="reward"),
        mine,
    )
    if other is not None:
        raise InputError(
            f"{given}: '{other}' is normalised by other numbers than for the base at {policy.base_path}. Train a "
            "reward model of that base."
        )
