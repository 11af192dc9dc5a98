"""A benchmark's results page in Markdown: summaries, tasks, and published numbers."""

from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any

from lerobot_sdm.measure.methods import METHODS, has_teacher
from lerobot_sdm.measure.protocols import PROTOCOLS, STRICT
from lerobot_sdm.measure.published import PROTOCOL_DIFFERENCES, PUBLISHED
from lerobot_sdm.measure.scores import Cells, measured_by, pooled
from lerobot_sdm.measure.suites import LEVELS, SUITES
from lerobot_sdm.measure.tables import bullets, distance, hardware, markdown, points, rate, versions

Results = dict[str, Any]
Summary = dict[str, Any]

EXPERT = "the expert"
"""Whoever demonstrated the task, in tables of success."""


def page(results: Results) -> str:
    """The complete page of the output of `summaries.gather`."""
    settings = results["settings"]
    return "\n".join(
        (
            f"# {settings['suite']}, size {settings['size']}, view {settings['view']}\n",
            *(part for summary in results["summaries"] for part in _section(results, summary)),
            *([] if results["summaries"] else ["No task has all methods yet.\n"]),
            *(f"![{name.replace('_', ' ')}]({name}.png)\n" for name in pictures(results)),
            "## What all of it rests on\n",
            notes(results),
            "## Task by task\n",
            *(part for name in PROTOCOLS for part in _task_section(results, name)),
            "Energy distance to the teacher:\n",
            distance_table(results),
            "Distance to held-out demonstrations:\n",
            demonstrations_table(results),
            "## Published numbers\n",
            "Not comparable with those above: this is how they differ.\n",
            markdown(PROTOCOL_DIFFERENCES),
            markdown(PUBLISHED),
        )
    )


def pictures(results: Results) -> list[str]:
    """Names of the plots that can be drawn; the first two compare methods over tasks that have all of them."""
    return ["success_by_difficulty", "success_against_latency"] * bool(results["summaries"]) + ["learning_curves"]


def title(summary: Summary) -> str:
    """Title of a summary, such as `strict, training seed 1`."""
    seeds = summary["seeds"]
    return f"{summary['protocol']}, training seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _section(results: Results, summary: Summary) -> tuple[str, ...]:
    return f"## Protocol {title(summary)}\n", summary_table(results, summary), summary_notes(results, summary)


def _task_section(results: Results, protocol: str) -> tuple[str, ...]:
    cells = measured_by(results["cells"], protocol)
    experts = results.get("experts", {}) if protocol == STRICT else {}  # Not in results of earlier versions.
    return (f"Success in %, protocol {protocol}:\n", task_table(cells, experts)) if cells else ()


def summary_table(results: Results, summary: Summary) -> str:
    """The Markdown table of `summary_rows`."""
    return markdown(summary_rows(results, summary))


def summary_rows(results: Results, summary: Summary) -> tuple[tuple[str, ...], ...]:
    """A header, and one row per method: mean success in % over tasks, by level. Empty columns are left out."""
    levels_of = {cell["task"]: cell["level"] for cell in results["cells"] if cell["task"] in summary["tasks"]}
    levels = [level for level in LEVELS if level in levels_of.values()]
    names = [f"{LEVELS[level]} ({list(levels_of.values()).count(level)})" for level in levels]
    paired = PROTOCOLS[summary["protocol"]].best == 0
    header = (f"method (view {results['settings']['view']})", "training seeds", *names, f"all ({len(levels_of)})")
    header += ("against its teacher, points", "against the best free baseline, points") * paired
    header += ("distance to teacher", "distance to demonstrations", "spread", "ms per chunk", "its teacher's")
    header += ("network evaluations",)
    rows = [
        (
            row["label"],
            ", ".join(map(str, summary["seeds"])),
            *(f"{100 * row['levels'][level]['estimate']:.1f}" for level in levels),
            rate(row["all"]),
            *(_differences(row) if paired else ()),
            distance(row["energy"]) if has_teacher(row["method"]) else "",
            distance(row["demonstrations"]),
            distance(row.get("spread")),  # Not in results of earlier versions.
            f"{row['ms']:.1f}",
            f"{row['teacher_ms']:.1f}" if has_teacher(row["method"]) else "",
            f"{row['network_evaluations']:g}",
        )
        for row in summary["rows"]
    ]
    if expert := summary.get("expert"):  # Not in results of earlier versions.
        shares = [f"{100 * expert['levels'][level]['estimate']:.1f}" for level in levels]
        row = (EXPERT, "", *shares, rate(expert["all"]))
        rows.append(row + ("",) * (len(header) - len(row)))
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    return tuple(tuple(row[place] for place in kept) for row in (header, *rows))


