"""`lerobot-sdm reward-error`: evaluate a reward model on the episodes held out of its training."""

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
    """Measure a reward model's error and rank correlation on the episodes held out of its training.

    lerobot-sdm reward-error --reward=outputs/pusht-keypoints/chunk_reward/checkpoints/last/pretrained_model
    """
    refuse_existing("--output", output)

    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    from lerobot_sdm.files import write_json
    from lerobot_sdm.measure.reward_error import measure_reward_error

    measured = measure_reward_error(str(reward), root)
    table = Table("", "held-out episodes", title=str(reward))
    for name, value in measured.items():
        table.add_row(name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)
    if output is not None:
        write_json(output, measured)
