"""How cells are evaluated: which checkpoints, how many episodes, on which seeds, by which rules."""

from dataclasses import dataclass, field

from lerobot_sdm.pipeline.config import Flags


@dataclass(frozen=True)
class Protocol:
    """A way to evaluate.

    Args:
        episodes: Episodes of each evaluation, unless told otherwise.
        least_episodes: Fewer are refused.
        training_seeds: Seeds of the trainings, unless told otherwise.
        evaluations: How many checkpoints are evaluated, evenly spaced over a training; 1 for the last alone.
        best: How many of the highest rates are averaged; 0 for one rate of all episodes, with an interval.
        rules: Environment type -> `--env.*` options at evaluation.
    """

    episodes: int
    least_episodes: int
    training_seeds: tuple[int, ...]
    evaluations: int = 1
    best: int = 0
    rules: dict[str, Flags] = field(default_factory=dict)


PROTOCOLS = {
    "strict": Protocol(episodes=100, least_episodes=100, training_seeds=(1,)),
    # As the papers of the DP3 family report: seeds 0 to 2, 20 episodes every 200 of 3000 epochs, mean of the five best.
    "paper": Protocol(
        episodes=20,
        least_episodes=1,
        training_seeds=(0, 1, 2),
        evaluations=15,
        best=5,
        rules={
            # Adroit: the goal must hold over the last two control steps. DexArt: DP3 stops after 50 control steps.
            "adroit": {"success_rule": "dp3"},
            "dexart": {"rule_set": "dp3", "episode_length": 50},
        },
    ),
}
SMOKE_EPISODES = 4
"""Episodes of the smoke suite unless told otherwise; no protocol asks it for more."""
