"""Write the committed results into the README, the docs and `results/README.md`, so that no number is typed.

    uv run python examples/update_readme.py

Reads `results/*/results.json`. In the pages of `PAGES` it replaces what stands between markers; `results/README.md`
gets all tables.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lerobot_sdm.files import read_json, write_text
from lerobot_sdm.measure import benchmark_page, comparison_report, quickstart_report, tables
from lerobot_sdm.measure.methods import METHODS
from lerobot_sdm.measure.protocols import PAPER, STRICT
from lerobot_sdm.measure.scores import difference, measured_by, outcomes
from lerobot_sdm.measure.stages import format_seconds
from lerobot_sdm.measure.suites import suite_tasks

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- {}: begin (examples/update_readme.py) -->", "<!-- {}: end -->"
NONE = "No results are committed yet.\n"
UNMEASURED = (
    "The 37 tasks of the DP3 benchmark have not been measured in this view yet; "
    "[first measurements](docs/notes/teacher_recipe.md) of some of them.\n"
)
SHOWN_ROWS = {
    "teacher_10": "teacher, 10 steps",
    "teacher_1": "teacher, 1 step",
    "generator": "untrained student",
    "student": "student",
}
SHOWN_RUNS = ("detour",)
SHOWN_BENCHMARKS = ("dp3-37",)
"""What the README shows, by folder; all else stands in `results/README.md`."""
VIEWS = {"workspace": "dp3-37", "dp3": "dp3-37-view-dp3"}
"""View -> folder of the same benchmark in that view."""
SHOWN_COLUMNS = {
    "method": "method",
    "all": "success in %",
    "against its teacher": "against its teacher, points",
    "ms per chunk": "ms per chunk",
}
"""Columns of a benchmark's summary that the README shows, by the beginning of their names, and their names there."""
SEEDS_COLUMNS = {
    "method": "method",
    "all": "success in %",
    "against its teacher": "against its teacher, points",
    "against the best free": "against the best free baseline, points",
}
"""The same of what several training seeds give."""
BENCHMARK = "dp3-37"
"""Folder of the benchmark whose tasks the docs show."""
DEXART = "dexart-4"
"""Folder of the benchmark of DexArt's stand-ins."""
ADROIT = ("adroit-hammer", "adroit-door", "adroit-pen")
HAND_METHODS = ("dp3-10", "dp3-2", "dp3-1", "generator", "regression", "sdm")
SEED_METHODS = ("dp3-10", "dp3-2", "regression", "sdm")
ONE_STEP = "two-ways"
"""Folder of the benchmark whose policies `docs/one_step.md` compares."""
ONE_STEP_METHODS = (
    *("dp3-10", "dp3-2", "dp3-1", "generator", "regression", "sdm", "manicm", "consistency"),
    *("flow", "meanflow", "drift"),
)
ADJOINT = {
    "base": "base",
    "one_round_150": "one round, weight 150: the commands above",
    "weight_50": "two rounds, weight 50",
    "weight_150": "two rounds, weight 150",
    "sdm_of_150": "`sdm` student of that policy, one network evaluation",
}
"""Row of the comparison on Push-T -> its name in the docs."""
COVERAGES = {
    "mean highest coverage": "pusht-adjoint",
    "mean highest closeness": "pusht-adjoint-dense",
}
"""What the comparison's rewards are -> its folder."""
QUICKSTART = "detour"
"""Folder of the quickstart's default run."""
STAGES = {
    "record": "record demonstrations",
    "train_teacher": "train the teacher",
    "train_student": "distill the student",
    "train_regression": "train the control",
}
"""Stage of the quickstart -> its name in the docs."""
SOLVED = 0.95
"""Success of the ten-step teacher from which on a task is not looked into."""


@cache
def all_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Contents of all results below a folder, by the folder's name."""
    return {file.parent.name: read_json(file) for file in sorted(folder.glob("*/results.json"))}


