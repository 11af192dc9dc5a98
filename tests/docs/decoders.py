"""What each program makes of its arguments, by its own parser, without running it."""

import argparse
import importlib
import itertools
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import draccus
import typer.core
from lerobot.configs import parser
from stand_ins import make_policy, policy_paths

ROOT = Path(__file__).parents[2]
Arguments = tuple[str, ...]


class Parsed(Exception):  # noqa: N818 - no error: it ends a script once its arguments are read
    """Raised in the place of all that a script does behind the reading of its arguments."""


def lerobot(module: str, name: str) -> Callable[[Arguments], None]:
    """Decoder of one of LeRobot's commands: its configuration class, read and checked as the command does."""

    def decode(arguments: Arguments) -> None:
        for path in policy_paths(arguments):
            make_policy(Path(path))
        config_class = getattr(importlib.import_module(module), name)
        found: list[Any] = []

        def keep(config) -> None:
            found.append(config)

        keep.__annotations__["config"] = config_class
        sys.argv = ["command", *arguments]
        parser.wrap()(keep)()
        if hasattr(found[0], "validate"):
            found[0].validate()

    return decode


def lerobot_sdm(arguments: Arguments) -> None:
    """Decoder of this package's command: the verb's own options, and those that it reads like LeRobot."""
    from lerobot_sdm.cli import collect_rollouts, record
    from lerobot_sdm.cli.main import RAW, load
    from lerobot_sdm.cli.options import parse_options
    from lerobot_sdm.cli.serve import ServeOptions
    from lerobot_sdm.datasets.rollouts import RolloutConfig
    from lerobot_sdm.measure.comparison import Comparison
    from lerobot_sdm.policies.policy_spec import PolicySpec

    verb, *rest = arguments
    if verb == "serve":
        parse_options(ServeOptions, rest).check_values()
        return
    given = load(verb).make_context(verb, list(rest)).params
    if verb in RAW:
        if verb == "record":
            record.parse(rest).checked()
        else:
            _, _, rest = collect_rollouts.policy_options(rest)
            parse_options(RolloutConfig, rest).checked()
    if verb == "benchmark" and given["render"] is None and given["engine"] == "local":
        load(verb).main([*rest, "--dry-run"], standalone_mode=False)  # Plans every cell, and begins none.
    if verb == "compare":
        Comparison(given["env"], tuple(map(PolicySpec.parse, given["policy"])))


def script(arguments: Arguments) -> None:
    """Decoder of a Python script: it runs until it has read its arguments. Or of LeRobot's robot client."""
    path, *rest = arguments
    if path == "-m":
        assert rest[0] == "lerobot.async_inference.robot_client"
        draccus.parse(importlib.import_module("lerobot.async_inference.configs").RobotClientConfig, args=rest[1:])
        return
    read = argparse.ArgumentParser.parse_args

    def read_and_stop(self, *args, **kwargs) -> None:
        read(self, *args, **kwargs)
        raise Parsed

    def stop(self, context) -> None:
        """In the place of the function that typer calls with the arguments, which it has read by then."""
        raise Parsed

    argparse.ArgumentParser.parse_args = read_and_stop
    invoke = typer.core.TyperCommand.invoke
    typer.core.TyperCommand.invoke = stop
    sys.argv = [path, *rest]
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        runpy.run_path(path, run_name="__main__")
    except Parsed:
        return
    finally:
        sys.path.pop(0)
        argparse.ArgumentParser.parse_args = read
        typer.core.TyperCommand.invoke = invoke
    raise AssertionError(f"{path} reads no arguments.")


def launch(arguments: Arguments) -> None:
    """Decoder of `accelerate launch PROGRAM ...`."""
    from accelerate.commands.launch import launch_command_parser

    assert arguments[0] == "launch"
    given = launch_command_parser().parse_args(list(arguments[1:]))
    decode((given.training_script, *given.training_script_args))


def uv(arguments: Arguments) -> None:
    """Decoder of `uv run PROGRAM ...`, `uv sync --extra NAME`, and of what uv does without a lock file."""
    action, *rest = arguments
    if action == "run":
        decode(tuple(rest))
    elif action in ("add", "pip", "venv"):
        # uv reads all arguments before it answers. Where none runs, the action is all that is known.
        program = shutil.which("uv")
        if program and subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
            subprocess.run([program, *arguments, "--help"], check=True, capture_output=True, timeout=60)
    else:
        assert action == "sync"
        assert rest[0::2] == ["--extra"] * (len(rest) // 2)
        assert set(rest[1::2]) <= extras()


def pip(arguments: Arguments) -> None:
    """Decoder of `pip install` of uv, of the fuzzer, or of this package with an extra."""
    action, *packages = arguments
    assert action == "install"
    assert set(packages) <= {"uv", "atheris", *(f"lerobot_policy_sdm[{extra}]" for extra in extras())}


def hub(arguments: Arguments) -> None:
    """Decoder of the Hub's own command: its groups and their commands."""
    from huggingface_hub.cli.hf import app

    group = app
    for name in arguments:
        group = group.get_command(typer.Context(group), name)
        assert group is not None, name


def pytest_run(arguments: Arguments) -> None:
    """Decoder of `pytest FILE ...`; its options are its own business."""
    for name in itertools.takewhile(lambda argument: not argument.startswith("-"), arguments):
        assert (ROOT / name).exists(), name


def extras() -> set[str]:
    """Optional dependencies of this package."""
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


DECODERS: dict[str, Callable[[Arguments], None]] = {
    "lerobot-train": lerobot("lerobot.configs.train", "TrainPipelineConfig"),
    "lerobot-eval": lerobot("lerobot.configs.eval", "EvalPipelineConfig"),
    "lerobot-record": lerobot("lerobot.scripts.lerobot_record", "RecordConfig"),
    "lerobot-rollout": lerobot("lerobot.scripts.lerobot_rollout", "RolloutConfig"),
    "lerobot-edit-dataset": lerobot("lerobot.scripts.lerobot_edit_dataset", "EditDatasetConfig"),
    "lerobot-sdm": lerobot_sdm,
    "python": script,
    "accelerate": launch,
    "uv": uv,
    "pip": pip,
    "hf": hub,
    "pytest": pytest_run,
}


def decode(argv: Arguments) -> None:
    """Let a program's own parser read a command.

    Raises:
        KeyError: The program is none that is known here.
        Exception: Whatever the parser says about arguments that it does not take.
    """
    DECODERS[argv[0]](argv[1:])