def _differences(row: dict[str, Any]) -> tuple[str, str]:
    """A method's difference to its teacher and to the best free baseline; blank if there is none."""
    difference, free = row["difference"], row["free_baseline"]
    return points(difference) if difference else "", f"{points(free['difference'])}, {free['method']}" if free else ""


def task_table(cells: Cells, experts: Mapping[str, dict[str, Any]]) -> str:
    """One row per task: success of each method over all its seeds, and of the expert if measured, see `experts_of`."""
    return _by_task(
        cells, lambda found: rate(pooled(found)), {task: rate(expert["score"]) for task, expert in experts.items()}
    )


def distance_table(results: Results) -> str:
    """One row per task: distance of each method's actions to its teacher's, mean over its seeds."""
    return _by_task(
        [cell for cell in results["cells"] if has_teacher(cell["method"])],
        lambda cells: distance(mean(cell["distance_to_teacher"]["energy"]["estimate"] for cell in cells)),
        {},
    )


def demonstrations_table(results: Results) -> str:
    """One row per task: distance of each method's actions to held-out demonstrations, mean over its seeds."""
    cells = [cell for cell in results["cells"] if "distance_to_demonstrations" in cell]
    return _by_task(
        cells, lambda mine: distance(mean(cell["distance_to_demonstrations"]["estimate"] for cell in mine)), {}
    )


def _by_task(cells: Cells, text: Callable[[Cells], str], experts: Mapping[str, str]) -> str:
    """One row per task, one column per method with `text` of its cells, and one with the text of its expert if there
    are any. A method without all of the task's training seeds shows its own seeds."""
    if not cells:
        return "Not measured.\n"
    methods = [key for key in METHODS if any(cell["method"] == key for cell in cells)]
    rows = []
    for task in dict.fromkeys(cell["task"] for cell in cells):
        mine = [cell for cell in cells if cell["task"] == task]
        seeds, entries = _seeds(mine), []
        for key in methods:
            group = [cell for cell in mine if cell["method"] == key]
            own = f" [{_seeds(group)}]" if group and _seeds(group) != seeds else ""
            entries.append(text(group) + own if group else "")
        rows.append((task, LEVELS[mine[0]["level"]], seeds, *entries, *[experts.get(task, "")] * bool(experts)))
    labels = [*(METHODS[key].label for key in methods), *[EXPERT] * bool(experts)]
    return markdown(((f"task (view {cells[0]['view']})", "level", "training seeds", *labels), *rows))


def _seeds(cells: Cells) -> str:
    return ", ".join(map(str, sorted({cell["training_seed"] for cell in cells})))