def overview(folder: Path) -> str:
    """One item for each run of the quickstart; a sentence where there are none yet."""
    runs = {name: results for name, results in all_results(folder).items() if name in SHOWN_RUNS}
    if not runs:
        return NONE
    lines = []
    for name, results in runs.items():
        counts = {row["key"]: tables.count(row["successes"]) for row in results["rows"]}
        shown = "; ".join(f"{label}: {counts[key]}" for key, label in SHOWN_ROWS.items())
        lines.append(f"[{name}](results/README.md#{name}), successful episodes: {shown}.")
    return tables.bullets(*lines)


def benchmarks(folder: Path) -> str:
    """Summary of each benchmark, see `benchmark_table`; a sentence where tasks are missing."""
    parts = []
    for name, results in all_results(folder).items():
        summaries = [item for item in results.get("summaries", ()) if item["protocol"] == STRICT]
        if name not in SHOWN_BENCHMARKS or not summaries:
            continue
        measured, wanted = len(summaries[0]["tasks"]), len(suite_tasks(results["settings"]["suite"]))
        if measured < wanted:
            page = f"[{measured} are measured](results/{name}/results.md)"
            parts.append(f"Of the {wanted} tasks of the DP3 benchmark, {page} so far.\n")
            continue
        parts.append(benchmark_table(results, summaries[0]))
    return "\n".join(parts) or UNMEASURED


def benchmark_table(results: dict[str, Any], strict: dict[str, Any]) -> str:
    """Some columns of a summary under the strict protocol, and the means under the papers' in a column of its own,
    where they were measured on the same tasks and seeds."""
    header, *rows = columns(benchmark_page.summary_rows(results, strict), SHOWN_COLUMNS)
    means: dict[str, str] = {}
    for other in results["summaries"]:
        if other["protocol"] == PAPER and all(other[name] == strict[name] for name in ("tasks", "seeds")):
            means |= {row["label"]: tables.rate(row["all"]) for row in other["rows"]}
    shown = [(*header, *["papers' protocol"] * bool(means))]
    shown += [(*row, *[means.get(row[0], "")] * bool(means)) for row in rows]
    return tables.markdown(shown)


def columns(rows: list[tuple[str, ...]], names: dict[str, str]) -> list[tuple[str, ...]]:
    """Some columns of a table, the header first; `names`: beginning of a column's name -> its new name."""
    places = [place for start in names for place, name in enumerate(rows[0]) if name.startswith(start)]
    return [tuple(names.values()), *(tuple(row[place] for place in places) for row in rows[1:])]


def several_seeds(folder: Path) -> str:
    """Summary of the tasks that were trained with the most seeds."""
    results = all_results(folder)[BENCHMARK]
    strict = [summary for summary in results["summaries"] if summary["protocol"] == STRICT]
    summary = max(strict, key=lambda item: len(item["seeds"]))
    return tables.markdown(columns(benchmark_page.summary_rows(results, summary), SEEDS_COLUMNS))


def view_table(folder: Path) -> str:
    """Success in two views, for the tasks and methods that were measured in the second, with training seed 1; and the
    change from the first to the second, over the same starts of all tasks."""
    first, second = (
        {(cell["task"], cell["method"]): cell for cell in cells_of(folder, 1, name)} for name in VIEWS.values()
    )
    tasks, methods = (list(dict.fromkeys(names)) for names in zip(*second, strict=True))
    rows = [("task", *(f"{METHODS[method].label}: {view}" for method in methods for view in VIEWS))]
    for task in tasks:
        rows.append(
            (task, *(tables.rate(cells[task, method]["score"]) for method in methods for cells in (first, second)))
        )
    last = ["all: change in points"]
    for method in methods:
        after, before = ([cells[task, method] for task in tasks] for cells in (second, first))
        last += ["", tables.points(difference(after, before))]
    return tables.markdown([*rows, last])


def cells_of(folder: Path, seed: int | None = None, benchmark: str = BENCHMARK) -> list[dict[str, Any]]:
    """Cells of a benchmark under the strict protocol; of one training seed, or of all."""
    cells = measured_by(all_results(folder)[benchmark]["cells"], STRICT)
    return [cell for cell in cells if seed in (None, cell["training_seed"])]


def adroit_table(folder: Path) -> str:
    """Success on Adroit's tasks."""
    return task_table(folder, BENCHMARK, ADROIT)


