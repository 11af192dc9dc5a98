"""Where a benchmark's policies fail: a map of the starts, and pictures of failed episodes; of MetaWorld and Adroit.

    uv run python examples/failures.py outputs/dp3-37 disassemble --output=outputs/disassemble.png

The folder is one that `lerobot-sdm benchmark` wrote, with the task's demonstrations and trainings. In the picture, a
dot is an episode of the protocol `strict`, where its object or its goal is at the start (of Adroit's pen, the direction
that it should point in); its color tells how many of the methods failed. Crosses are the starts of the demonstrations.
Below, the teacher repeats episodes that most methods fail. Prints how far starts are from the nearest demonstration,
and how often the expert succeeds where policies fail, if it was measured (`--with-expert`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

import lerobot_sdm
from lerobot_sdm.errors import InputError, refuse_existing
from lerobot_sdm.measure.benchmark import make_benchmark
from lerobot_sdm.measure.measurements import environment_config
from lerobot_sdm.measure.pictures import save_figure
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.protocols import STRICT
from lerobot_sdm.measure.provenance import run_name
from lerobot_sdm.measure.scores import measured_by
from lerobot_sdm.measure.suites import suite_tasks
from lerobot_sdm.measure.summaries import gather
from lerobot_sdm.processors.cloud_view import read_provenance

POSITIONS = {
    "metaworld_pc": {"object": slice(4, 7), "goal": slice(36, 39)},
    "adroit-hammer": {"nail": slice(42, 45)},
    "adroit-door": {"handle": slice(32, 35)},
    "adroit-pen": {"direction": slice(36, 39)},
}
"""Environment type or task -> what can vary between starts, and where the full observation has its x, y and z. All are
positions in meters, except for the pen's direction, a vector of length 1."""
MOVES = 0.1
"""Centimeters, or percent of a direction's length, by which a number varies if it belongs to the start."""
MOMENTS = 6
"""Pictures of a failed episode."""


def opened(results: dict[str, Any], task: str) -> tuple[gym.Env, dict[str, slice]]:
    """The task's environment as policies were evaluated in it, and what can vary between its starts, see `POSITIONS`.

    Raises:
        InputError: The task is not of the suite, or not of MetaWorld or Adroit.
    """
    (suite_task,) = suite_tasks(results["settings"]["suite"], (task,))
    positions = POSITIONS.get(suite_task.env_type) or POSITIONS.get(task)
    if positions is None:
        raise InputError(
            f"TASK={task}: is not a task of MetaWorld or Adroit, whose starts this script can read. Choose another."
        )
    settings = results["settings"]
    benchmark = make_benchmark(Path(), settings["suite"], settings["size"], (task,), view=settings["view"])
    config = environment_config(benchmark.task_config(suite_task))
    return gym.make(config.gym_id, disable_env_checker=True, **config.gym_kwargs), positions


def starts(env: gym.Env, positions: dict[str, slice], seeds: list[int]) -> NDArray[np.float64]:
    """The positions (K, 3 P) at the start of each episode, in centimeters or percent of a direction's length."""
    found = []
    for seed in seeds:
        env.reset(seed=seed)
        state = env.unwrapped.expert_state
        found.append(100 * np.concatenate([state[place] for place in positions.values()]))
    return np.stack(found)


