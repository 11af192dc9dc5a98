"""Cells as a benchmark writes them down, made by hand."""

from pathlib import Path
from typing import Any

from lerobot_sdm.files import write_json

SETTINGS = {
    "suite": "dp3-37",
    "size": "small",
    "view": "workspace",
    "episodes": {"strict": 4, "paper": 4},
    "device": "cpu",
    "threads": 1,
}


def measured(outcomes: str) -> dict[str, Any]:
    """What a cell holds of one protocol.

    Args:
        outcomes: A letter for each episode, x a success; evaluations with blanks between.
    """
    from lerobot_sdm.measure.scores import score

    evaluated = [[letter == "x" for letter in part] for part in outcomes.split()]
    return {
        "rules": {},
        "evaluations": [
            {"step": 100 * number, "seeds": [100_000, 100_003], "successes": successes}
            for number, successes in enumerate(evaluated, start=1)
        ],
        "score": score(evaluated, 0 if len(evaluated) == 1 else 2),
    }


def made_cell(
    task: str,
    level: str,
    method: str,
    outcomes: str,
    seed: int = 1,
    ms: float = 2.0,
    energy: float = 0.5,
    demonstrations: float = 1.0,
    protocol: str = "strict",
) -> dict[str, Any]:
    """A cell that one protocol has measured.

    Args:
        task, level, method, seed: What it is.
        outcomes: See `measured`.
        ms: Its latency.
        energy: Its distance to its teacher.
        demonstrations: Its distance to demonstrations.
        protocol: Which protocol.
    """
    from lerobot_sdm.measure.methods import METHODS

    latency = {"median_ms": ms, "p95_ms": 2 * ms, "network_evaluations": 10 if method == "dp3-10" else 1}
    return {
        **SETTINGS,
        "cell": f"{task}.{method}.seed{seed}",
        "task": task,
        "level": level,
        "method": method,
        "training_seed": seed,
        "cloud": {"num_points": 160, "frame": "hand", "show_goal": None, "show_markers": False, "show_arm": False},
        "protocols": {protocol: measured(outcomes)},
        "teacher": METHODS[method].teacher,
        "distance_to_teacher": {"energy": {"estimate": energy, "low": 0.0, "high": 1.0}},
        "distance_to_demonstrations": {"estimate": demonstrations, "low": 0.0, "high": 2.0},
        "latency": latency,
        "teacher_latency": latency | {"median_ms": 20.0},
        "machine": {"gpu": None, "processor": "a processor"},
        "trainings": {METHODS[method].run: {"steps": 20, "batch_size": 8, "loss": [(10, 1.0), (20, 0.5)]}},
        "hashes": {name: f"of {task}, {seed}" for name in ("demonstrations", METHODS[method].run)},
        "stages": [{"stage": "record", "command": "lerobot-sdm record"}],
        "versions": {"python": "3.12"},
        "commit": "0123abcd",
    }


def made_expert(task: str, level: str, outcomes: str) -> dict[str, Any]:
    """What `--with-expert` measures of a task."""
    found = measured(outcomes)
    return {"task": task, "level": level, "expert": "scripted", "commit": "0123abcd"} | found


def write_cells(root: Path, cells: list[dict[str, Any]], experts: list[dict[str, Any]] | None = None) -> Path:
    """A benchmark's folder with these cells and experts."""
    write_json(root / "settings.json", SETTINGS)
    for cell in cells:
        write_json(root / "cells" / f"{cell['cell']}.json", cell)
    for expert in experts or ():
        write_json(root / "experts" / f"{expert['task']}.json", expert)
    return root
