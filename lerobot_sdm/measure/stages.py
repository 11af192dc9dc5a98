"""Stages: steps that run once, leave a marker, and are skipped when everything is started again.

The folder of a run holds `settings.json` (what was asked for), `stages/NAME.json` (a marker for each finished
stage) and `logs/NAME.log` (all that the stage printed). A marker is written only after its stage succeeded.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.files import read_json, write_json


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
        continue_command: Called where there is a remainder; the command that resumes it, or None to
            start over.
        function: Called instead of a command, in a process of its own; see `processes.calls`.
        settings: What determines the result besides the command; all of it where there is a function instead.
        needs: Names of the stages that must have finished before; None for all that stand before it.
        cores: How many cores it keeps busy.
        alone: Whether nothing may run beside it.
        device: Stages that name the same device do not run side by side.
        kind: Stages of one kind take times in proportion to their sizes.
        size: How much it has to do: about the seconds that it takes on a usual machine; 0 if not known.
        typical: Whether stages of all kinds take times in proportion, too.
    """

    name: str
    title: str
    produces: Path
    command: tuple[str, ...] = ()
    whole: bool = False
    continue_command: Callable[[], tuple[str, ...] | None] = lambda: None
    function: Callable[[], None] | None = None
    settings: dict[str, Any] | None = None
    needs: tuple[str, ...] | None = None
    cores: int = 1
    alone: bool = False
    device: str = ""
    kind: str = ""
    size: float = 0.0
    typical: bool = False

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


def chosen_threads(root: Path, given: int | None, default: int) -> int:
    """Threads of a run: as many as given, or else as it began with, whatever machine resumes it, or else `default`.

    The number decides how sums are rounded, so it belongs to the run; but a number that nobody chose is no reason to
    refuse to go on elsewhere.
    """
    if given is not None:
        return given
    path = root / "settings.json"
    return read_json(path).get("threads", default) if path.exists() else default


def finished_stage(stage: Stage, root: Path) -> dict[str, Any] | None:
    """What the marker of a stage says; None if it has not finished, or what it made has been deleted since.

    Raises:
        InputError: It was another command.
    """
    marker = marker_file(stage, root)
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


def startable(stages: Sequence[Stage], finished: Collection[str], running: Collection[str], cores: int) -> Stage | None:
    """The first stage that may start now; None if there is none.

    Args:
        stages: The plan.
        finished: Names of the stages that have finished.
        running: Names of those that run.
        cores: How many cores stages may use together; one that wants more runs alone.
    """
    busy = [stage for stage in stages if stage.name in running]
    if any(stage.alone for stage in busy):
        return None
    free = cores - sum(stage.cores for stage in busy)
    for number, stage in enumerate(stages):
        if stage.name in finished or stage.name in running:
            continue
        needs = [other.name for other in stages[:number]] if stage.needs is None else stage.needs
        fits = not busy or (not stage.alone and stage.cores <= free)
        fits = fits and not (stage.device and stage.device in (other.device for other in busy))
        if fits and all(name in finished for name in needs):
            return stage
    return None


def marker_file(stage: Stage, root: Path) -> Path:
    """What a stage leaves behind when it has finished."""
    return root / "stages" / f"{stage.name}.json"


def format_seconds(seconds: float) -> str:
    """Seconds as a person reads them: 8 s, 3 min 20 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _differences(before: Any, now: Any, name: str = ""):
    """Yield (dotted name, old value, new value) for every leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now
