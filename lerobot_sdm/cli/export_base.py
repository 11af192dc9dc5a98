"""`lerobot-sdm export-base`: a fine-tuned policy as a plain policy of its base's type."""

from pathlib import Path
from typing import Annotated

import typer

from lerobot_sdm.errors import refuse_existing


def export_base(
    checkpoint: Annotated[Path, typer.Argument(help="The fine-tuned policy's `pretrained_model` folder.")],
    output: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """Write a fine-tuned policy as a plain policy of its base's type.

    The folder serves as `--policy.path` of LeRobot's commands, and as `--policy.teacher_path` of a distillation.
    """
    refuse_existing("--output", output)

    # Torch and LeRobot's models take seconds to import; a mistyped option should not.
    from lerobot_sdm.checkpoints.export_base import export_base as export

    typer.echo(f"Wrote {export(checkpoint, output)}")
