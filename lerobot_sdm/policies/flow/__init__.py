"""Flow matching with times near noise."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="Flow matching policy",
    description=(
        "Learns the velocity from noise to demonstrated chunks of actions, mostly near noise, and takes one Euler step "
        "or a few. In one step it is regression to the mean of the demonstrations: a control for one-step policies."
    ),
    papers=(
        ("Flow Matching for Generative Modeling (Lipman et al. 2023)", "https://arxiv.org/abs/2210.02747"),
        ("Let It Be Simple (2026)", "https://arxiv.org/abs/2606.05737"),
    ),
)
