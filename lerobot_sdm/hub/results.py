"""Reads evaluation results for a model card, from files of this package and of LeRobot."""

from collections.abc import Sized
from pathlib import Path
from typing import Any

from lerobot_sdm.cards.model_card import Evaluation
from lerobot_sdm.cards.privacy import without_folders
from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.methods import QUICKSTART_RUNS
from lerobot_sdm.measure.quickstart_report import report
from lerobot_sdm.measure.statistics import wilson_interval
from lerobot_sdm.measure.tables import markdown
from lerobot_sdm.safe_files.json_files import read_object, said

ROWS = {"dp3": "teacher_10", "sdm": "student"}
"""Policy type -> its row in a quickstart's `results.json`."""

GIVE = "Give a results.json of `lerobot-sdm quickstart` or an eval_info.json of `lerobot-eval`."


def read_results(path: Path, policy_type: str, suite: str | None, steps: int | None = None) -> list[Evaluation]:
    """Read one file of results.

    Args:
        path: `results.json` of `lerobot-sdm quickstart`, or `eval_info.json` of `lerobot-eval`.
        policy_type: Type of the published policy.
        suite: Environment type, which `eval_info.json` does not contain.
        steps: Number of its training steps, if known.

    Raises:
        InputError: The file is missing, damaged, of another kind, without this policy or without episodes, or from
            another training.
    """
    content = read_object(path, f"--results={path}", GIVE)
    is_quickstart = {"rows", "settings"} <= content.keys()
    if not is_quickstart and "per_task" not in content:
        raise InputError(f"--results={path}: has neither rows nor tasks. {GIVE}")
    try:
        if is_quickstart:
            return [_from_quickstart(path, content, policy_type, steps)]
        return _from_lerobot_eval(path, content, suite)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"--results={path}: an entry is missing or damaged ({said(error)}). {GIVE}") from error


def _from_quickstart(path: Path, results: dict[str, Any], policy_type: str, steps: int | None) -> Evaluation:
    rows = {row["key"]: row for row in results["rows"]}
    row = rows.get(ROWS.get(policy_type, policy_type))
    if row is None:
        raise InputError(f"--results={path}: has no row for a policy of type '{policy_type}' ({', '.join(rows)}).")
    measured = results["settings"].get(QUICKSTART_RUNS.get(policy_type, policy_type), {}).get("steps")
    if None not in (steps, measured) and steps != measured:
        raise InputError(
            f"--results={path}: is for a policy trained for {measured} steps, but this one was trained for {steps}. "
            "Give the results of this run."
        )
    first, last = results["evaluation_seeds"]
    settings, rate, table = results["settings"], row["success_rate"], report(results)
    return Evaluation(
        suite=settings["env_type"],
        task=results["task"],
        successes=sum(row["successes"]),
        episodes=_counted(path, row["successes"]),
        low=float(rate["low"]),
        high=float(rate["high"]),
        protocol=f"One episode per seed from {first} to {last}, the last checkpoint of the training; Wilson "
        "interval of the success rate.",
        table=markdown(table.rows),
        notes=table.notes,
        env={"task": settings["task"], **without_folders(settings["env"])},
    )


def _from_lerobot_eval(path: Path, results: dict[str, Any], suite: str | None) -> list[Evaluation]:
    if suite is None:
        raise InputError(f"--results={path}: does not name the environments. Add --suite, such as metaworld_pc.")
    # A group of tasks, such as metaworld_pc's `easy`, has an entry per task, which does not name its task.
    groups: dict[str, list[bool]] = {}
    for task in results["per_task"]:
        groups.setdefault(task["task_group"], []).extend(task["metrics"]["successes"])
    _counted(path, groups)
    evaluations = []
    for group, successes in groups.items():
        interval = wilson_interval(sum(successes), _counted(path, successes))
        evaluations.append(
            Evaluation(
                suite=suite,
                task=group,
                successes=sum(successes),
                episodes=len(successes),
                low=interval.low,
                high=interval.high,
                protocol="`lerobot-eval`; Wilson interval of the success rate.",
            )
        )
    return evaluations


def _counted(path: Path, entries: Sized) -> int:
    """Number of entries; an InputError if there are none."""
    if not entries:
        raise InputError(f"--results={path}: has no episodes. {GIVE}")
    return len(entries)
