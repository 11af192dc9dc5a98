"""`lerobot-sdm reward-error`: a trained reward model on the episodes that its training held out."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lerobot_sdm.errors import refuse_existing


def reward_error(
    reward: Annotated[Path, typer.Option(help="A chunk_reward checkpoint's `pretrained_model` folder.")],
    root: Annotated[Path | None, typer.Option(help="The dataset's folder, if it has moved.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Error and rank correlation of a reward model on the episodes that its training held out.

    lerobot-sdm reward-error --reward=outputs/pusht-keypoints/chunk_reward/checkpoints/last/pretrained_model
    """
    if output is not None:
        refuse_existing("--output", output)

    # Torch and LeRobot's models take seconds to import; a mistyped option should not.
    from lerobot_sdm.measure.files import write_json
    from lerobot_sdm.measure.reward_error import measure_reward_error

    measured = measure_reward_error(str(reward), root)
    table = Table("", "held-out episodes", title=str(reward))
    for name, value in measured.items():
        table.add_row(name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)
    if output is not None:
        write_json(output, measured)
