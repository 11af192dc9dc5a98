"""Stages: steps that run once, leave a marker, and are skipped when everything is started again.

The folder of a run holds `settings.json` (what was asked for), `stages/NAME.json` (a marker for each finished
stage) and `logs/NAME.log` (all that the stage printed). A marker is written only after its stage succeeded.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from lerobot_sdm.errors import InputError
from lerobot_sdm.pipeline.commands import format_command, run_command
from lerobot_sdm.pipeline.files import read_json, write_json

Guard = Callable[["Stage"], AbstractContextManager[tuple[int, ...]]]
"""Entered around a stage, so that no two processes run it at once; gives the file descriptors that its command gets."""


@dataclass(frozen=True)
class Stage:
    """One step of a run: a command, or a function where a whole process would be wasteful.

    Args:
        name: Short name, used in file names.
        title: What the user reads.
        produces: Folder or file that the stage makes. Whatever stands there before the stage has a marker is
            the remainder of an interrupted attempt.
        command: Program and arguments; the program is looked up beside the running Python.
        whole: Whether what it produces appears all at once, so that whatever stands there is complete.
        continue_command: Called where there is a remainder; the command that goes on from it, or None to
            start over.
        function: Called instead of a command.
        settings: What determines the result besides the command; all of it where there is a function instead.
    """

    name: str
    title: str
    produces: Path
    command: tuple[str, ...] = ()
    whole: bool = False
    continue_command: Callable[[], tuple[str, ...] | None] = lambda: None
    function: Callable[[], None] | None = None
    settings: dict[str, Any] | None = None

    def fingerprint(self, root: Path) -> str:
        """Hash of what the stage does, independent of where the run's folder lies."""
        text = json.dumps([*self.command, self.settings], sort_keys=True).replace(f"{root}/", "{output}/")
        return hashlib.sha256(text.encode()).hexdigest()


def claim_folder(root: Path, settings: dict[str, Any]) -> None:
    """Make a run's folder, or make sure that an existing one belongs to a run with the same settings.

    Args:
        root: The run's folder.
        settings: Everything that the results depend on, JSON-compatible.

    Raises:
        InputError: If the folder is something else, or a setting differs from the first time.
    """
    path = root / "settings.json"
    settings = json.loads(json.dumps(settings))
    if path.exists():
        differences = list(_differences(read_json(path), settings))
        if differences:
            name, before, now = differences[0]
            more = f" ({len(differences) - 1} more settings differ.)" if len(differences) > 1 else ""
            raise InputError(
                f"--output={root} holds a run with {name}={before!r}, and now it is {now!r}.{more} Give the "
                "old value to continue that run, or another --output, or delete the folder to start over."
            )
        return
    # A kill between making the folder and its settings leaves a temporary file.
    if root.exists() and any(path.suffix != ".tmp" for path in root.iterdir()):
        raise InputError(
            f"--output={root} is not empty and no earlier run of this command. Give a new or an empty folder."
        )
    write_json(path, settings)


def run_stages(
    stages: Sequence[Stage],
    root: Path,
    console: Console,
    environment: dict[str, str],
    verbose: bool = False,
    guard: Guard = lambda stage: nullcontext(()),
) -> None:
    """Run the stages that have not finished yet, in order.

    Args:
        stages: The plan.
        root: The run's folder, see `claim_folder`.
        console: Where to report.
        environment: Environment variables of the commands.
        verbose: Show everything that the commands print, not only their last line.
        guard: Keeps other processes from the stage that runs.

    Raises:
        InputError: If a finished stage was another command.
        CommandFailedError: If a command fails; its output is in the log.
    """
    for number, stage in enumerate(stages, start=1):
        heading = f"[bold]{number}/{len(stages)} {stage.title}[/bold]"
        with guard(stage) as inherited:
            if (record := finished_stage(stage, root)) is not None:
                console.print(f"{heading}: finished before, in {format_seconds(record['seconds'])}")
                continue
            console.print(heading)
            started = time.perf_counter()
            continued = _run(stage, root, console, environment, verbose, inherited)
            seconds = time.perf_counter() - started
            write_json(
                _marker(stage, root),
                {
                    "stage": stage.name,
                    "command": format_command(stage.command) if stage.command else None,
                    "settings": stage.settings,
                    "fingerprint": stage.fingerprint(root),
                    "seconds": round(seconds, 1),
                    # The time of a continued stage counts from where it went on.
                    "continued": continued,
                    "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                },
            )
        console.print(f"   [green]done[/green] in {format_seconds(seconds)}")


def finished_stage(stage: Stage, root: Path) -> dict[str, Any] | None:
    """What the marker of a stage says; None if it has not finished, or what it made has been deleted since.

    Raises:
        InputError: It was another command.
    """
    marker = _marker(stage, root)
    if not (marker.exists() and stage.produces.exists()):
        return None
    record = read_json(marker)
    if record["fingerprint"] != stage.fingerprint(root):
        raise InputError(
            f"--output={root}: stage '{stage.name}' was finished by another version of the command "
            f"(then: {record['command'] or record['settings']}). Give another --output, or delete "
            f"{marker} to run that stage again."
        )
    return record


def _marker(stage: Stage, root: Path) -> Path:
    return root / "stages" / f"{stage.name}.json"


def format_seconds(seconds: float) -> str:
    """Seconds as a person reads them: 8 s, 3 min 20 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _run(
    stage: Stage, root: Path, console: Console, environment: dict[str, str], verbose: bool, inherited: tuple[int, ...]
) -> bool:
    """Run one stage; says whether it went on from the remainder of an earlier attempt."""
    if stage.function is not None:
        stage.function()
        return False
    if stage.whole and stage.produces.exists():
        console.print(f"   {stage.produces} is complete already")
        return True
    continuation = stage.continue_command() if stage.produces.exists() else None
    if continuation:
        console.print("   continues where it was interrupted")
    elif stage.produces.exists():
        # No marker, so the remainder was never finished, and it lies in this run's own folder.
        console.print(f"   starts over: {stage.produces} was left unfinished")
        shutil.rmtree(stage.produces) if stage.produces.is_dir() else stage.produces.unlink()
    command = continuation or stage.command
    console.print(format_command(command), style="cyan", highlight=False, soft_wrap=True)
    run_command(command, root / "logs" / f"{stage.name}.log", console, environment, verbose, inherited)
    return continuation is not None


def _differences(before: Any, now: Any, name: str = ""):
    """Yield (dotted name, old value, new value) for every leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now
