"""ManiCM, consistency distillation of a diffusion policy."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(
    title="ManiCM, consistency student",
    description=(
        "Jumps from start noise to a chunk of actions in one network evaluation, or in a few. It was distilled from a "
        "diffusion teacher by consistency along the teacher's trajectories; the teacher is not needed to run it."
    ),
    papers=(
        ("ManiCM (Lu et al. 2024)", "https://arxiv.org/abs/2406.01586"),
        ("3D Diffusion Policy (Ze et al. 2024)", "https://arxiv.org/abs/2403.03954"),
    ),
    source="dp3",
)
