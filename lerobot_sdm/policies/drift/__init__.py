"""Drifting."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="Drifting policy",
    description=(
        "Maps noise to a chunk of actions in one network evaluation. In training, several samples for each observation "
        "are pulled to its demonstration and pushed apart, so that they can keep several modes."
    ),
    papers=(
        ("Generative Modeling via Drifting (2026)", "https://arxiv.org/abs/2602.04770"),
        ("Drift-Based Policy Optimization (2026)", "https://arxiv.org/abs/2604.03540"),
    ),
    evaluations=lambda policy: 1,
)
