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

METHODS = {
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
}


def method(policy_type: str) -> Method:
    """The introduction of a policy type; for types that have none, their name."""
    return METHODS.get(policy_type, Method(policy_type, f"A policy of type `{policy_type}`.", ()))
