"""One-step policies where the answer is known: one observation, demonstrated at -0.8 and at 0.8 equally often.

    python examples/studies/two_points.py --output=outputs/two_points.json

A tiny U-Net learns whole chunks at one of the two points. A policy that keeps both ways puts half of its chunks at
each; the mean of the demonstrations, at 0, is no demonstration at all.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.factory import get_policy_class
from tqdm import tqdm

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.errors import refuse_existing
from lerobot_sdm.files import write_json
from lerobot_sdm.measure import tables
from lerobot_sdm.measure.records import machine, source_commit, versions
from lerobot_sdm.policies import config_classes

POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "`flow`, 1 step": ("flow", {}),
    "`flow`, 10 steps": ("flow", {"num_inference_steps": 10}),
    "`meanflow`, 1 step": ("meanflow", {}),
    "`meanflow` with the recipe `mp1`, 1 step": ("meanflow", {"recipe": "mp1"}),
    "`drift`": ("drift", {}),
    "`drift` with the released floor and output": ("drift", {"affinity_floor": 1e-6, "residual_noise": False}),
}
"""Row of the table -> type and settings."""
POINT = 0.8
BATCH, HORIZON, SIZE = 64, 8, 2
SAMPLES = 500
INPUTS = {
    "observation.state": PolicyFeature(FeatureType.STATE, (5,)),
    "observation.environment_state": PolicyFeature(FeatureType.ENV, (16,)),
}
OUTPUTS = {"action": PolicyFeature(FeatureType.ACTION, (SIZE,))}
NETWORK = {
    **{"horizon": HORIZON, "n_action_steps": 4, "use_ema": False},
    **{"down_dims": (16, 32), "blocks_per_level": 1, "diffusion_step_embed_dim": 16},
}


def learned(kind: str, steps: int = 400, **settings: Any) -> dict[str, float]:
    """Shares of chunks near the lower point, between the two, and near the upper one, after a training."""
    torch.manual_seed(0)
    config = config_classes()[kind](input_features=INPUTS, output_features=OUTPUTS, device="cpu", **NETWORK, **settings)
    policy = get_policy_class(kind)(config, dataset_meta=object()).train()
    optimizer = torch.optim.Adam(policy.get_optim_params(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = torch.Generator().manual_seed(5)
    one = {key: torch.rand(1, 2, *feature.shape, generator=random) for key, feature in INPUTS.items()}
    seen = {key: value.expand(BATCH, *value.shape[1:]) for key, value in one.items()}
    for _ in range(steps):
        ways = POINT * (2.0 * torch.randint(2, (BATCH, 1, 1), generator=random) - 1)
        loss, _ = policy.forward({**seen, "action": ways.expand(BATCH, HORIZON, SIZE)})
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), config.optimizer_grad_clip_norm)
        optimizer.step()
        schedule.step()
        policy.update()
    noise = torch.randn(SAMPLES, HORIZON, SIZE, generator=random)
    chunks = policy.eval().predict_action_chunk(one, noise).mean((1, 2))
    near = {"below": chunks < -POINT / 2, "between": chunks.abs() <= POINT / 2, "above": chunks > POINT / 2}
    return {name: share.float().mean().item() for name, share in near.items()}


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """One row for each policy, in Markdown."""
    rows = [("policy", f"near -{POINT}", "between", f"near {POINT}")]
    for name, shares in found.items():
        rows.append((name, *(f"{shares[place]:.0%}" for place in ("below", "between", "above"))))
    return tables.markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    options = parser.parse_args()
    refuse_existing("--output", options.output)
    told = {"commit": source_commit(), "machine": machine(), "versions": versions(("lerobot_policy_sdm", "torch"))}
    found = {name: learned(kind, **settings) for name, (kind, settings) in tqdm(POLICIES.items(), unit="policy")}
    write_json(options.output, {**told, "policies": found})
    print(table(found), end="")


if __name__ == "__main__":
    main()
