"""A diffusion policy in the EDM formulation (Karras et al. 2022)."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="EDM diffusion policy",
    description=(
        "Denoises a chunk of actions in the EDM formulation of Karras et al., with their preconditioning, noise levels "
        "and samplers; it observes point clouds, images or keypoints. The teacher of Consistency Policy."
    ),
    papers=(
        ("Elucidating the Design Space of Diffusion-Based Generative Models", "https://arxiv.org/abs/2206.00364"),
        ("Consistency Policy (Prasad et al. 2024)", "https://arxiv.org/abs/2405.07503"),
    ),
    student="consistency",
)
