"""Evaluation protocols: which checkpoints, how many episodes, which seeds, which rules."""

from dataclasses import dataclass, field, replace

from lerobot_sdm.errors import InputError, check_all_known
from lerobot_sdm.measure.settings import Flags


@dataclass(frozen=True)
class Protocol:
    """A way to evaluate a training; all protocols share the same trainings.

    Args:
        episodes: Episodes per evaluation.
        evaluations: How many checkpoints are evaluated, evenly spaced over a training; 1 for only the last.
        best: How many of the highest rates are averaged; 0 for one rate of all episodes, with an interval.
        rules: Environment type -> `--env.*` options at evaluation.
    """

    episodes: int
    evaluations: int = 1
    best: int = 0
    rules: dict[str, Flags] = field(default_factory=dict)


STRICT, PAPER = "strict", "paper"
PROTOCOLS = {
    STRICT: Protocol(episodes=100),
    # As reported by the papers of the DP3 family: 20 episodes every 200 of 3000 epochs, mean of the five best.
    PAPER: Protocol(
        episodes=20,
        evaluations=15,
        best=5,
        rules={
            # Adroit: the goal must hold over the last two control steps. DexArt: DP3 stops after 50 control steps.
            "adroit": {"success_rule": "dp3"},
            "dexart": {"rule_set": "dp3", "episode_length": 50},
        },
    ),
}
# The smoke suite's numbers mean nothing, so it keeps them cheap.
SMOKE_PROTOCOLS = {
    STRICT: replace(PROTOCOLS[STRICT], episodes=4),
    PAPER: replace(PROTOCOLS[PAPER], episodes=2, evaluations=3, best=2),
}


def check_paper_methods(
    chosen: tuple[str, ...] | None, methods: tuple[str, ...], protocols: tuple[str, ...]
) -> tuple[str, ...]:
    """The methods to measure by the protocol `paper`, in the order of the tables.

    Args:
        chosen: The requested ones; None for all.
        methods: The rows of the benchmark.
        protocols: Its protocols.

    Raises:
        InputError: `paper` is not among the protocols, is the only one, or a name is not among the methods.
    """
    if PAPER not in protocols:
        if chosen is not None:
            raise InputError(
                f"--paper-methods={','.join(chosen)}: needs --protocol=strict,paper. Add paper, or drop the option."
            )
        return ()
    if chosen is None:
        return methods
    if protocols == (PAPER,):
        raise InputError(
            f"--paper-methods={','.join(chosen)}: needs --protocol=strict,paper. With paper alone, choose the "
            "methods with --methods."
        )
    return check_all_known("--paper-methods among --methods", chosen, methods)
