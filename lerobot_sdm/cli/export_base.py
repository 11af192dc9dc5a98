"""`lerobot-sdm export-base`: export a fine-tuned policy as a plain policy of its base's type."""

from pathlib import Path
from typing import Annotated

import typer

from lerobot_sdm.errors import refuse_existing


def export_base(
    checkpoint: Annotated[Path, typer.Argument(help="The fine-tuned policy's `pretrained_model` folder.")],
    output: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """Write a fine-tuned policy as a plain policy of its base's type.

    The folder works as `--policy.path` of LeRobot's commands and as `--policy.teacher_path` for distillation.
    """
    refuse_existing("--output", output)

    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    from lerobot_sdm.checkpoints.export_base import export_base as export

    typer.echo(f"Wrote {export(checkpoint, output)}")
