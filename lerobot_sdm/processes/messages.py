"""Messages between a warm process and its clients: one line of JSON, with file descriptors.

One connection serves one program: a `Request`, answered by `{"pid": N}` or `{"refused": REASON}`; and when the program
has ended, `{"status": N}`, negative for a signal, as in `subprocess`.
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
        folder: Its working directory.
        environment: All of its environment variables.
        descriptors: Standard input, output (errors too), and whatever else to keep open.
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
    """Receive a request; None if the other side hung up first. The caller owns the descriptors."""
    text, descriptors, _, _ = socket.recv_fds(connection, LARGEST, MOST_DESCRIPTORS)
    while text and not text.endswith(b"\n"):
        more = connection.recv(LARGEST)
        text = text + more if more else b""
    if not text:
        return None
    values = json.loads(text)
    return Request(tuple(values["argv"]), values["folder"], values["environment"], tuple(descriptors))


def send(connection: socket.socket, **values: Any) -> None:
    """Send an answer; a no-op if nobody is waiting for it any more."""
    try:
        connection.sendall(json.dumps(values).encode() + b"\n")
    except OSError:
        connection.close()


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Receive an answer; None if the other side is gone."""
    text = b""
    try:
        while not text.endswith(b"\n"):
            # One byte at a time, so as not to consume part of the next answer.
            byte = connection.recv(1)
            if not byte:
                return None
            text += byte
    except OSError:
        return None
    return json.loads(text)
