"""`lerobot-sdm distance`: compare action distributions with the teacher's on held-out observations."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lerobot_sdm.errors import check_at_least, refuse_existing
from lerobot_sdm.policies.policy_spec import PolicySpec


def distance(
    teacher: Annotated[
        str, typer.Option(help="The reference: PATH[,label=NAME][,FIELD=VALUE...]; FIELDs are config fields.")
    ],
    policy: Annotated[list[str], typer.Option(help="A policy to compare, in the same form. Repeatable.")],
    repo_id: Annotated[str, typer.Option("--dataset.repo_id", help="Held-out dataset, not trained on.")],
    root: Annotated[Path | None, typer.Option("--dataset.root", help="Its folder. Default: LeRobot's cache.")] = None,
    observations: Annotated[int, typer.Option(help="Observations, evenly spaced over the dataset.")] = 64,
    samples: Annotated[int, typer.Option(help="Action chunks per observation and policy.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of all start noise.")] = 0,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    output: Annotated[Path | None, typer.Option(help="JSON file for the results; must not exist yet.")] = None,
) -> None:
    """Compare policies' action distributions with their teacher's and with the demonstrations.

    Distances and RMS are in normalized action units over the executed chunk. The first row, the teacher under
    different noise, is the floor that a good student approaches. For example:

    lerobot-sdm distance --teacher=T,num_inference_steps=10 --policy=T,num_inference_steps=1 --policy=S
    --dataset.repo_id=local/held-out --dataset.root=data/held-out
    """
    check_at_least("--seed", seed, 0)
    refuse_existing("--output", output)
    entries = [PolicySpec.parse(text).checked() for text in (teacher, *policy)]

    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    import torch

    from lerobot_sdm.files import write_json
    from lerobot_sdm.measure.distillation import FLOOR, compare_to_teacher
    from lerobot_sdm.measure.observations import demonstrated_chunks, held_out_observations
    from lerobot_sdm.policies.loaded_policy import load_from_spec

    reference, *policies = loaded = [load_from_spec(entry, device) for entry in entries]
    for item in loaded:
        _ = item.denoiser  # Refuses others, such as LeRobot's act, which draw nothing from noise.
    torch.manual_seed(seed)  # Some policies draw numbers besides their start noise.
    where = (repo_id, root, reference.config, observations)
    inputs, demonstrated = held_out_observations(*where), demonstrated_chunks(*where)

    def progress(indices):
        return track(indices, "Sampling actions", total=observations)

    rows = compare_to_teacher(reference, policies, inputs, samples, seed, progress, demonstrated)

    table = Table("policy", "energy distance to teacher", "spread", "RMS, same noise", "distance to demonstrations")
    for row in rows:
        table.add_row(row.label, *(_interval(value) for value in row.summary().values()))
    console = Console()
    console.print(table)
    console.print(
        f"{observations} observations, {samples} action chunks each; 95% bootstrap intervals over observations."
    )
    if output is not None:
        write_json(
            output,
            {
                "dataset": repo_id,
                "observations": observations,
                "samples": samples,
                "seed": seed,
                "unit": "normalized action units over the executed chunk",
                "floor": FLOOR,
                "policies": [vars(entry) for entry in entries],
                "rows": [row.as_json() for row in rows],
            },
        )


def _interval(value) -> str:
    return f"{value.estimate:.4f} ({value.low:.4f} to {value.high:.4f})"
