"""Stages: steps that run once, leave a marker, and are skipped when the run is started again.

The folder of a run holds `settings.json` (what was asked for), `stages/NAME.json` (a marker for each finished
stage) and `logs/NAME.log` (all that the stage printed). A marker is written only after its stage succeeded.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import is_temporary, read_json, write_json
from lerobot_sdm.locks import only_one


@dataclass(frozen=True)
class Stage:
    """One step of a run: a command, or a function of this package.

    Args:
        name: Short name, used in file names.
        title: Title shown to the user.
        produces: Folder or file that the stage makes. If it exists before the stage has a marker, an earlier attempt
            was interrupted.
        command: Program and arguments; the program is looked up beside the running Python.
        whole: Whether its product appears atomically, so that an existing one is complete.
        continue_command: Called after an interrupted attempt; returns the command that resumes it, or None to start
            over.
        function: Called instead of a command, in its own process; see `processes.calls`.
        settings: What determines the result in addition to the command or, with a function, on its own.
        needs: Names of the stages that must finish first; None for all earlier ones.
        cores: Cores that it keeps busy.
        alone: Whether nothing may run beside it.
        device: Stages with the same device do not run in parallel.
        kind: Stages of one kind take time in proportion to their sizes.
        size: Roughly the seconds that it takes on a typical machine; 0 if unknown.
        typical: Whether its time is also in proportion to stages of other kinds.
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
        """Hash of what the stage does, independent of the run folder's location."""
        # The folder as JSON writes it, which escapes quotes and letters beyond ASCII.
        folder = json.dumps(f"{root}/")[1:-1]
        text = json.dumps([*self.command, self.settings], sort_keys=True).replace(folder, "{output}/")
        return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def claimed_folder(root: Path, settings: dict[str, Any]) -> Iterator[None]:
    """Claim a run's folder as `claim_folder` does, and keep other processes from running in it meanwhile.

    Raises:
        InputError: As there, or if another process runs in it.
    """
    claim_folder(root, settings)
    refusal = f"--output={root}: another run is using this folder. Wait for it to finish, or give another folder."
    with only_one(root / ".lock", refusal):
        yield


def claim_folder(root: Path, settings: dict[str, Any]) -> None:
    """Create a run's folder, or check that an existing one belongs to a run with the same settings.

    Args:
        settings: Everything that determines the results, JSON-compatible.

    Raises:
        InputError: If the folder holds something else, or a setting has changed.
    """
    path = root / "settings.json"
    settings = json.loads(json.dumps(settings))
    if path.exists():
        differences = list(_differences(read_json(path), settings))
        if differences:
            name, before, now = differences[0]
            more = f" ({len(differences) - 1} more settings differ.)" if len(differences) > 1 else ""
            raise InputError(
                f"--output={root}: holds a run with {name}={before!r}, and now it is {now!r}.{more} Give the old "
                "value to resume that run, or another --output, or delete the folder to start over."
            )
        return
    # A kill between creating the folder and writing its settings leaves a temporary file.
    if root.exists() and not (root.is_dir() and all(map(is_temporary, root.iterdir()))):
        raise InputError(
            f"--output={root}: is not empty, and not an earlier run of this command. Give a new or empty folder."
        )
    write_json(path, settings)


def chosen_threads(root: Path, given: int | None, default: int) -> int:
    """Threads of a run: the given number, else the one it started with on any machine, else `default`.

    The number affects how sums are rounded, so it belongs to the run; but a default must not keep a run from resuming
    on another machine.
    """
    if given is not None:
        return given
    path = root / "settings.json"
    return read_json(path).get("threads", default) if path.exists() else default


def finished_stage(stage: Stage, root: Path) -> dict[str, Any] | None:
    """Content of a stage's marker; None if the stage has not finished or its product has been deleted.

    Raises:
        InputError: The stage ran another command.
    """
    marker = marker_file(stage, root)
    if not (marker.exists() and stage.produces.exists()):
        return None
    record = read_json(marker)
    if record["fingerprint"] != stage.fingerprint(root):
        raise InputError(
            f"--output={root}: stage '{stage.name}' was finished by another version of the command "
            f"(then: {record['command'] or record['settings']}). Give another --output, or delete "
            f"{stage.produces} to rerun that stage, and what was made from it."
        )
    return record


def startable(stages: Sequence[Stage], finished: Collection[str], running: Collection[str], cores: int) -> Stage | None:
    """The first stage that can start now; None if there is none.

    Args:
        finished, running: Names of stages.
        cores: Cores that all stages may use together; a stage that needs more runs alone.
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
    """Path of a finished stage's marker."""
    return root / "stages" / f"{stage.name}.json"


def format_seconds(seconds: float) -> str:
    """Human-readable duration: 8 s, 3 min 20 s."""
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
