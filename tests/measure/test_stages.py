"""Stages with real subprocesses: markers, interruption, changed settings."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from full_disk import files_of_at_most
from rich.console import Console
from run_command import run_command

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json, write_json, write_text
from lerobot_sdm.measure.commands import CommandFailedError, format_command
from lerobot_sdm.measure.runner import run_stages
from lerobot_sdm.measure.stages import Stage, chosen_threads, claim_folder, format_seconds
from lerobot_sdm.processes.launcher import find_program

COUNTER = """
import os, pathlib, sys, time
folder, goal, pause = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
folder.mkdir(exist_ok=True)
(folder / "pid").write_text(str(os.getpid()))
path = folder / "count"
for step in range(int(path.read_text()) + 1 if path.exists() else 1, goal + 1):
    path.write_text(str(step))
    print(f"step {step}", flush=True)
    time.sleep(pause)
"""


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def counter_stage(root: Path, goal: int = 3, pause: float = 0.0, resumable: bool = True) -> Stage:
    folder = root / "counter"
    command = (sys.executable, "-c", COUNTER, str(folder), str(goal), str(pause))
    return Stage("count", "Count", folder, command, continue_command=lambda: command if resumable else None)


def run(stages, root, console):
    run_stages(stages, root, console, dict(os.environ))
    return console.file.getvalue()


def test_finished_stage_is_not_run_again(tmp_path, console):
    stage = counter_stage(tmp_path)
    run([stage], tmp_path, console)
    marker = read_json(tmp_path / "stages" / "count.json")
    assert marker["seconds"] >= 0
    assert marker["continued"] is False
    assert "step 3" in (tmp_path / "logs" / "count.log").read_text()

    (tmp_path / "counter" / "count").unlink()
    assert "finished before" in run([stage], tmp_path, console)
    assert not (tmp_path / "counter" / "count").exists()


def test_what_was_deleted_is_made_again(tmp_path, console):
    """A marker alone is not what it stands for."""
    stage = counter_stage(tmp_path)
    run([stage], tmp_path, console)
    shutil.rmtree(tmp_path / "counter")
    assert "finished before" not in run([stage], tmp_path, console)
    assert (tmp_path / "counter" / "count").read_text() == "3"


@pytest.mark.parametrize("name", ["run", 'läufe "1"'])
def test_marker_does_not_depend_on_the_folder(tmp_path, console, name):
    first = tmp_path / name
    run([counter_stage(first)], _made(first), console)
    second = first.rename(tmp_path / f"second {name}")
    assert "finished before" in run([counter_stage(second)], second, console)


def test_failed_stage_leaves_no_marker_and_shows_its_output(tmp_path, console):
    stage = Stage("fail", "Fail", tmp_path / "x", (sys.executable, "-c", "print('the reason'); raise SystemExit(3)"))
    with pytest.raises(CommandFailedError, match=r"exit status 3(.|\n)*the reason"):
        run([stage], tmp_path, console)
    assert not (tmp_path / "stages" / "fail.json").exists()


def start_and_wait_for_first_step(root: Path) -> subprocess.Popen:
    """Start a run in a process of its own whose stage then waits for a minute."""
    script = (
        # A shell that runs tests in the background lets them ignore interrupts, which children would inherit.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import os, sys; sys.path[:0] = sys.argv[1].split(os.pathsep); from pathlib import Path\n"
        "from test_stages import counter_stage; from rich.console import Console\n"
        "from lerobot_sdm.measure.runner import run_stages\n"
        "root = Path(sys.argv[2])\n"
        "run_stages([counter_stage(root, pause=60)], root, Console(), dict(os.environ))\n"
    )
    places = os.pathsep.join(map(str, Path(__file__).parents[:2]))
    arguments = [sys.executable, "-c", script, places, str(root)]
    process = subprocess.Popen(arguments, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    count = root / "counter" / "count"
    deadline = time.monotonic() + 60
    while not (count.exists() and count.read_text() == "1") and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(("resumable", "first_step"), [(True, 2), (False, 1)])
def test_killed_run_continues_or_starts_over(tmp_path, console, resumable, first_step):
    """A whole run is killed half-way; the same stages, now without the pause, finish it."""
    process = start_and_wait_for_first_step(tmp_path)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    count = tmp_path / "counter" / "count"
    assert count.read_text() == "1"
    assert not (tmp_path / "stages" / "count.json").exists()

    report = run([counter_stage(tmp_path, resumable=resumable)], tmp_path, console)
    assert ("continues where it was interrupted" in report) == resumable
    assert ("starts over" in report) != resumable
    log = (tmp_path / "logs" / "count.log").read_text()
    steps = [line for line in log[log.rindex("$ ") :].splitlines() if line.startswith("step")]
    assert steps[0] == f"step {first_step}"
    assert count.read_text() == "3"
    assert read_json(tmp_path / "stages" / "count.json")["continued"] is resumable


def test_interrupted_run_takes_its_command_along(tmp_path):
    """The parent alone gets the interrupt; its child must not go on writing into the run's folder."""
    process = start_and_wait_for_first_step(tmp_path)
    child = int((tmp_path / "counter" / "pid").read_text())
    os.kill(child, 0)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not (tmp_path / "stages" / "count.json").exists()


