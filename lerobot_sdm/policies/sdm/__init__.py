"""Score and Distribution Matching."""

from collections.abc import Mapping
from typing import Any

from lerobot_sdm.policy_types import PolicyType


def training_sentence(policy: Mapping[str, Any], steps: int) -> str:
    """What a student was trained on, in numbers of generator updates.

    Args:
        policy: Its configuration, from before or after there were recipes.
        steps: Iterations of its training.
    """
    warm, ratio = min(policy["warmup_steps"], steps), policy["fake_updates_per_generator_update"]
    matching, data = policy.get("matching_weight", 1.0), policy.get("data_weight", 0.0)
    later = -(-(steps - warm) // ratio) if matching else steps - warm
    regressed = warm + (later if policy["regression_weight"] else 0)
    evaluations = policy.get("teacher_inference_steps") or (policy.get("network") or {}).get("num_inference_steps")
    kind = f"{evaluations}-step samples" if evaluations else "samples"
    parts = [
        f"{regressed:,} regressed onto {kind} of the teacher" * (regressed > 0),
        f"{later:,} matched the demonstrations by the energy score" * bool(data and later),
        f"{later:,} matched the teacher's score with a critic ({policy['weighting']} weighting)"
        * bool(matching and later),
    ]
    recipe = f"Recipe `{policy['recipe']}`: " if "recipe" in policy else ""
    done = ", ".join(part for part in parts if part)
    return f"{recipe}{warm + later:,} generator updates, of which {done}."


POLICY = PolicyType(
    title="Score and Distribution Matching (SDM), one-step student",
    description=(
        "Maps start noise to a chunk of actions in a single network evaluation. It was distilled from a diffusion "
        "teacher, which is not needed to run it."
    ),
    papers=(
        ("Score and Distribution Matching Policy (Jia et al. 2024)", "https://arxiv.org/abs/2412.09265"),
        ("3D Diffusion Policy (Ze et al. 2024)", "https://arxiv.org/abs/2403.03954"),
    ),
    source="dp3",
    evaluations=lambda policy: 1,
    training=training_sentence,
)

GENERATOR_TIMESTEP = 70
"""Default `generator_timestep` for T = 100, scaled to other T: signal power 0.19. Here, it is cheap to import."""
