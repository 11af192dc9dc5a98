"""`lerobot-sdm compare`: evaluate policies in one environment on the same seeds."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lerobot_sdm.cli.running import running_commands
from lerobot_sdm.policies.policy_spec import PolicySpec


def compare(
    env: Annotated[str, typer.Option(help="TYPE[,FIELD=VALUE...], as `--env.FIELD` of lerobot-eval.")],
    policy: Annotated[
        list[str],
        typer.Option(help="PATH[,label=NAME][,FIELD=VALUE...], repeatable; the first is the reference."),
    ],
    output: Annotated[Path, typer.Option(help="Output folder; rerun to resume or extend.")],
    episodes: Annotated[int, typer.Option(help="Episodes per policy.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the first episode; counts up from there.")] = 100_000,
    batch_size: Annotated[int, typer.Option(help="Episodes to run in parallel.")] = 50,
    device: Annotated[str, typer.Option(help="Torch device of the policies.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads per command.")] = 1,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the commands' full output.")] = False,
) -> None:
    """Evaluate policies with `lerobot-eval` on the same seeds, and write a table, a plot and raw results.

    Each command is shown before it runs. Rerun with more policies to evaluate only the new ones.

    lerobot-sdm compare --env=pusht,obs_type=environment_state_agent_pos --policy=TEACHER,label=teacher
    --policy=STUDENT,label=student --output=outputs/comparison
    """
    rows = tuple(PolicySpec.parse(text).checked() for text in policy)

    # Imported late: LeRobot, torch and matplotlib take seconds, and a mistyped option should fail at once.
    from lerobot_sdm.measure.comparison import Comparison

    comparison = Comparison(env, rows, episodes, seed, batch_size, device, threads)

    from lerobot_sdm.measure.comparison_report import report
    from lerobot_sdm.measure.comparison_run import run_comparison
    from lerobot_sdm.measure.plan import RunLayout

    console = Console()
    with running_commands(console):
        results = run_comparison(comparison, RunLayout(output), console, verbose)
    console.print(report(results).terminal())
    for name in ("table.md", "rewards.png", "results.json"):
        console.print(output / name)
