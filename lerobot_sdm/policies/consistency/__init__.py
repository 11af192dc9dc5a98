"""Consistency Policy."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="Consistency Policy",
    description=(
        "Jumps from noise to a chunk of actions in one network evaluation, or in a few: a consistency trajectory model "
        "of an EDM teacher, which is not needed to run it."
    ),
    papers=(
        ("Consistency Policy (Prasad et al. 2024)", "https://arxiv.org/abs/2405.07503"),
        ("Consistency Trajectory Models (Kim et al. 2023)", "https://arxiv.org/abs/2310.02279"),
        ("Elucidating the Design Space of Diffusion-Based Generative Models", "https://arxiv.org/abs/2206.00364"),
    ),
    source="edm",
    evaluations=lambda policy: 1 + len(policy.get("chaining_times", ())),
)
