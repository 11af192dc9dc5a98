"""Start programs: as forks of a warm process if there is one, otherwise as plain subprocesses."""

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from lerobot_sdm.processes.messages import Request, receive, send_request

logger = logging.getLogger(__name__)

SWITCH = "LEROBOT_SDM_WARM"
"""Environment variable: 0 starts every program as a plain subprocess; a socket's path selects that warm process."""

END_SECONDS = 10
"""How long a warm process may take to exit on SIGTERM before it is killed."""


class Fork:
    """A program that runs as a fork of a warm process; the connection delivers its exit status."""

    def __init__(self, pid: int, connection: socket.socket):
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection

    def poll(self) -> int | None:
        """Exit status, negative for a signal; None while the program runs."""
        if self.returncode is None:
            self._connection.setblocking(False)
            try:
                self._connection.recv(1, socket.MSG_PEEK)
                ended = True
            except BlockingIOError:
                ended = False
            except OSError:
                ended = True
            self._connection.setblocking(True)
            if ended:
                self.wait()
        return self.returncode

    def wait(self) -> int:
        """Wait for the program to end, and return its exit status."""
        if self.returncode is None:
            answer = receive(self._connection)
            self._connection.close()
            if answer is None:
                # The warm process is gone. Its program must not keep writing unsupervised.
                self.returncode = -signal.SIGTERM
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGTERM)
            else:
                self.returncode = answer["status"]
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


Process = subprocess.Popen[bytes] | Fork
"""A started program."""


@dataclass(frozen=True)
class Launcher:
    """Starts programs, through the warm process with this address (see `warm_process`) if there is one."""

    address: str | None = None

    def start(
        self,
        argv: Sequence[str],
        environment: dict[str, str],
        stdin: int,
        output: int,
        inherited: Sequence[int] = (),
    ) -> Process:
        """Start a program in the current directory.

        Args:
            argv: The program and its arguments.
            environment: All its environment variables.
            stdin: File descriptor of its standard input.
            output: That of its standard output and errors.
            inherited: Further descriptors to keep open, possibly under other numbers.
        """
        argv = (find_program(argv[0]), *argv[1:])
        if self.address is not None and _can_be_forked(argv):
            request = Request(argv, str(Path.cwd()), environment, (stdin, output, *inherited))
            if fork := _fork(self.address, request):
                return fork
        return subprocess.Popen(
            argv, stdin=stdin, stdout=output, stderr=output, env=environment, pass_fds=tuple(inherited)
        )


def find_program(name: str) -> str:
    """Path of a program in the running environment; the bare name if it is not installed there.

    `uv run` and a virtual environment that is not activated may leave the programs off PATH, and another LeRobot may
    come first on it.
    """
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def is_wanted(environment: dict[str, str]) -> bool:
    """Whether programs may be forked: the system supports it, and it was not disabled."""
    if environment.get(SWITCH, "1").lower() in ("0", "false", "no", "off"):
        return False
    return hasattr(os, "fork") and hasattr(socket, "send_fds")


@contextlib.contextmanager
def warm_process(
    environment: dict[str, str], modules: Sequence[str], log: Path, later: Sequence[str] = ()
) -> Iterator[Launcher]:
    """Start a warm process; it ends with the context, or with this process, even if that is killed.

    Programs can be requested at once: they start when the imports are done. If the warm process fails, or cannot
    become a program (not of this environment, other environment variables), programs start as plain subprocesses.

    Args:
        environment: Environment variables of all programs.
        modules: What it imports before any program starts, in order.
        log: File for its output.
        later: What else it imports while no program is waiting to start.
    """
    if not is_wanted(environment):
        yield Launcher()
        return
    if _is_alive(environment.get(SWITCH, "")):
        yield Launcher(environment[SWITCH])
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="lerobot-sdm-"))  # Private to this user.
    address = str(folder / "socket")
    with socket.socket(socket.AF_UNIX) as listener, log.open("ab") as file:
        try:
            listener.bind(address)
        except OSError as error:
            folder.rmdir()
            logger.info("Programs are started on their own, since there can be no socket at %s: %s", address, error)
            yield Launcher()
            return
        listener.listen(64)
        number = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lerobot_sdm.processes.server", str(number), *modules, "--", *later],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=environment,
            pass_fds=(number,),
        )
    with contextlib.suppress(BrokenPipeError):  # It has ended already.
        process.stdin.write(json.dumps(environment).encode() + b"\n")
        process.stdin.flush()
    try:
        yield Launcher(address)
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # Stuck in an import, or SIGTERM is blocked.
            process.kill()
            process.wait()
        process.stdin.close()
        shutil.rmtree(folder, ignore_errors=True)


def _can_be_forked(argv: Sequence[str]) -> bool:
    """Whether a warm process can become a program."""
    program, *arguments = argv
    if program == sys.executable:
        return bool(arguments) and (arguments[0] == "-m" or not arguments[0].startswith("-"))
    return program in _scripts()


@cache
def _scripts() -> frozenset[str]:
    """Paths of this environment's console scripts that exactly one package provides."""
    names = [script.name for script in entry_points(group="console_scripts")]
    return frozenset(find_program(name) for name in names if names.count(name) == 1)


def _is_alive(address: str) -> bool:
    """Whether a warm process answers at this address."""
    if not Path(address).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(address) == 0


def _fork(address: str, request: Request) -> Fork | None:
    """Request a program from a warm process; None if the process has ended or refuses."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
        send_request(connection, request)
        answer = receive(connection)
    except OSError:
        answer = None
    except BaseException:  # Such as an interrupt during the imports: the warm process notices the closed connection.
        connection.close()
        raise
    if answer is None or "pid" not in answer:
        connection.close()
        reason = "it has ended" if answer is None else answer["refused"]
        logger.info("%s is started on its own, since the warm process cannot become it: %s", request.argv[0], reason)
        return None
    return Fork(answer["pid"], connection)