def test_a_full_disk_loses_no_finished_stage(tmp_path, console):
    """Full while a stage writes down what it made, and then while it leaves its marker."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    stages = [
        Stage(path.stem, path.stem, path, function=partial(write_json, path, "x" * size), settings={})
        for path, size in ((first, 2000), (second, 20_000))
    ]
    with files_of_at_most(8000), pytest.raises(OSError, match=r"File too large|No space left"):
        run(stages, tmp_path, console)
    assert first.exists()
    made = first.stat().st_ino
    small = Stage("small", "Small", second, function=partial(write_json, second, 1), settings={"long": "x" * 20_000})
    with files_of_at_most(8000), pytest.raises(OSError, match=r"File too large|No space left"):
        run([small], tmp_path, console)
    assert read_json(second) == 1
    files = sorted(path.name for path in tmp_path.rglob("*.*") if path.is_file() and path.suffix != ".log")
    assert files == ["first.json", "first.json", "second.json"]

    assert "first: finished before" in run(stages, tmp_path, console)
    assert first.stat().st_ino == made
    assert read_json(second) == "x" * 20_000


def test_changed_command_is_refused(tmp_path, console):
    run([counter_stage(tmp_path)], tmp_path, console)
    changed = counter_stage(tmp_path, goal=4)
    with pytest.raises(InputError, match=r"(?s)'count' was finished by another version.*delete .*/counter to rerun"):
        run([changed], tmp_path, console)
    # As it says: the marker alone would let the old product pass for a new one.
    shutil.rmtree(changed.produces)
    run([changed], tmp_path, console)
    assert (tmp_path / "counter" / "count").read_text() == "4"


def test_changed_settings_are_named(tmp_path):
    root = tmp_path / "run"
    claim_folder(root, {"task": "reach", "teacher": {"steps": 100, "policy": {"down_dims": (8, 16)}}})
    claim_folder(root, {"task": "reach", "teacher": {"steps": 100, "policy": {"down_dims": [8, 16]}}})
    with pytest.raises(InputError, match=r"teacher.steps=100, and now it is 200"):
        claim_folder(root, {"task": "reach", "teacher": {"steps": 200, "policy": {"down_dims": [8, 16]}}})
    assert read_json(root / "settings.json")["teacher"]["steps"] == 100


def test_a_run_keeps_the_threads_that_it_began_with(tmp_path):
    """Unless others are asked for, which is refused as any other change is."""
    root = tmp_path / "run"
    assert chosen_threads(root, None, default=3) == 3
    claim_folder(root, {"task": "reach", "threads": 3})
    assert chosen_threads(root, None, default=1) == 3  # On a smaller machine.
    claim_folder(root, {"task": "reach", "threads": chosen_threads(root, None, default=1)})
    assert chosen_threads(root, 2, default=1) == 2
    with pytest.raises(InputError, match="threads=3, and now it is 2"):
        claim_folder(root, {"task": "reach", "threads": 2})


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not empty"):
        claim_folder(tmp_path, {})
    with pytest.raises(InputError, match="not empty"):
        claim_folder(tmp_path / "thesis.tex", {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_function_stage(tmp_path, console):
    made = tmp_path / "made"
    stage = Stage("make", "Make", made, function=made.touch, settings={"size": 1})
    run([stage], tmp_path, console)
    assert made.exists()
    changed = Stage("make", "Make", made, function=made.touch, settings={"size": 2})
    with pytest.raises(InputError, match="another version"):
        run([changed], tmp_path, console)


def test_progress_lines_and_carriage_returns(tmp_path):
    """Redrawn progress bars count as lines, escape codes vanish, and the log keeps every byte."""
    console = Console(file=io.StringIO(), width=80)
    log = tmp_path / "logs" / "bar.log"
    code = "import sys; sys.stdout.write('10%\\r\\x1b[1m99%\\x1b[0m\\rboom'); sys.exit(1)"
    with pytest.raises(CommandFailedError, match=r"10%\n99%\nboom"):
        run_command([sys.executable, "-c", code], log, console, dict(os.environ))
    assert b"\x1b[1m99%" in log.read_bytes()


def test_commands_can_be_copied():
    text = format_command(["lerobot-sdm", "record", "--env.task=drawer-open", "--policy.down_dims=[8, 16]"])
    assert text == "lerobot-sdm record \\\n  --env.task=drawer-open \\\n  '--policy.down_dims=[8, 16]'"
    joined = subprocess.run(["sh", "-c", text.replace("lerobot-sdm", "echo")], capture_output=True, text=True)
    assert joined.stdout.strip() == "record --env.task=drawer-open --policy.down_dims=[8, 16]"


def test_programs_come_from_the_running_environment():
    assert Path(find_program("lerobot-train")).parent == Path(sys.executable).parent
    assert find_program("no-such-program") == "no-such-program"


def test_write_text_replaces_at_once(tmp_path):
    path = tmp_path / "folder" / "file"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert [item.name for item in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s")])
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
