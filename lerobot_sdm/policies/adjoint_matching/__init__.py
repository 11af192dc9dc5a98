"""Adjoint Matching, a diffusion policy fine-tuned toward a reward."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="Adjoint Matching, fine-tuned diffusion policy",
    description=(
        "A diffusion policy that was fine-tuned toward a higher reward, as predicted by a reward model for the "
        "executed actions. It has its base's network and samplers, and can be distilled like its base."
    ),
    papers=(("Adjoint Matching (Domingo-Enrich et al. 2024)", "https://arxiv.org/abs/2409.08861"),),
    source="dp3",
    source_option="base_path",
)