def dexart_table(folder: Path) -> str:
    """Success on DexArt's stand-ins, of the measured tasks."""
    tasks = dict.fromkeys(cell["task"] for cell in cells_of(folder, benchmark=DEXART))
    return task_table(folder, DEXART, tuple(tasks))


def task_table(folder: Path, benchmark: str, tasks: tuple[str, ...]) -> str:
    """Success on tasks of one environment type, training seed 1: one row a method, and one of the expert."""
    scores = {(cell["task"], cell["method"]): cell["score"] for cell in cells_of(folder, 1, benchmark)}
    experts = all_results(folder)[benchmark]["experts"]
    rows = [("", *(task.partition("-")[2] for task in tasks))]
    rows += [(METHODS[method].label, *(tables.rate(scores[task, method]) for task in tasks)) for method in HAND_METHODS]
    measured = {task: tables.rate(found["score"]) for task, found in experts.items()}
    rows.append((benchmark_page.EXPERT, *(measured.get(task, "") for task in tasks)))
    return tables.markdown(rows)


def failure_table(folder: Path) -> str:
    """The tasks on which the ten-step teacher stays below `SOLVED`, training seed 1: its successful episodes, those of
    the other methods and the expert, and how many starts methods fail."""
    experts = all_results(folder)[BENCHMARK]["experts"]
    cells = cells_of(folder, seed=1)
    teacher_label, expert_label = METHODS["dp3-10"].label, benchmark_page.EXPERT
    header = ("task", teacher_label, "others", "sdm", expert_label, "starts most methods fail", "starts all fail")
    rows = []
    for task in dict.fromkeys(cell["task"] for cell in cells):
        found = {cell["method"]: outcomes(cell) for cell in cells if cell["task"] == task}
        teacher, expert = found["dp3-10"], experts[task]["evaluations"][0]["successes"]
        if np.mean(teacher) >= SOLVED:
            continue
        others = [sum(mine) for method, mine in found.items() if method != "dp3-10"]
        failed = np.mean([np.logical_not(mine) for mine in found.values()], axis=0)
        counts = (sum(teacher), f"{min(others)} to {max(others)}", sum(found["sdm"]), sum(expert))
        rows.append((task, *map(str, (*counts, (failed > 0.5).sum(), (failed == 1).sum()))))
    return tables.markdown([header, *rows])


def seed_table(folder: Path) -> str:
    """Successful episodes with each training seed, of the tasks that were trained with several."""
    cells = cells_of(folder)
    tasks = dict.fromkeys(cell["task"] for cell in cells if cell["training_seed"] > 1)
    rows = [("task", *(METHODS[method].label for method in SEED_METHODS))]
    for task in tasks:
        seeds = [
            [cell for cell in cells if (cell["task"], cell["method"]) == (task, method)] for method in SEED_METHODS
        ]
        rows.append((task, *(", ".join(str(sum(outcomes(cell))) for cell in mine) for mine in seeds)))
    return tables.markdown(rows)


def one_step_table(folder: Path) -> str:
    """Success, distance and spread of each policy on `detour`, training seed 1; success and distance with the second
    seed, where measured."""
    summaries = all_results(folder)[ONE_STEP]["summaries"]
    first = {row["method"]: row for row in next(item for item in summaries if item["seeds"] == [1])["rows"]}
    second = {cell["method"]: cell for cell in cells_of(folder, seed=2, benchmark=ONE_STEP)}
    header = ("policy", "network evaluations", "success in %", "distance to held-out demonstrations", "spread")
    rows = [(*header, "seed 2: success", "distance")]
    for method in ONE_STEP_METHODS:
        row, again = first[method], second.get(method)
        numbers = (f"{row['network_evaluations']:g}", tables.rate(row["all"]), f"{row['demonstrations']:.2f}")
        repeated = ("", "")
        if again:
            repeated = (f"{again['score']['estimate']:.0%}", f"{again['distance_to_demonstrations']['estimate']:.2f}")
        rows.append((row["label"], *numbers, tables.distance(row["spread"]), *repeated))
    return tables.markdown(rows)


