"""DiffTORI, a policy improved under a learned reward."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="DiffTORI",
    description=(
        "Improves a base policy's action chunk by Levenberg-Marquardt steps on a reward, which was learned by "
        "differentiating through this optimization. The frozen base is part of the policy."
    ),
    papers=(("DiffTORI (Wan et al. 2024)", "https://arxiv.org/abs/2402.05421"),),
    source="dp3",
    source_option="base_path",
)
