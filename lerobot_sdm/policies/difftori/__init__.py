"""DiffTORI, a policy improved under a learned reward."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="DiffTORI",
    description=(
        "Improves a base policy's chunk of actions under a reward that was learned through the optimization itself, by "
        "Levenberg-Marquardt steps. The frozen base is a part of it."
    ),
    papers=(("DiffTORI (Wan et al. 2024)", "https://arxiv.org/abs/2402.05421"),),
    source="dp3",
    source_option="base_path",
)
