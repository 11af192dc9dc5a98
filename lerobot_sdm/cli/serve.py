"""`lerobot-sdm serve`: LeRobot's asynchronous policy server, with this package's policies."""

import importlib.util
import inspect
import logging
import os
import sys
from dataclasses import asdict, dataclass

import typer

from lerobot_sdm.cli.options import parse_options
from lerobot_sdm.errors import InputError, check_at_least, missing_package

USAGE = """Usage: lerobot-sdm serve [--host=localhost] [--port=8080] [--option=value ...]

Serve policies to LeRobot's `python -m lerobot.async_inference.robot_client`, which names the checkpoint. Nothing is
authenticated or encrypted: only serve to computers that you trust, and keep the default host otherwise."""


@dataclass
class ServeOptions:
    """Options of LeRobot's policy server, with its defaults.

    Args:
        host: Address to listen on. Anyone who reaches it can choose which checkpoint is loaded.
        port: Port to listen on.
        fps: Control steps per second of the client's robot.
        inference_latency: Least time for a chunk of actions, seconds.
        obs_queue_timeout: Time to wait for an observation before an empty answer, seconds.
    """

    host: str = "localhost"
    port: int = 8080
    fps: int = 30
    inference_latency: float = 1 / 30
    obs_queue_timeout: float = 2

    def check_values(self) -> None:
        """Refuse values that cannot work.

        Raises:
            InputError: A value is invalid.
        """
        if not 1 <= self.port <= 65535:
            raise InputError(f"--port={self.port}: must be from 1 to 65535.")
        check_at_least("--fps", self.fps)
        for name in ("inference_latency", "obs_queue_timeout"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"--{name}={getattr(self, name)}: must be a finite number, at least 0.")


def serve(context: typer.Context) -> None:
    """Serve policies to LeRobot's asynchronous robot client."""
    if {"--help", "-h"} & set(context.args):
        typer.echo(f"{USAGE}\n\n{inspect.getdoc(ServeOptions)}")
        return
    options = parse_options(ServeOptions, context.args)
    options.check_values()
    if importlib.util.find_spec("grpc") is None:
        raise missing_package("lerobot-sdm serve", "gRPC", "async")

    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    from lerobot.async_inference.configs import PolicyServerConfig

    from lerobot_sdm.serving.policy_server import serve as run

    try:
        run(PolicyServerConfig(**asdict(options)))
    except KeyboardInterrupt:
        # Threads of gRPC may outlive the interpreter, which then aborts now and then. Nothing is left to write.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)
