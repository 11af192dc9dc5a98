"""`lerobot-sdm edit-dataset`: drop, join and split episodes and rename tasks, point clouds included."""

from pathlib import Path
from typing import Annotated

import typer

from lerobot_sdm.errors import InputError

MOST_EPISODES = 10_000_000
"""More episodes than any dataset has, so that a typo cannot exhaust memory."""


def edit_dataset(
    sources: Annotated[list[Path], typer.Argument(help="Datasets; several are joined.", metavar="FOLDER...")],
    root: Annotated[Path, typer.Option(help="Folder to create. Sources are never changed.")],
    repo_id: Annotated[str | None, typer.Option(help="Dataset name. Default: local/<folder>.")] = None,
    delete: Annotated[str | None, typer.Option(help="Episodes to leave out, such as 3,7,10-19; from 0.")] = None,
    keep: Annotated[str | None, typer.Option(help="The only episodes to keep, instead of --delete.")] = None,
    task: Annotated[str | None, typer.Option(help="New task description for all episodes.")] = None,
    rename_task: Annotated[list[str] | None, typer.Option(help="OLD=NEW. Repeatable.")] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="NAME=SHARE or NAME=EPISODES, a folder in --root. Repeatable.")
    ] = None,
    recompute_stats: Annotated[bool, typer.Option(help="Recompute all statistics from the data.")] = False,
) -> None:
    """Make a new dataset from one or several, with LeRobot's own tools.

    lerobot-sdm edit-dataset data/monday data/tuesday --delete=3,17 --root=data/week

    lerobot-sdm edit-dataset data/week --split train=0.9 --split held-out=0.1 --root=data/split
    """
    from lerobot_sdm.datasets.edit import DatasetEdit
    from lerobot_sdm.datasets.edit import edit_dataset as make

    edit = DatasetEdit(
        sources=tuple(sources),
        root=root,
        repo_id=repo_id,
        delete=parse_episodes("--delete", delete or ""),
        keep=parse_episodes("--keep", keep or ""),
        task=task,
        rename=_mapping("--rename-task", [_pair("--rename-task", text, "OLD=NEW") for text in rename_task or ()]),
        splits=_mapping("--split", [_split(text) for text in split or ()]),
        stats=recompute_stats,
    )
    for folder in make(edit):
        typer.echo(f"Wrote {folder}")


def parse_episodes(option: str, text: str) -> tuple[int, ...]:
    """Read `3,7,10-19`: the numbers, in order, each once.

    Raises:
        InputError: A part is neither a number nor a range.
    """
    numbers: set[int] = set()
    for part in filter(None, map(str.strip, text.split(","))):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else not last)) or (dash and int(last) < int(first)):
            raise InputError(f"{option}={text}: '{part}' is neither an episode nor a range. Write 3,7,10-19.")
        if int(last or first) > MOST_EPISODES:
            raise InputError(f"{option}={text}: no dataset has an episode {int(last or first)}.")
        numbers |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(numbers))


def _mapping[Value](option: str, pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{option}={again}: is given twice. Give it once.")
    return found


def _split(text: str) -> tuple[str, float | tuple[int, ...]]:
    name, part = _pair("--split", text, "NAME=SHARE or NAME=EPISODES")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"--split={text}: '{name}' is not a valid folder name. Use letters, digits, - and _.")
    if "." in part:
        try:
            share = float(part)
        except ValueError as error:
            raise InputError(
                f"--split={text}: '{part}' is not a share. Write 0.8, or episodes such as 0-39."
            ) from error
        if not 0 < share <= 1:
            raise InputError(f"--split={text}: the share must be above 0 and at most 1. Write, say, train=0.9.")
        return name, share
    return name, parse_episodes(f"--split={name}", part)


def _pair(option: str, text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name and value):
        raise InputError(f"{option}={text}: is not {form}.")
    return name, value
