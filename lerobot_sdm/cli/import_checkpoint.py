"""`lerobot-sdm import-checkpoint`: from a checkpoint in the original format to a LeRobot policy directory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lerobot_sdm.errors import InputError, refuse_existing


class Weights(StrEnum):
    """Weight sets of a checkpoint."""

    EMA = "ema"
    RAW = "raw"


def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE.ckpt", help="Checkpoint of DP3, Simple DP3, SDM or ManiCM.")],
    output: Annotated[Path, typer.Option(help="Policy directory to write; must not exist.")],
    weights: Annotated[
        Weights | None,
        typer.Option(help="Weight set; unless given, the one that the original evaluates."),
    ] = None,
) -> None:
    """Make a LeRobot policy directory of an original checkpoint. Nothing in the file is executed.

    The directory serves as `--policy.path` of lerobot-eval, as `--policy.teacher_path` of a distillation, and for
    `lerobot-sdm publish`.
    """
    refuse_existing("--output", output)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file. Give a checkpoint, such as latest.ckpt.")

    # Torch and LeRobot's models take seconds to import; a mistyped option should not.
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
            "It was trained with colors of 0 to 1, and this package's data and environments have 0 to 255. Convert its "
            "demonstrations with --color-range=none, which leaves colors as they are."
        )
