"""Programs forked from a warm process: as fresh ones in all that they could tell, and as easily ended."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console
from run_command import run_command

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import write_json
from lerobot_sdm.measure.commands import CommandFailedError
from lerobot_sdm.measure.runner import run_stages
from lerobot_sdm.measure.stages import Stage
from lerobot_sdm.processes.launcher import SWITCH, Fork, Launcher, find_program, warm_process
from lerobot_sdm.processes.server import compute_and_draw

FACTS = """
import gc, json, logging, os, random, signal, sys, threading
import lerobot_sdm, numpy as np, torch

def main():
    facts = {
        "argv": sys.argv[1:],
        "program": os.path.basename(sys.argv[0]),
        "path": sys.path,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "name": __name__,
        "main": os.path.basename(sys.modules["__main__"].__file__),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "terminate": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "children": signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
        "wakes": signal.set_wakeup_fd(-1),
        "threads": threading.active_count(),
        "handlers": len(logging.getLogger().handlers),
        "collects": gc.isenabled(),
        "torch threads": torch.get_num_threads(),
        "cuda": torch.cuda.is_initialized(),
        "terminal": [stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "input": sys.stdin.read(),
        "open": sorted(set(map(int, os.listdir("/proc/self/fd"))) - {0, 1, 2}) if sys.platform == "linux" else None,
    }
    drawn = [random.random(), np.random.rand(), torch.rand(1).item()]
    other = {"drawn": drawn, "pid": os.getpid(), "parent": os.getppid()}
    print(json.dumps([facts, other]))

if __name__ == "__main__":
    main()
"""

RECORDER = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
os.write(1, b"begun\\n")
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the modules that programs here are made of."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "facts.py").write_text(FACTS)
    (folder / "recorder.py").write_text(RECORDER)
    return folder


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def warm(place, environment):
    with warm_process(environment, ["torch", "no_such_module"], place / "log") as launcher:
        yield launcher


def run(launcher, place, environment, *argv: str) -> str:
    """Run a program in `place`; returns its log."""
    log = place / "logs" / "program.log"
    log.unlink(missing_ok=True)
    before = Path.cwd()
    os.chdir(place)
    try:
        run_command(argv, log, Console(file=io.StringIO()), environment, launcher=launcher)
    finally:
        os.chdir(before)
    return log.read_text()


def facts(launcher, place, environment) -> tuple[dict, dict]:
    """What the program `facts` finds."""
    text = run(launcher, place, environment, sys.executable, "-m", "facts", "--a=b c", "d")
    return json.loads(text.splitlines()[1])


def test_a_fork_is_like_a_fresh_process(warm, place, environment):
    plain, _ = facts(Launcher(), place, environment)
    forked, other = facts(warm, place, environment)
    assert forked == plain
    # Generators that a fresh process seeds by chance are not shared by the forks.
    again = facts(warm, place, environment)[1]
    assert all(one != two for one, two in zip(other["drawn"], again["drawn"], strict=True))
    # And it was a fork, of another process than this one.
    assert other["pid"] != again["pid"]
    assert other["parent"] == again["parent"] != os.getpid()


def test_a_console_script_is_what_its_entry_point_says(warm, place, environment):
    program = find_program("lerobot-sdm")
    assert "held-out" in run(warm, place, environment, "lerobot-sdm", "distance", "--help")
    with pytest.raises(CommandFailedError, match=r"`lerobot-sdm` ended with exit status 2(.|\n)*nowhere"):
        run(warm, place, environment, "lerobot-sdm", "view", "nowhere")
    assert Path(program).exists()


def start(launcher, place, environment, seconds: float = 60):
    """Start a program that writes down its number and sleeps; gives it and the reading end of its output."""
    file = place / f"pid-{time.monotonic_ns()}"
    reading, writing = os.pipe()
    argv = (sys.executable, "-m", "recorder", str(file), str(seconds))
    with Path(os.devnull).open() as nothing:
        before = Path.cwd()
        os.chdir(place)
        process = launcher.start(argv, environment, nothing.fileno(), writing)
        os.chdir(before)
    os.close(writing)
    output = os.fdopen(reading, "rb", buffering=0)
    # Otherwise a test below would take the process of these tests for the warm one, and kill it.
    assert isinstance(process, Fork), (place / "log").read_text()
    assert output.read(100) == b"begun\n"
    assert int(file.read_text()) == process.pid
    return process, output


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_killed_program_tells_its_signal(warm, place, environment, name):
    if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        pytest.skip("these tests run in the background of a shell, which lets them ignore interrupts")
    process, output = start(warm, place, environment)
    assert process.poll() is None
    os.kill(process.pid, getattr(signal, name))
    with output:
        assert output.readall().count(b"KeyboardInterrupt") == (name == "SIGINT")
    # Python ends by the signal itself where it was not caught.
    assert process.wait() == -getattr(signal, name)
    assert process.poll() == process.returncode


def test_terminate(warm, place, environment):
    process, output = start(warm, place, environment)
    with output:
        process.terminate()
        assert process.wait() == -signal.SIGTERM
        process.terminate()  # Whoever has that number by now is left alone.


def test_programs_outlive_the_warm_process(place, environment):
    """As those do whose parent is killed; they are ended by whoever started them."""
    with warm_process(environment, [], place / "log") as launcher:
        process, output = start(launcher, place, environment)
        server = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(server, signal.SIGKILL)
        os.kill(process.pid, 0)
        process.terminate()
        with output:
            assert output.readall() == b""
        assert process.wait() == -signal.SIGTERM
        # Programs are started plainly from now on.
        _, other = facts(launcher, place, environment)
        assert other["parent"] == os.getpid()


def test_another_environment_is_no_fork(warm, place, environment):
    """A variable that an import may have read; one that is read later does no harm."""
    other = environment | {"OMP_NUM_THREADS": "2"}
    found, where = facts(warm, place, other)
    assert where["parent"] == os.getpid()
    assert found["environment"]["OMP_NUM_THREADS"] == "2"
    found, where = facts(warm, place, environment | {"CUDA_VISIBLE_DEVICES": "3"})
    assert where["parent"] != os.getpid()
    assert found["environment"]["CUDA_VISIBLE_DEVICES"] == "3"


def test_a_variable_that_an_import_sets_is_no_other_environment(place, environment):
    """gymnasium sets this one as soon as this package is imported, whatever its value was."""
    other = environment | {"PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    with warm_process(other, [], place / "log") as launcher:
        process, output = start(launcher, place, other)
        process.terminate()
        output.close()
        found, where = facts(launcher, place, other)
        plain, _ = facts(Launcher(), place, other)
    assert where["parent"] != os.getpid()
    assert found == plain


def test_it_can_be_switched_off(place, environment):
    with warm_process(environment | {SWITCH: "0"}, [], place / "log") as launcher:
        assert launcher == Launcher()


def test_where_no_socket_can_be_programs_start_on_their_own(place, environment, monkeypatch):
    """The system limits the length of a socket's path to about a hundred characters."""
    deep = place / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with warm_process(environment, [], place / "log") as launcher:
        assert launcher.address is None
    assert list(deep.iterdir()) == []


def test_a_module_that_fails_to_import_is_left_to_the_programs(warm, place, environment):
    facts(warm, place, environment)
    assert "No module named 'no_such_module'" in (place / "log").read_text()


def test_nothing_is_left_behind(place, environment):
    with warm_process(environment, [], place / "log") as launcher:
        facts(launcher, place, environment)
        folder = Path(launcher.address).parent
        assert folder.stat().st_mode & 0o077 == 0  # Nobody else may start programs in our name.
    assert not folder.exists()


@pytest.mark.parametrize(
    ("work", "works"),
    [(compute_and_draw, True), (os.abort, False), (partial(time.sleep, 60), False), (partial(divmod, 1, 0), False)],
)
def test_a_trial_of_forks(work, works):
    """Made on macOS, where some libraries do not survive a fork; here by a process that has done nothing yet."""
    program = (
        "import sys, pickle; from lerobot_sdm.processes.server import survives\n"
        "print(survives(pickle.loads(bytes.fromhex(sys.argv[1])), 20 if sys.argv[2] == 'True' else 1))"
    )
    command = [sys.executable, "-c", program, pickle.dumps(work).hex(), str(works)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{works}\n"


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("forked", [True, False])
def test_a_functions_exception_reaches_the_caller(warm, environment, tmp_path, forked):
    stage = Stage("fail", "Fail", tmp_path / "x", function=partial(fail, InputError("--size=0: give more.")))
    console = Console(file=io.StringIO())
    with pytest.raises(InputError, match="--size=0: give more"):
        run_stages([stage], tmp_path, console, environment, launcher=warm if forked else Launcher())
    assert not (tmp_path / "stages" / "fail.json").exists()
    made = tmp_path / "made.json"
    stage = Stage("make", "Make", made, function=partial(write_json, made, [1]))
    run_stages([stage], tmp_path, console, environment, launcher=warm if forked else Launcher())
    assert made.read_text() == "[\n  1\n]\n"
