"""`lerobot-sdm latency`: time a policy's decisions on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lerobot_sdm.errors import check_at_least, refuse_existing
from lerobot_sdm.policies.policy_spec import PolicySpec


def latency(
    policy: Annotated[list[str], typer.Option(help="A policy: PATH[,label=NAME][,FIELD=VALUE...]. Repeatable.")],
    repeats: Annotated[int, typer.Option(help="Timed action chunks per policy.")] = 30,
    warmup: Annotated[int, typer.Option(help="Untimed chunks before that.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Environments in a batch.")] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: torch's choice.")] = None,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Seed of the observations.")] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON file for the results; must not exist yet.")] = None,
) -> None:
    """Time a policy's decisions, split into processors, encoder and network.

    Policies take turns, so ratios within one table are meaningful even on a busy machine. Observations are random
    numbers. The last column compares actions with the first policy's, given the same start noise. For example:

    lerobot-sdm latency --policy=S --policy=S,label=int8,inference_precision=int8
    """
    check_at_least("--repeats", repeats)
    check_at_least("--warmup", warmup, 0)
    check_at_least("--batch-size", batch_size)
    check_at_least("--threads", threads)
    refuse_existing("--output", output)
    entries = [PolicySpec.parse(text).checked() for text in policy]

    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    import torch

    from lerobot_sdm.files import write_json
    from lerobot_sdm.measure.latency import measure_parts
    from lerobot_sdm.measure.records import machine
    from lerobot_sdm.measure.tables import hardware
    from lerobot_sdm.policies.loaded_policy import load_from_spec

    if threads is not None:
        torch.set_num_threads(threads)
    loaded = [load_from_spec(entry, device) for entry in entries]
    rows = measure_parts(loaded, repeats, warmup, batch_size, seed)

    names = "policy", "NFE", "chunk p50", "p95", "processors", "encoder", "network", "other"
    table = Table(*names, "step p50", "p95", "Hz", "weights MB", "memory MB", "action error")
    for row in rows:
        parts = row.processors, row.encoder, row.network, row.other, row.step_p50, row.step_p95
        table.add_row(
            row.label,
            f"{row.network_evaluations:g}",
            *(f"{value:.2f}" for value in (row.chunk_p50, row.chunk_p95, *parts)),
            f"{row.rate_hz:.0f}",
            f"{row.weights_mb:.1f}",
            f"{row.memory_mb:.0f}",
            "" if row.action_error is None else f"{row.action_error:.1g}",
        )
    console = Console()
    console.print(table)
    told = machine()
    console.print(
        f"milliseconds; medians unless marked p95; batch size {batch_size}, {rows[0].threads} thread(s), {device}, "
        f"{hardware(device, told)}"
    )
    if output is not None:
        write_json(output, {"rows": [asdict(row) for row in rows], "machine": told, "torch": torch.__version__})
