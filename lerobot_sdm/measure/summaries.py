"""Collect a folder's finished cells, and compute the summaries."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import json_files, read_json
from lerobot_sdm.measure.benchmark_experts import experts_of
from lerobot_sdm.measure.methods import METHODS, free_baselines
from lerobot_sdm.measure.protocols import PROTOCOLS, STRICT
from lerobot_sdm.measure.provenance import check_shared
from lerobot_sdm.measure.scores import Cells, difference, measured_by, pooled
from lerobot_sdm.measure.suites import LEVELS, SUITES


def gather(root: Path) -> dict[str, Any]:
    """Collect the results in a benchmark's folder.

    Returns:
        `settings`; `cells`, in the order of suite, methods and seeds; `experts`, see `experts_of`; `summaries`, see
        `summarize`.

    Raises:
        InputError: Not a benchmark's folder, no cell has finished, or cells of a task use different trainings.
    """
    if not (root / "settings.json").exists() or not (root / "cells").is_dir():
        raise InputError(
            f"{root}: contains no finished cell of a benchmark. Run `lerobot-sdm benchmark --output={root}`."
        )
    settings = read_json(root / "settings.json")
    order = [task.name for task in SUITES[settings["suite"]]]
    cells = sorted(
        (read_json(path) for path in json_files(root / "cells")),
        key=lambda cell: (order.index(cell["task"]), list(METHODS).index(cell["method"]), cell["training_seed"]),
    )
    check_shared(cells)
    # An expert that demonstrated before the cells were made anew has nothing to do with them.
    demonstrated = {(cell["task"], cell.get("expert")) for cell in cells}
    experts = {
        task: expert
        for task, expert in experts_of(root).items()
        if {(task, expert["expert"]), (task, None)} & demonstrated  # None: cells of earlier versions do not say.
    }
    return {"settings": settings, "cells": cells, "experts": experts, "summaries": summarize(cells, experts)}


def summarize(cells: Cells, experts: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare methods by each protocol over the training seeds that all cells have and, if some have more seeds, also
    over those tasks and methods with all their seeds.

    Returns:
        For each `protocol` and `seeds` with comparable tasks: `tasks`, those that have all methods and these seeds;
        `rows`, one entry per method, see `_row`; `expert`, its success by level and over all tasks, if the protocol is
        `strict` and the experts of all these tasks have been measured, else None.
    """
    summaries = []
    for protocol in PROTOCOLS:
        mine = measured_by(cells, protocol)
        found = [summary for seeds in _seeds(mine) if (summary := _summary(mine, protocol, seeds, experts))]
        # More seeds of the same tasks and methods say the same better.
        if len(found) == 2 and _compared(found[0]) == _compared(found[1]):
            del found[0]
        summaries += found
    return summaries


def _compared(summary: dict[str, Any]) -> tuple[list[str], list[str]]:
    return summary["tasks"], [row["method"] for row in summary["rows"]]


def _seeds(cells: Cells) -> list[list[int]]:
    """The training seeds that all methods have on all their tasks and, if there are more, all that occur.

    If they have none in common, those that most tasks and methods have stand for the former.
    """
    found: dict[tuple[str, str], set[int]] = {}
    for cell in cells:
        found.setdefault((cell["task"], cell["method"]), set()).add(cell["training_seed"])
    if not found:
        return []
    (most, _), *_ = Counter(map(frozenset, found.values())).most_common()
    common, occurring = set.intersection(*found.values()) or set(most), set.union(*found.values())
    return [sorted(seeds) for seeds in (common, occurring) if seeds][: 1 if common == occurring else 2]


def _summary(
    cells: Cells, protocol: str, seeds: list[int], experts: Mapping[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """The methods compared over the tasks that have all of them; None if no task does."""
    measured: dict[tuple[str, str], set[int]] = {}
    for cell in cells:
        measured.setdefault((cell["task"], cell["method"]), set()).add(cell["training_seed"])
    whole = {key for key, found in measured.items() if found.issuperset(seeds)}
    methods = {method for _, method in whole}
    tasks = [task for task in dict.fromkeys(cell["task"] for cell in cells) if all((task, m) in whole for m in methods)]
    if not (methods and tasks):
        return None
    kept = [c for c in cells if c["task"] in tasks and c["method"] in methods and c["training_seed"] in seeds]
    by_method = {key: [cell for cell in kept if cell["method"] == key] for key in METHODS if key in methods}
    # If the highest of several rates were selected, episode differences would not match those rates.
    paired = PROTOCOLS[protocol].best == 0
    return {
        "protocol": protocol,
        "seeds": seeds,
        "tasks": tasks,
        "rows": [_row(key, by_method, paired) for key in by_method],
        "expert": _by_level([experts[task] for task in tasks])
        if protocol == STRICT and experts.keys() >= set(tasks)
        else None,
    }


def _by_level(cells: Cells) -> dict[str, Any]:
    """Success by level and over all tasks."""
    groups = {level: [cell for cell in cells if cell["level"] == level] for level in LEVELS}
    return {"levels": {level: pooled(group) for level, group in groups.items() if group}, "all": pooled(cells)}


def _row(key: str, by_method: Mapping[str, Cells], paired: bool) -> dict[str, Any]:
    """One method in a summary.

    Returns:
        `method`, `label`, `teacher`; `levels`, success by level; `all`, over all tasks; `difference`, episode by
        episode to the teacher, if its cells exist; `free_baseline`, for students: the best training-free `method` and
        the `difference` to it; `energy`, distance to the teacher, `demonstrations`, distance to them, `spread` of the
        actions over start noise, `ms`, `teacher_ms` and `network_evaluations`, medians over cells.
    """
    method, mine = METHODS[key], by_method[key]
    teachers = by_method.get(method.teacher) if key != method.teacher else None
    free = max(
        (name for name in free_baselines(key) if name in by_method),
        # Ties go to the one closest to the teacher.
        key=lambda name: (pooled(by_method[name])["estimate"], -_energy(by_method[name])),
        default=None,
    )
    demonstrations = [c["distance_to_demonstrations"]["estimate"] for c in mine if "distance_to_demonstrations" in c]
    spreads = [c["distance_to_teacher"]["spread"]["estimate"] for c in mine if "spread" in c["distance_to_teacher"]]
    return {
        "method": key,
        "label": method.label,
        "teacher": method.teacher,
        **_by_level(mine),
        "difference": difference(mine, teachers) if paired and teachers else None,
        "free_baseline": {"method": free, "difference": difference(mine, by_method[free]) if paired else None}
        if free
        else None,
        "energy": _energy(mine),
        "demonstrations": median(demonstrations) if demonstrations else None,
        "spread": median(spreads) if spreads else None,
        "ms": median(cell["latency"]["median_ms"] for cell in mine),
        "teacher_ms": median(cell["teacher_latency"]["median_ms"] for cell in mine),
        "network_evaluations": median(cell["latency"]["network_evaluations"] for cell in mine),
    }


def _energy(cells: Cells) -> float:
    # The median, because one unlearned task can have a larger distance than all others together.
    return median(cell["distance_to_teacher"]["energy"]["estimate"] for cell in cells)
