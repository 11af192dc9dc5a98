"""`lerobot-sdm <verb>`: each verb lives in its own module, imported only when it is used."""

import os
from pkgutil import resolve_name
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from lerobot_sdm.errors import InputError
from lerobot_sdm.processes.threads import passive_waiting

os.environ.update(passive_waiting())  # Before any verb imports torch, which reads these.


VERBS = {
    "demo": "Watch a trained teacher and its one-step student, in a minute.",
    "quickstart": "Record, train, distill and evaluate on this machine, from scratch.",
    "record": "Record expert demonstrations as a LeRobot dataset.",
    "import-checkpoint": "Convert an original DP3, SDM or ManiCM checkpoint to a LeRobot policy.",
    "convert": "Convert zarr or RoboTwin demonstrations into a LeRobot dataset.",
    "edit-dataset": "Drop, join and split episodes and rename tasks, point clouds included.",
    "publish": "Upload a policy or dataset with its card to the Hugging Face Hub.",
    "compare": "Evaluate policies in an environment on the same seeds: table, plot and raw results.",
    "benchmark": "Run methods on a suite of tasks: resumable, parallel, with tables and plots.",
    "collect-rollouts": "Record a policy's rollouts, rewards included, as a LeRobot dataset.",
    "reward-error": "Error and rank correlation of a reward model on held-out episodes.",
    "export": "Export a policy as one graph for computers without torch, with a certificate.",
    "export-base": "Write a fine-tuned policy as a plain policy of its base's type.",
    "distance": "Measure how far a policy's actions are from its teacher's.",
    "latency": "Time a policy's decisions on this machine, part by part.",
    "serve": "Serve policies to LeRobot's asynchronous robot client.",
    "view": "Look at an episode: point cloud over time, images, state, actions.",
}
"""Verb -> its line in `lerobot-sdm --help`. Module and function are named like the verb, with underscores."""

RAW = ("record", "collect-rollouts", "serve")
"""Verbs whose function takes a `typer.Context` and parses `context.args` itself, `--help` included."""

OLD_NAMES = {"bench": "latency"}
"""Old names of verbs. They still work, unlisted; the next version drops them."""


def load(name: str) -> TyperCommand:
    """Import a verb's module and wrap its function as a command."""
    module = name.replace("-", "_")
    # LeRobot writes options with underscores.
    settings: dict[str, Any] = {"token_normalize_func": lambda option: option.replace("_", "-")}
    if name in RAW:
        settings |= {"ignore_unknown_options": True, "allow_extra_args": True}
    single = typer.Typer(add_completion=False)
    function = resolve_name(f"lerobot_sdm.cli.{module}:{module}")
    single.command(name, context_settings=settings, add_help_option=name not in RAW)(function)
    return typer.main.get_command(single)


class LazyGroup(TyperGroup):
    """Command group that imports only the verb that is called and prints input errors without a traceback."""

    def list_commands(self, context: typer.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: typer.Context, name: str) -> TyperCommand | None:
        """A placeholder with the summary, which is all that the list of verbs needs."""
        return TyperCommand(name, help=VERBS[name]) if name in VERBS else None

    def resolve_command(
        self, context: typer.Context, args: list[str]
    ) -> tuple[str | None, TyperCommand | None, list[str]]:
        """Import the verb that was called."""
        if args and (now := OLD_NAMES.get(args[0])):
            typer.secho(
                f"`lerobot-sdm {args[0]}` is now `lerobot-sdm {now}`; the next version drops the old name.",
                fg=typer.colors.YELLOW,
                err=True,
            )
            args = [now, *args[1:]]
        name, command, rest = super().resolve_command(context, args)
        return name, command and load(name), rest

    def invoke(self, context: typer.Context) -> Any:
        try:
            return super().invoke(context)
        except InputError as error:
            typer.secho(f"Error: {error}", fg=typer.colors.RED, err=True)
            raise typer.Exit(2) from error


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """3D policies, their one-step students, and the data they learn from, on top of LeRobot."""
