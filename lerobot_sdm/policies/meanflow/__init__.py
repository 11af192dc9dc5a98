"""Mean flow."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="Mean flow policy",
    description=(
        "Jumps from noise to a chunk of actions in one network evaluation: it learns the average velocity between two "
        "times of a flow, from demonstrations alone. It can follow several modes."
    ),
    papers=(
        ("Mean Flows for One-step Generative Modeling (Geng et al. 2025)", "https://arxiv.org/abs/2505.13447"),
        ("MP1 (2025)", "https://arxiv.org/abs/2507.10543"),
    ),
)