def summary_notes(results: Results, summary: Summary) -> str:
    """Notes on how a summary's numbers were obtained."""
    cells = measured_by(results["cells"], summary["protocol"])
    protocol, evaluated = PROTOCOLS[summary["protocol"]], cells[0]["evaluations"]
    episodes, (first, _) = len(evaluated[0]["successes"]), evaluated[0]["seeds"]
    missing = [task.name for task in SUITES[results["settings"]["suite"]] if task.name not in summary["tasks"]]
    if protocol.best:
        how = (
            f"Rates are means of the {protocol.best} highest of {len(evaluated)} evaluations of {episodes} episodes, "
            "evenly spaced over training: they are biased upward, as published ones are, and have no interval."
        )
    else:
        how = (
            f"Rates are of the last checkpoint over {episodes} episodes from seed {first} on, the same for all "
            "methods; in brackets Wilson's 95% interval over all episodes; differences: Newcombe's interval for pairs, "
            "over all episodes. Intervals cover the variation between episodes, not between tasks or trainings. The "
            "best free baseline is the training-free way to run the teacher that succeeds most often here (ties: the "
            "one closest to the teacher); its name stands beside the difference."
        )
    return bullets(
        how,
        *(
            ["The expert that demonstrated reads the simulator's state, and acted in the same episodes."]
            if summary.get("expert")
            else []
        ),
        *(["± is the standard deviation between training seeds."] if len(summary["seeds"]) > 1 else []),
        f"Tasks that have all these methods and seeds: {len(summary['tasks'])}; without: "
        f"{', '.join(missing) or 'none'}.",
    )


def notes(results: Results) -> str:
    """Notes on how all numbers were obtained."""
    settings, cells = results["settings"], results["cells"]
    machines = sorted({hardware(settings["device"], cell["machine"]) for cell in cells})
    commits = sorted({commit for cell in cells if cell.get("commit") for commit in cell["commit"].split(", ")})
    installed = sorted({versions(cell["versions"]) for cell in cells})
    return bullets(
        "A teacher is `dp3, 10 steps`, for consistency `edm`; flow, meanflow and drift have none. Distances are in "
        "normalized action units on held-out observations; summaries give medians over tasks. To the teacher: energy "
        "distance, a teacher's to itself under different noise. To demonstrations: energy distance minus the "
        "demonstrations' own spread, which is the same for all methods, so only differences between methods are "
        "meaningful. Spread: standard deviation of a policy's actions over start noise, of one observation.",
        f"Clouds, in demonstrations and evaluations: view `{settings['view']}`, {_clouds(cells)}.",
        *([f"Demonstrations: {experts}."] if (experts := _experts(cells)) else []),
        f"Trainings: {_trainings(cells)}.",
        f"Milliseconds: medians at batch size 1, its teacher timed in turns with it; {settings['device']}, "
        f"{settings['threads']} thread(s), {', '.join(machines)}.",
        f"Versions: {', or '.join(installed)}" + (f"; commit {', '.join(commits)}." if commits else "."),
        "Commands, hashes, seeds, times and the outcome of every episode: `cells/`.",
    )


def _clouds(cells: Cells) -> str:
    """Number of points, frame, and what is drawn in addition to the scene or left out."""
    clouds = [cell["cloud"] for cell in cells]
    counts = sorted({cloud["num_points"] for cloud in clouds})
    frames = sorted({cloud["frame"] for cloud in clouds})
    drawn = {
        "hidden goals drawn": any(cloud["show_goal"] is not False for cloud in clouds),
        "the simulator's markers drawn": any(cloud["show_markers"] for cloud in clouds),
        "points on the robot's arm left out": not any(cloud["show_arm"] for cloud in clouds),
    }
    count, frame = f"{' or '.join(map(str, counts))} points", f"frame {' or '.join(frames)}"
    return ", ".join([count, frame, *(text for text, holds in drawn.items() if holds)])


def _experts(cells: Cells) -> str:
    """Who demonstrated which tasks, if not all by scripts, as far as the cells say so."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        if cell.get("expert") not in (None, "scripted"):
            found.setdefault(cell["expert"], set()).add(cell["task"])
    return "; ".join(f"{', '.join(sorted(tasks))} by the expert `{expert}`" for expert, tasks in found.items())


def _trainings(cells: Cells) -> str:
    """Steps and batch size of each kind of training, from the cells."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        for run, training in cell["trainings"].items():
            found.setdefault(run, set()).add(f"{training['steps']} steps of {training['batch_size']}")
    return "; ".join(f"{run} {' or '.join(sorted(texts))}" for run, texts in found.items())
