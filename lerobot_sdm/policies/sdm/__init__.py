"""Score and Distribution Matching."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="Score and Distribution Matching (SDM), one-step student",
    description=(
        "Maps start noise to a chunk of actions in a single network evaluation. It was distilled from a diffusion "
        "teacher by matching the teacher's score; the teacher is not needed to run it."
    ),
    papers=(
        ("Score and Distribution Matching Policy (Jia et al. 2024)", "https://arxiv.org/abs/2412.09265"),
        ("3D Diffusion Policy (Ze et al. 2024)", "https://arxiv.org/abs/2403.03954"),
    ),
    source="dp3",
    evaluations=lambda policy: 1,
)

GENERATOR_TIMESTEP = 70
"""Default `generator_timestep` for T = 100, scaled to other T: signal power 0.19. Here, it is cheap to import."""
