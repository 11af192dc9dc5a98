"""The page of a benchmark: summary, tasks, and what others published, in Markdown."""

from collections.abc import Callable
from statistics import mean
from typing import Any

from lerobot_sdm.benchmark.methods import METHODS
from lerobot_sdm.benchmark.protocols import PROTOCOLS
from lerobot_sdm.benchmark.published import PROTOCOL_DIFFERENCES, PUBLISHED
from lerobot_sdm.benchmark.scores import pooled
from lerobot_sdm.benchmark.suites import LEVELS, SUITES
from lerobot_sdm.pipeline.tables import points

Results = dict[str, Any]


def page(results: Results) -> str:
    """The whole page.

    Args:
        results: What `results.gather` gives.
    """
    settings = results["settings"]
    return "\n".join(
        (
            f"# {settings['suite']}, protocol {settings['protocol']}, size {settings['size']}\n",
            summary_table(results),
            notes(results),
            *(f"![{name.replace('_', ' ')}]({name}.png)\n" for name in pictures(results)),
            "## Task by task\n",
            "Success in %:\n",
            task_table(results),
            "Energy distance to the teacher:\n",
            distance_table(results),
            "## Published numbers\n",
            "Not comparable with those above: this is how they differ.\n",
            markdown(PROTOCOL_DIFFERENCES),
            published_table(),
        )
    )


def pictures(results: Results) -> list[str]:
    """Names of the pictures that can be drawn: the first two compare methods over tasks that have all of them."""
    return ["success_by_difficulty", "success_against_latency"] * bool(results["summary"]) + ["learning_curves"]


def summary_table(results: Results) -> str:
    """One row for each method: mean success in % over tasks, by level."""
    tasks = {cell["task"]: cell["level"] for cell in results["cells"] if cell["task"] in results["compared"]}
    if not tasks:
        return "No task has all methods yet.\n"
    levels = [level for level in LEVELS if level in tasks.values()]
    names = [f"{LEVELS[level]} ({list(tasks.values()).count(level)})" for level in levels]
    header = ("method", *names, f"all ({len(tasks)})", "against its teacher, points")
    header = (*header, "energy distance to teacher", "ms per chunk", "its teacher's", "network evaluations")
    rows = [
        (
            entry["label"],
            *(f"{100 * entry['levels'][level]['estimate']:.1f}" for level in levels),
            rate(entry["all"]),
            points(entry["difference"]) if _paired(results) and entry["difference"] else "",
            f"{entry['energy']:.3f}",
            f"{entry['ms']:.1f}",
            f"{entry['teacher_ms']:.1f}",
            f"{entry['network_evaluations']:g}",
        )
        for entry in results["summary"]
    ]
    return markdown((header, *rows))


def task_table(results: Results) -> str:
    """One row for each task: success of each method, of all its seeds."""
    return _by_task(results, lambda cells: rate(pooled(cells)))


def distance_table(results: Results) -> str:
    """One row for each task: how far the actions of each method are from its teacher's, mean of all its seeds."""
    return _by_task(
        results, lambda cells: f"{mean(cell['distance_to_teacher']['energy']['estimate'] for cell in cells):.3f}"
    )


def _by_task(results: Results, text: Callable[[list[dict[str, Any]]], str]) -> str:
    """One row for each task, a column for each method with what `text` says of its cells."""
    methods = [key for key in METHODS if any(cell["method"] == key for cell in results["cells"])]
    rows = []
    for task in dict.fromkeys(cell["task"] for cell in results["cells"]):
        mine = [cell for cell in results["cells"] if cell["task"] == task]
        by_method = [[cell for cell in mine if cell["method"] == key] for key in methods]
        rows.append((task, LEVELS[mine[0]["level"]], *(text(cells) if cells else "" for cells in by_method)))
    return markdown((("task", "level", *(METHODS[key].label for key in methods)), *rows))


def notes(results: Results) -> str:
    """What the summary rests on."""
    settings, cells = results["settings"], results["cells"]
    protocol = PROTOCOLS[settings["protocol"]]
    seeds = sorted({cell["training_seed"] for cell in cells})
    missing = [task.name for task in SUITES[settings["suite"]] if task.name not in results["compared"]]
    first, _ = cells[0]["evaluations"][0]["seeds"]
    if protocol.best:
        how = (
            f"Rates are means of the {protocol.best} highest of {len(cells[0]['evaluations'])} evaluations of "
            f"{settings['episodes']} episodes: they are too high, as published ones are, and have no interval"
        )
    else:
        how = (
            f"Rates are of the last checkpoint over {settings['episodes']} episodes from seed {first} on, the same for "
            "all methods; in brackets Wilson's 95% interval over all episodes; differences: Newcombe's interval for "
            "pairs, over all episodes. Intervals cover the luck of episodes, not of tasks or trainings"
        )
    machines = sorted({cell["machine"]["gpu"] or cell["machine"]["processor"] for cell in cells})
    lines = [
        f"{how}.",
        f"Training seeds: {', '.join(map(str, seeds))}." + (" ± is the deviation between them." if seeds[1:] else ""),
        f"Compared over the tasks that have all methods and seeds: {len(results['compared'])}; without: "
        f"{', '.join(missing) or 'none'}.",
        "A teacher is `dp3, 10 steps`, for consistency `edm`. Distances are energy distances in normalised action "
        "units on held-out observations, medians over tasks, a teacher's own to itself under other noise.",
        f"Milliseconds: medians at batch size 1, its teacher timed in turns with it; {settings['device']}, "
        f"{settings['threads']} thread(s), {', '.join(machines)}.",
        f"Versions: {', '.join(f'{name} {version}' for name, version in cells[0]['versions'].items())}.",
        "Commands, hashes, seeds, times and the outcome of every episode: `cells/`.",
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n"


def published_table() -> str:
    """Published numbers with where they were read."""
    header = ("published by", "network evaluations", "mean over", "success in %", "read in")
    return markdown((header, *((row.method, row.steps, row.tasks, row.success, row.source) for row in PUBLISHED)))


def rate(value: dict[str, float]) -> str:
    """A success rate in %, with its interval and the deviation between seeds where there are such."""
    text = f"{100 * value['estimate']:.1f}"
    if "seed_sd" in value:
        text += f" ± {100 * value['seed_sd']:.1f}"
    if "low" in value:
        text += f" ({100 * value['low']:.1f} to {100 * value['high']:.1f})"
    return text


def markdown(rows: tuple[tuple[str, ...], ...]) -> str:
    """Rows as a Markdown table, the first one its header."""
    header, *others = rows
    lines = [header, ("---",) + ("---:",) * (len(header) - 1), *others]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _paired(results: Results) -> bool:
    """Whether differences mean what the rates mean: not where the highest of several were chosen."""
    return PROTOCOLS[results["settings"]["protocol"]].best == 0
