"""The warm process: imports once what programs need, then forks itself for each program.

    python -P -m lerobot_sdm.processes.server SOCKET MODULE... [-- MODULE...]

SOCKET is the file descriptor of a listening Unix socket, see `messages`. Standard input begins with a line of JSON: the
environment variables that this process was started with, which imports may have changed by the time it reads them.
Programs start as soon as the first group of modules is imported; those that start before the second group is imported
import the rest themselves. The process ends as soon as its standard input is closed; programs that are still running
keep running.

A fork has only the forking thread, so this process starts no others: it computes nothing, opens no graphics, and does
not touch CUDA. `become` resets everything by which a program could tell it from a fresh process.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from lerobot_sdm.processes.messages import Request, receive_request, send

LATE_VARIABLES = (
    *("COLUMNS", "LINES", "LC_CTYPE", "OTEL_SERVICE_NAME", "PYTEST_", "SUBMITIT_"),
    *("CUDA_VISIBLE_DEVICES", "LEROBOT_SDM_WARM"),
)
"""Prefixes of environment variables that may differ between a program and this process: no import reads them. Those of
the first line appear in a process while it runs: readline sets the size of the terminal, Python LC_CTYPE if no locale
is given, rerun its name, pytest the name of the test, and submitit those of a job."""

TRIAL_SECONDS = 60

NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""Lets an import check for a GPU without initializing CUDA, which no fork could use afterwards."""


def import_in_turn(modules: Sequence[str]) -> Iterator[str]:
    """Import modules, yielding each name; a failed import is left for the programs that need it to report."""
    os.environ.setdefault(NVML_CHECK, "1")
    for module in modules:
        gc.disable()  # Imports produce no garbage, and looking for it takes a sixth of the time.
        try:
            importlib.import_module(module)
        except Exception:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        yield module


def survives(work: Callable[[], None], seconds: float) -> bool:
    """Whether a fork of this process can do some work within the time limit."""
    if (pid := os.fork()) == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def compute_and_draw() -> None:
    """Work that hangs or fails in a fork if the system's libraries do not support it, as on some versions of macOS."""
    import mujoco
    import torch

    (torch.ones(512, 512) @ torch.ones(512, 512)).sum().item()
    with contextlib.suppress(Exception):  # A machine without graphics casts rays.
        context = mujoco.GLContext(8, 8)
        context.make_current()
        mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100).free()
        context.free()


def refusal(request: Request, initial: Mapping[str, str]) -> str | None:
    """The reason why a program cannot be a fork of this process, begun with the variables `initial`; None if it can."""
    if threading.active_count() > 1:
        return f"an import has started threads: {threading.enumerate()}"
    for name in request.environment.keys() | initial.keys():
        # Imports set some variables: a program that made the same imports has the same values.
        values = (initial.get(name), os.environ.get(name))
        if request.environment.get(name) not in values and not name.startswith(LATE_VARIABLES):
            return f"{name} differs from its value when the warm process started"
    return None


def serve(listener: socket.socket, initial: Mapping[str, str], imports: Iterator[str]) -> Request | None:
    """Fork for each request until standard input is closed; continue with the imports while there is none.

    Returns:
        In a fork, the request to run; None in this process, at the end.
    """
    running: dict[int, socket.socket] = {}
    ended, wake = os.pipe()
    for end in (ended, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    with selectors.DefaultSelector() as selector:
        for source in (listener, sys.stdin, ended):
            selector.register(source, selectors.EVENT_READ)
        importing: str | None = ""
        while True:
            ready = [key.fileobj for key, _ in selector.select(None if importing is None else 0)]
            if not ready:
                importing = next(imports, None)
            if sys.stdin in ready:
                return None
            if ended in ready:
                _tell_what_ended(running, ended)
            if listener not in ready:
                continue
            connection, _ = listener.accept()
            request = _receive(connection, initial)
            if request is None:
                continue
            gc.freeze()  # Otherwise each program's garbage collector would copy the memory pages of all modules.
            with warnings.catch_warnings():
                # Python counts a thread of pyarrow's memory allocator, which is fork-safe.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for server_only in (listener, connection, *running.values()):
                    server_only.close()
                os.close(ended)
                os.close(wake)
                return request
            running[pid] = connection
            send(connection, pid=pid)
            for descriptor in request.descriptors:
                os.close(descriptor)


def _receive(connection: socket.socket, initial: Mapping[str, str]) -> Request | None:
    """A request that can be served; otherwise None, with everything closed."""
    request = None
    with contextlib.suppress(OSError, ValueError):
        request = receive_request(connection)
    if request is None:
        connection.close()
        return None
    reason = refusal(request, initial)
    if reason is None and not _is_gone(connection):
        return request
    print(f"refused {request.argv[0]}: {reason}", flush=True)
    send(connection, refused=reason)
    connection.close()
    for descriptor in request.descriptors:
        os.close(descriptor)
    return None


def _is_gone(connection: socket.socket) -> bool:
    """Whether the other side has stopped waiting, perhaps during the imports."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def _tell_what_ended(running: dict[int, socket.socket], ended: int) -> None:
    """Report the exit status of every program that has ended."""
    with contextlib.suppress(BlockingIOError):
        while os.read(ended, 4096):
            pass
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        if pid in running:
            with running.pop(pid) as connection:
                send(connection, status=os.waitstatus_to_exitcode(status))


def become(request: Request, handlers: Mapping[int, Any]) -> None:
    """Run a program in this process, which ends with it, after resetting all state that a fresh process would have."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    stdin, output, *_ = request.descriptors
    os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(stdin)
    os.close(output)
    for name in os.environ.keys() | request.environment.keys():
        if name.startswith((NVML_CHECK, *LATE_VARIABLES)):
            os.environ.pop(name, None)
            if name in request.environment:
                os.environ[name] = request.environment[name]
    os.chdir(request.folder)
    gc.enable()
    # Imports have seeded these generators at random. Python reseeds its own after a fork.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(None)
    if torch := sys.modules.get("torch"):
        torch.default_generator.seed()
    run_program(request.argv)


def run_program(argv: Sequence[str]) -> None:
    """Run a console script of this environment, `PYTHON -m MODULE` or `PYTHON SCRIPT`, as the main program."""
    program, *arguments = argv
    main = types.ModuleType("__main__")
    main.__file__ = program
    sys.modules["__main__"] = main
    if arguments[:1] == ["-m"]:
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    if program == sys.executable:
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
        return
    sys.path.insert(0, str(Path(program).parent))
    sys.argv = [program, *arguments]
    (script,) = entry_points(group="console_scripts", name=Path(program).name)
    sys.exit(script.load()())


def main() -> None:
    number, *modules = sys.argv[1:]
    first = [*modules, "--"].index("--")
    # Importing this package has changed variables already: gymnasium sets one of pygame's.
    line = sys.stdin.readline()
    if not line:
        return  # The process that started this has been killed.
    environment = json.loads(line)
    # SIGINT is ignored if this process was started in the background of a shell.
    handlers = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the programs handle it.
    with socket.socket(fileno=int(number)) as listener:
        address = Path(listener.getsockname())
        for _ in import_in_turn(modules[:first]):
            pass
        if sys.platform == "darwin" and not survives(compute_and_draw, TRIAL_SECONDS):
            sys.exit("Forking this process does not work here; programs start as plain subprocesses.")
        request = serve(listener, environment, import_in_turn(modules[first + 1 :]))
    if request is not None:
        become(request, handlers)
    else:  # The process that started this may have been killed.
        with contextlib.suppress(OSError):
            address.unlink()
            address.parent.rmdir()


if __name__ == "__main__":
    main()
