"""`lerobot-sdm import-checkpoint`: convert an original checkpoint to a LeRobot policy directory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lerobot_sdm.errors import InputError, refuse_existing


class Weights(StrEnum):
    """Which set of weights to take from a checkpoint."""

    EMA = "ema"
    RAW = "raw"


def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE.ckpt", help="Checkpoint of DP3, Simple DP3, SDM or ManiCM.")],
    output: Annotated[Path, typer.Option(help="Policy directory to write; must not exist yet.")],
    weights: Annotated[
        Weights | None,
        typer.Option(help="Weight set. Default: the one that the original code evaluates."),
    ] = None,
) -> None:
    """Convert an original checkpoint to a LeRobot policy directory. Nothing in the file is executed.

    The directory works as `--policy.path` of lerobot-eval, as `--policy.teacher_path` for distillation, and with
    `lerobot-sdm publish`.
    """
    refuse_existing("--output", output)
    if not file.is_file():
        raise InputError(f"{file}: no such file. Give a checkpoint, such as latest.ckpt.")

    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    from lerobot_sdm.checkpoints.import_policy import import_checkpoint as run

    imported = run(file, output, weights.value if weights else None)
    typer.echo(
        f"{output}: --policy.type={imported.policy_type}, {imported.parameters:,} parameters, from the "
        f"{imported.weights} weights of a {imported.kind} checkpoint for '{imported.task}'."
    )
    if imported.imagined_robot:
        typer.echo("It needs the imagined robot's points as `observation.imagin_robot` beside the cloud.")
    if imported.unit_colors:
        typer.echo(
            "It was trained with colors from 0 to 1, but this package's data and environments use 0 to 255. Convert "
            "its demonstrations with --color-range=none, which leaves colors unchanged."
        )
