"""`lerobot-sdm compare`: policies in an environment, on the same seeds, in one table."""

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lerobot_sdm.measure.policy_spec import Contender


def compare(
    env: Annotated[str, typer.Option(help="TYPE[,FIELD=VALUE...], as `--env.FIELD` of lerobot-eval.")],
    policy: Annotated[
        list[str],
        typer.Option(help="PATH[,label=NAME][,FIELD=VALUE...], repeatedly; the first is what others are held against."),
    ],
    output: Annotated[Path, typer.Option(help="Folder for everything; an interrupted or extended run goes on there.")],
    episodes: Annotated[int, typer.Option(help="Episodes for each policy.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the first episode; they count up.")] = 100_000,
    batch_size: Annotated[int, typer.Option(help="Episodes that run together.")] = 50,
    device: Annotated[str, typer.Option(help="Torch device of the policies.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads of each command.")] = 1,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that the commands print.")] = False,
) -> None:
    """Evaluate policies with `lerobot-eval` on the same seeds, and write table, plot and raw results.

    Each policy's command is shown before it runs. Given again with more policies, only those are evaluated.

    lerobot-sdm compare --env=pusht,obs_type=environment_state_agent_pos --policy=TEACHER,label=teacher
    --policy=STUDENT,label=student --output=outputs/comparison
    """
    rows = tuple(Contender.parse(text).checked() for text in policy)

    # LeRobot's environments, torch and matplotlib take seconds to import; a mistyped option should not.
    from lerobot_sdm.measure.comparison import Comparison

    comparison = Comparison(env, rows, episodes, seed, batch_size, device, threads)

    from lerobot_sdm.measure.commands import CommandFailedError
    from lerobot_sdm.measure.comparison_report import terminal_table
    from lerobot_sdm.measure.comparison_run import run_comparison
    from lerobot_sdm.measure.plan import RunLayout

    console = Console()
    # A polite kill is treated like Ctrl-C: the running command is ended with this one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = run_comparison(comparison, RunLayout(output), console, verbose)
    except CommandFailedError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on from there.")
        raise typer.Exit(130) from None
    console.print(terminal_table(results))
    for name in ("table.md", "rewards.png", "results.json"):
        console.print(output / name)
