"""3D Diffusion Policy."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="3D Diffusion Policy (DP3)",
    description=(
        "Denoises a chunk of actions under point clouds and robot states, with DDIM and a network that predicts the "
        "clean actions."
    ),
    papers=(("3D Diffusion Policy (Ze et al. 2024)", "https://arxiv.org/abs/2403.03954"),),
    student="sdm",
)
