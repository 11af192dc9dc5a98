"""What is said between a warm process and those who start programs in it: a line of JSON, file descriptors beside it.

One connection is one program: a `Request`, answered by `{"pid": N}` or `{"refused": REASON}`; and when the program has
ended, `{"status": N}`, negative for a signal, as `subprocess` has it.
"""

import json
import socket
from dataclasses import asdict, dataclass
from typing import Any

LARGEST = 1 << 22
MOST_DESCRIPTORS = 64


@dataclass(frozen=True)
class Request:
    """A program to start.

    Args:
        argv: The program, a console script of this environment or this Python with a script or `-m MODULE`, and its
            arguments.
        folder: Where it runs.
        environment: Its environment variables, all of them.
        descriptors: Standard input, output (errors too), and whatever else it shall hold open.
    """

    argv: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    descriptors: tuple[int, ...]


def send_request(connection: socket.socket, request: Request) -> None:
    """Send a request with its file descriptors."""
    values = asdict(request)
    descriptors = values.pop("descriptors")
    line = json.dumps(values).encode() + b"\n"
    sent = socket.send_fds(connection, [line], descriptors)
    connection.sendall(line[sent:])


def receive_request(connection: socket.socket) -> Request | None:
    """Receive a request; None where the other side went away first. The descriptors belong to the caller."""
    text, descriptors, _, _ = socket.recv_fds(connection, LARGEST, MOST_DESCRIPTORS)
    while text and not text.endswith(b"\n"):
        more = connection.recv(LARGEST)
        text = text + more if more else b""
    if not text:
        return None
    values = json.loads(text)
    return Request(tuple(values["argv"]), values["folder"], values["environment"], tuple(descriptors))


def send(connection: socket.socket, **values: Any) -> None:
    """Send an answer; nothing happens where nobody waits for it any more."""
    try:
        connection.sendall(json.dumps(values).encode() + b"\n")
    except OSError:
        connection.close()


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Receive an answer; None where the other side is gone."""
    text = b""
    try:
        while not text.endswith(b"\n"):
            # One byte at a time, so that nothing of the next answer is taken along.
            byte = connection.recv(1)
            if not byte:
                return None
            text += byte
    except OSError:
        return None
    return json.loads(text)