def adjoint_table(folder: Path) -> str:
    """Coverage and closeness of policies fine-tuned on Push-T, and their differences from the base."""
    header = ("", *(title for name in COVERAGES for title in (f"{name}, %", "vs. base, points")))
    found = [{row["key"]: row for row in all_results(folder)[name]["rows"]} for name in COVERAGES.values()]
    rows = []
    for key, label in ADJOINT.items():
        entries = [label]
        for mine in found:
            row = mine[key]
            entries.append(tables.interval(row["max_reward"], "{:.1f}", 0.01))
            entries.append("" if key == "base" else tables.interval(row["max_reward_difference"], "{:+.1f}", 0.01))
        rows.append(tuple(entries))
    return tables.markdown([header, *rows])


def comparison_table(name: str) -> Callable[[Path], str]:
    """What writes the table of a comparison, without its latencies."""

    def write(folder: Path) -> str:
        rows = comparison_report.report(all_results(folder)[name]).rows
        return tables.markdown(tables.without(rows, "ms per chunk"))

    return write


def stage_times(folder: Path) -> str:
    """How long the longest stages of the quickstart took, and everything from its first stage to its last."""
    results = all_results(folder)[QUICKSTART]
    seconds = {record["stage"]: record["seconds"] for record in results["stages"]}
    rows = [("stage", "time"), *((name, format_seconds(seconds[stage])) for stage, name in STAGES.items())]
    others = sum(value for stage, value in seconds.items() if stage not in STAGES)
    first, last = (datetime.fromisoformat(results["stages"][place]["finished"]) for place in (0, -1))
    whole = (last - first).total_seconds() + results["stages"][0]["seconds"]
    rows += [
        ("the other stages together", format_seconds(others)),
        ("from the first to the last", format_seconds(whole)),
    ]
    return tables.markdown(rows)


def kind(results: dict[str, Any]) -> str:
    """What wrote some results: "benchmark", "quickstart" or "comparison"."""
    return "benchmark" if "cells" in results else "quickstart" if "settings" in results else "comparison"


def page(folder: Path) -> str:
    """All tables."""
    parts = ["# Results\n\nWritten by `examples/update_readme.py` from the `results.json` of each folder.\n"]
    for name, results in all_results(folder).items():
        if kind(results) == "benchmark":
            for summary in results["summaries"]:
                parts.append(
                    f"## {name}: {benchmark_page.title(summary)}\n\n{benchmark_page.summary_table(results, summary)}"
                )
            parts.append(f"[All of it]({name}/results.md)\n")
            continue
        module = quickstart_report if kind(results) == "quickstart" else comparison_report
        parts.append(f"## {name}\n\n{module.report(results).markdown()}")
    return "\n".join(parts)


def updated(readme: str, part: str, text: str) -> str:
    """A page with what stands between the markers of a part replaced.

    Raises:
        ValueError: If a marker is missing.
    """
    begin, end = BEGIN.format(part), END.format(part)
    before, found, rest = readme.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"The page needs the markers {begin} and {end}.")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


PAGES: dict[str, dict[str, Callable[[Path], str]]] = {
    "README.md": {"results": overview, "benchmark": benchmarks},
    "docs/quickstart.md": {"times": stage_times},
    "docs/views.md": {"views": view_table},
    "docs/adroit.md": {"adroit": adroit_table},
    "docs/one_step.md": {"detour": one_step_table},
    "docs/dexart.md": {"dexart": dexart_table},
    "docs/sdm.md": {"several-seeds": several_seeds},
    "docs/adjoint_matching.md": {"adjoint": adjoint_table},
    "docs/pusht.md": {"keypoints": comparison_table("pusht-keypoints"), "images": comparison_table("pusht-images")},
    "docs/notes/failures.md": {"failures": failure_table, "seeds": seed_table},
}
"""Page -> part between markers -> what writes it from the folder of results."""


def written(name: str, folder: Path) -> str:
    """A page of `PAGES` with all parts that come from results."""
    text = (ROOT / name).read_text()
    for part, write in PAGES[name].items():
        text = updated(text, part, write(folder))
    return text


if __name__ == "__main__":
    for name in PAGES:
        write_text(ROOT / name, written(name, ROOT / "results"))
    write_text(ROOT / "results" / "README.md", page(ROOT / "results"))
