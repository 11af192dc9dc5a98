"""How each policy type is introduced on its model card."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A policy type in two sentences.

    Args:
        title: Its name.
        description: What it does, Markdown.
        papers: (title, address) of what it builds on.
    """

    title: str
    description: str
    papers: tuple[tuple[str, str], ...]


DP3_PAPER = ("3D Diffusion Policy (Ze et al. 2024)", "https://arxiv.org/abs/2403.03954")
SDM_PAPER = ("Score and Distribution Matching Policy (Jia et al. 2024)", "https://arxiv.org/abs/2412.09265")
MANICM_PAPER = ("ManiCM (Lu et al. 2024)", "https://arxiv.org/abs/2406.01586")
EDM_PAPER = ("Elucidating the Design Space of Diffusion-Based Generative Models", "https://arxiv.org/abs/2206.00364")
CTM_PAPER = ("Consistency Trajectory Models (Kim et al. 2023)", "https://arxiv.org/abs/2310.02279")
CONSISTENCY_PAPER = ("Consistency Policy (Prasad et al. 2024)", "https://arxiv.org/abs/2405.07503")
DIFFTORI_PAPER = ("DiffTORI (Wan et al. 2024)", "https://arxiv.org/abs/2402.05421")
ADJOINT_MATCHING_PAPER = ("Adjoint Matching (Domingo-Enrich et al. 2024)", "https://arxiv.org/abs/2409.08861")

METHODS = {
    "adjoint_matching": Method(
        "Adjoint Matching, fine-tuned diffusion policy",
        "A diffusion policy that was fine-tuned towards a higher reward, as a reward model predicts it for the actions "
        "that are executed. It has its base's network and samplers, and can be distilled like its base.",
        (ADJOINT_MATCHING_PAPER,),
    ),
    "dp3": Method(
        "3D Diffusion Policy (DP3)",
        "Denoises a chunk of actions under point clouds and robot states, with DDIM and a network that predicts the "
        "clean actions.",
        (DP3_PAPER,),
    ),
    "sdm": Method(
        "Score and Distribution Matching (SDM), one-step student",
        "Maps start noise to a chunk of actions in a single network evaluation. It was distilled from a diffusion "
        "teacher by matching the teacher's score; the teacher is not needed to run it.",
        (SDM_PAPER, DP3_PAPER),
    ),
    "manicm": Method(
        "ManiCM, consistency student",
        "Jumps from start noise to a chunk of actions in one network evaluation, or in a few. It was distilled from a "
        "diffusion teacher by consistency along the teacher's trajectories; the teacher is not needed to run it.",
        (MANICM_PAPER, DP3_PAPER),
    ),
    "edm": Method(
        "EDM diffusion policy",
        "Denoises a chunk of actions in the form of Karras et al., with their preconditioning, noise levels and "
        "samplers; it sees point clouds, images or keypoints. The teacher of Consistency Policy.",
        (EDM_PAPER, CONSISTENCY_PAPER),
    ),
    "consistency": Method(
        "Consistency Policy",
        "Jumps from noise to a chunk of actions in one network evaluation, or in a few: a consistency trajectory model "
        "of an EDM teacher, which is not needed to run it.",
        (CONSISTENCY_PAPER, CTM_PAPER, EDM_PAPER),
    ),
    "difftori": Method(
        "DiffTORI",
        "Improves a base policy's chunk of actions under a reward that was learned through the optimisation itself, by "
        "Levenberg-Marquardt steps. The frozen base is a part of it.",
        (DIFFTORI_PAPER,),
    ),
}


def method(policy_type: str) -> Method:
    """The introduction of a policy type; for types that have none, their name."""
    return METHODS.get(policy_type, Method(policy_type, f"A policy of type `{policy_type}`.", ()))
