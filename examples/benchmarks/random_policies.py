"""Checkpoints of untrained policies of one size, for benchmarks of what policies cost."""

from collections.abc import Sequence
from pathlib import Path

import torch
from lerobot.policies.factory import get_policy_class
from training import DATASET

from lerobot_sdm.nets.backbone_settings import FIELDS
from lerobot_sdm.policies import config_classes
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors
from lerobot_sdm.policy_types import policy_type

COPIED = ("horizon", "n_action_steps", "backbone", "encoder_hidden_dims", "encoder_out_dim")


def write_policies(folder: Path, kinds: Sequence[str], like: DP3Config) -> dict[str, Path]:
    """Write a policy of each type with the same network, encoder and observations.

    Args:
        folder: Existing folder that the checkpoints go into.
        kinds: Policy types; what one is made from comes along.
        like: Configuration of a dp3 policy with that network.

    Returns:
        Type -> checkpoint, with the processors of a dp3 policy, which all of them have.
    """
    sources = {source for kind in kinds if (source := policy_type(kind).source) is not None}
    found: dict[str, Path] = {}
    for kind in sorted({*kinds, *sources}, key=lambda kind: policy_type(kind).source is not None):
        source = policy_type(kind).source
        shape = (name for name in (*COPIED, *FIELDS[like.backbone]) if hasattr(like, name))
        settings = {name: getattr(like, name) for name in shape}
        if source is not None:
            settings = {policy_type(kind).source_option: str(found[source])}
        torch.manual_seed(0)
        config = config_classes()[kind](push_to_hub=False, device=like.device, **settings)
        config.input_features, config.output_features = dict(like.input_features), dict(like.output_features)
        # A student is built from its teacher if it will be trained, as one with a dataset will.
        policy = get_policy_class(kind)(config, dataset_meta=DATASET if source else None)
        found[kind] = folder / kind
        found[kind].mkdir()
        policy.save_pretrained(found[kind])
        for pipeline in make_dp3_pre_post_processors(like):
            pipeline.save_pretrained(found[kind])
    return found
