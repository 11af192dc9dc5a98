"""Run stages, in parallel as far as cores and dependencies allow."""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from lerobot_sdm.files import write_json
from lerobot_sdm.measure.commands import PLAIN, Board, Running, format_command, wait_for_one
from lerobot_sdm.measure.estimate import rough_time, seconds_left
from lerobot_sdm.measure.preloaded import EVERYTHING_ELSE, RECORDING
from lerobot_sdm.measure.records import source_commit
from lerobot_sdm.measure.stages import Stage, finished_stage, format_seconds, marker_file, startable
from lerobot_sdm.processes.launcher import Launcher, warm_process
from lerobot_sdm.processes.threads import available_cores, passive_waiting

Guard = Callable[[Stage], AbstractContextManager[tuple[int, ...]]]
"""Context around a stage that keeps other processes from running it; yields descriptors for its command to inherit."""


def run_stages(
    stages: Sequence[Stage],
    root: Path,
    console: Console,
    environment: dict[str, str],
    verbose: bool = False,
    guard: Guard = lambda stage: nullcontext(()),
    launcher: Launcher = PLAIN,
    cores: int = 1,
) -> None:
    """Run the unfinished stages. On one core they run in order.

    If one fails, the stages running beside it are ended; the next call resumes them.

    Args:
        root: The run's folder, see `claim_folder`.
        environment: Environment variables of the commands.
        verbose: Show the commands' full output, not only their last lines.
        guard: Locks running stages against other processes.
        launcher: Starts the commands.
        cores: Cores that all stages may use together.

    Raises:
        InputError: If a finished stage ran another command.
        CommandFailedError: If a command fails; its output is in the log.
        Exception: What a stage's function raised.
    """
    with Board(console, quiet=verbose) as board:
        runner = _Runner(stages, root, console, environment, verbose, guard, launcher, cores, board)
        try:
            runner.run()
        finally:
            runner.stop()


def run_warm(
    stages: Sequence[Stage], root: Path, console: Console, environment: dict[str, str], verbose: bool = False
) -> None:
    """Run stages in parallel on all cores, forked from one warm process; see `run_stages`."""
    if all(finished_stage(stage, root) for stage in stages):
        launching: AbstractContextManager[Launcher] = nullcontext(PLAIN)
    else:
        launching = start_warm(environment, root / "logs" / "warm_process.log")
    with launching as launcher:
        run_stages(stages, root, console, environment, verbose, launcher=launcher, cores=available_cores())


def start_warm(environment: dict[str, str], log: Path) -> AbstractContextManager[Launcher]:
    """Start the process that imports what all commands need, and from which they are forked."""
    return warm_process(environment, RECORDING, log, EVERYTHING_ELSE)


def shared_variables(threads: int) -> dict[str, str]:
    """Environment variables for all commands: no Hub downloads, no oversubscribed cores."""
    return {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads), **passive_waiting()}


@dataclass
class _Started:
    """A running stage."""

    stage: Stage
    program: Running
    continued: bool  # Whether it resumes an earlier attempt.
    held: ExitStack  # Holds its guard.
    since: float  # By the performance counter.


@dataclass
class _Runner:
    """State of `run_stages`, including its arguments.

    Args:
        board: Shows what the running stages print.
        running: Running stages by name.
        finished: Seconds that each finished stage took; 0 if it resumed an earlier attempt.
    """

    stages: Sequence[Stage]
    root: Path
    console: Console
    environment: dict[str, str]
    verbose: bool
    guard: Guard
    launcher: Launcher
    cores: int
    board: Board
    running: dict[str, _Started] = field(default_factory=dict)
    finished: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        while len(self.finished) < len(self.stages):
            while stage := startable(self.stages, self.finished, self.running, self.cores):
                self._start(stage)
            if self.running:
                self._finish(wait_for_one({name: item.program for name, item in self.running.items()}, self.board))

    def stop(self) -> None:
        """End all running stages."""
        while self.running:
            _, started = self.running.popitem()
            started.program.stop()
            started.held.close()

    def _start(self, stage: Stage) -> None:
        """Start a stage, or note that it has already finished."""
        heading = f"[bold]{self.stages.index(stage) + 1}/{len(self.stages)} {stage.title}[/bold]"
        with ExitStack() as held:
            inherited = held.enter_context(self.guard(stage))
            if (record := finished_stage(stage, self.root)) is not None:
                self.console.print(f"{heading}: finished before, in {format_seconds(record['seconds'])}")
                self.finished[stage.name] = 0.0 if record["continued"] else record["seconds"]
                return
            self.console.print(heading)
            if stage.whole and stage.produces.exists():
                self.console.print(f"   {stage.produces} is complete already")
                self._mark(stage, 0.0, continued=True)
                return
            command, continued = self._command(stage)
            if stage.function is None:
                self.console.print(format_command(command), style="cyan", highlight=False, soft_wrap=True)
            if not self.running:
                self.board.show(stage.name, "waits for the imports, which happen once for all commands")
            log = self.root / "logs" / f"{stage.name}.log"
            program = Running(command, log, self.environment, self.launcher, self.verbose, inherited, stage.function)
            self.running[stage.name] = _Started(stage, program, continued, held.pop_all(), time.perf_counter())

    def _command(self, stage: Stage) -> tuple[tuple[str, ...], bool]:
        """The command to run, and whether it resumes an earlier attempt, whose remains are otherwise removed."""
        if stage.function is not None:
            return (stage.title,), False
        if not stage.produces.exists():
            return stage.command, False
        if continuation := stage.continue_command():
            self.console.print("   continues where it was interrupted")
            return continuation, True
        # Safe to delete: without a marker it is unfinished, and it is in this run's own folder.
        self.console.print(f"   starts over: {stage.produces} was left unfinished")
        shutil.rmtree(stage.produces) if stage.produces.is_dir() else stage.produces.unlink()
        return stage.command, False

    def _finish(self, name: str) -> None:
        """Wait for a stage whose process has closed its output, and write its marker."""
        started = self.running.pop(name)
        with started.held:
            try:
                started.program.finish()
            except BaseException:
                started.program.stop()
                raise
            self._mark(started.stage, time.perf_counter() - started.since, started.continued)

    def _mark(self, stage: Stage, seconds: float, continued: bool) -> None:
        """Record that a stage has finished, and print the remaining time."""
        write_json(
            marker_file(stage, self.root),
            {
                "stage": stage.name,
                "command": format_command(stage.command) if stage.command else None,
                "settings": stage.settings,
                "fingerprint": stage.fingerprint(self.root),
                "seconds": round(seconds, 1),
                # A resumed stage's time counts from its resumption.
                "continued": continued,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "commit": source_commit(),
            },
        )
        self.finished[stage.name] = 0.0 if continued else seconds
        what = f" {stage.title}" if self.running else ""
        self.console.print(f"   [green]done[/green]{what} in {format_seconds(seconds)}{self._rest()}")

    def _rest(self) -> str:
        """Estimated time of the remaining stages, if there is an estimate."""
        now = time.perf_counter()
        elapsed = {name: now - started.since for name, started in self.running.items()}
        left = seconds_left(self.stages, self.finished, elapsed, self.cores)
        return "" if left is None else f"; {rough_time(left)} left"