def failures(
    results: dict[str, Any], task: str, seed: int
) -> tuple[list[int], NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Seeds of the episodes, which of them each method fails that was trained with a seed (methods, K), and which the
    expert fails, if measured.

    Raises:
        InputError: The folder has no such cell of this task.
    """
    cells = [cell for cell in measured_by(results["cells"], STRICT) if cell["training_seed"] == seed]
    found = [cell["protocols"][STRICT]["evaluations"][0] for cell in cells if cell["task"] == task]
    if not found:
        raise InputError(
            f"TASK={task}: has no cell of --seed={seed} by the protocol strict here. Choose what was measured."
        )
    first, last = found[0]["seeds"]
    expert = results["experts"].get(task)
    return (
        list(range(first, last + 1)),
        ~np.array([evaluation["successes"] for evaluation in found]),
        None if expert is None else ~np.array(expert["evaluations"][0]["successes"]),
    )


def draw_map(axes: Axes, episodes: NDArray, demonstrations: NDArray, failed: NDArray, title: str) -> PathCollection:
    """One panel of the map: episodes (K, 2), demonstrations (D, 2), and the share of methods that fail (K,). Returns
    the dots of the episodes."""
    order = np.argsort(failed)
    dots = axes.scatter(*episodes[order].T, c=100 * failed[order], cmap="coolwarm", vmin=0, vmax=100, s=26, zorder=2)
    axes.scatter(*demonstrations.T, marker="x", color="black", s=40, label="demonstrations", zorder=3)
    axes.set_title(title, loc="left", fontsize=9)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    return dots


def unit_of(name: str) -> str:
    """Unit of one of the positions."""
    return "% of its length" if name == "direction" else "cm"


def panels(positions: dict[str, slice], episodes: NDArray, demonstrations: NDArray) -> Iterator[tuple[str, list[int]]]:
    """Title of each panel, and the two of the positions' numbers that it shows, which vary between starts."""
    varies = np.ptp(np.concatenate([episodes, demonstrations]), axis=0) > MOVES
    for first, name in zip(range(0, 3 * len(positions), 3), positions, strict=True):
        if varies[first] or varies[first + 1]:
            yield f"{name}, from above: x and y in {unit_of(name)}", [first, first + 1]
        if varies[first + 2]:
            yield f"{name}, from the front: x and height in {unit_of(name)}", [first, first + 2]


def filmed(env: gym.Env, policy: Any, seed: int) -> tuple[list[NDArray[np.uint8]], bool]:
    """Evenly spaced frames (H, W, 3) of an episode, and whether it succeeded."""
    import torch

    torch.manual_seed(seed)
    observation, _ = env.reset(seed=seed)
    policy.reset()
    frames, over, info = [env.render()], False, {}
    while not over:
        observation, _, terminated, truncated, info = env.step(policy.act(observation))
        frames.append(env.render())
        over = terminated or truncated
    chosen = np.linspace(0, len(frames) - 1, MOMENTS).round().astype(int)
    return [frames[place] for place in chosen], bool(info["is_success"])


def draw_strips(figure: SubFigure, env: gym.Env, policy: Any, seeds: list[int]) -> None:
    """A row of pictures for each episode that fails again."""
    rows = []
    for seed in seeds:
        frames, succeeded = filmed(env, policy, seed)
        rows.append((f"seed {seed}, {'success this time' if succeeded else 'failure'}", frames))
    for number, axes in enumerate(figure.subplots(len(rows), MOMENTS, squeeze=False).flat):
        title, frames = rows[number // MOMENTS]
        axes.imshow(frames[number % MOMENTS])
        axes.set_axis_off()
        if number % MOMENTS == 0:
            axes.set_title(title, loc="left", fontsize=8)


def report(
    episodes: NDArray, demonstrations: NDArray, failed: NDArray, expert: NDArray | None, unit: str = "cm"
) -> list[str]:
    """What the map shows, in numbers.

    Args:
        episodes: Positions (K, 3 P) at the start of each episode.
        demonstrations: The same (D, 3 P) of the demonstrations.
        failed: Share of the methods that fail (K,).
        expert: Whether the expert fails (K,); None if it was not measured.
        unit: Of the positions.
    """
    distance = np.linalg.norm(episodes[:, None] - demonstrations, axis=-1).min(axis=1)
    outside = (episodes < demonstrations.min(0) - MOVES) | (episodes > demonstrations.max(0) + MOVES)
    outside, most = outside.any(axis=1), failed > 0.5
    lines = [f"{most.sum()} of {len(most)} episodes are failed by most methods, {(failed == 1).sum()} by all."]
    for name, group in (("failed by most", most), ("others", ~most)):
        if group.any():
            lines.append(
                f"{name}: median distance of the start to the nearest demonstration "
                f"{np.median(distance[group]):.1f} {unit}"
            )
    for name, group in (("outside the box of the demonstrations", outside), ("inside", ~outside)):
        if group.any():
            lines.append(f"{name}: {most[group].sum()} of {group.sum()} starts are failed by most methods")
    if expert is not None:
        lines.append(f"the expert fails {expert.sum()} episodes, {(expert & most).sum()} of them among those")
    return lines


def main(
    folder: Annotated[Path, typer.Argument(help="A benchmark's output folder.")],
    task: Annotated[str, typer.Argument(help="A task of MetaWorld or Adroit that was measured.")],
    output: Annotated[Path, typer.Option(help="PNG file; must not exist yet.")],
    seed: Annotated[int, typer.Option(help="Training seed of the methods.")] = 1,
    training: Annotated[str, typer.Option(help="The training whose policy repeats failed episodes.")] = "dp3",
    shown: Annotated[int, typer.Option(help="How many are repeated.")] = 3,
) -> None:
    """Draw where a benchmark's policies fail, and print the numbers."""
    refuse_existing("--output", output)
    results = gather(folder)
    seeds, fails, expert = failures(results, task, seed)
    layout = RunLayout(folder / "tasks" / task)
    demonstrated = read_provenance(layout.demonstrations).get("episodes")
    if demonstrated is None:
        raise InputError(f"FOLDER={folder}: lacks {layout.demonstrations}. Give the folder that the benchmark ran in.")
    env, positions = opened(results, task)
    episodes = starts(env, positions, seeds)
    demonstrations = starts(env, positions, [episode["seed"] for episode in demonstrated])
    failed = fails.mean(axis=0)
    for line in report(episodes, demonstrations, failed, expert, unit_of(next(iter(positions)))):
        typer.echo(line)

    drawn = list(panels(positions, episodes, demonstrations))
    repeated = [seeds[place] for place in np.argsort(-failed, kind="stable")[:shown] if failed[place] > 0.5]
    heights = [3.4, *([1.9 * len(repeated)] if repeated else [])]
    figure = Figure(figsize=(4.2 * max(2, len(drawn)), sum(heights)), layout="constrained")
    above, *below = figure.subfigures(len(heights), height_ratios=heights, squeeze=False).flat
    for axes, (title, columns) in zip(above.subplots(1, len(drawn), squeeze=False).flat, drawn, strict=True):
        dots = draw_map(axes, episodes[:, columns], demonstrations[:, columns], failed, title)
    above.colorbar(dots, ax=above.axes, label="methods that fail, in %")
    above.suptitle(f"{task}: {len(seeds)} starts, {len(fails)} methods", x=0.01, ha="left", fontsize=10)
    if repeated:
        draw_strips(below[0], env, lerobot_sdm.load_policy(layout.checkpoint(run_name(training, seed))), repeated)
    save_figure(figure, output)
    env.close()


if __name__ == "__main__":
    typer.run(main)
