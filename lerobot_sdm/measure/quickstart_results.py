"""Collect a run's measurements from the files of its stages into one `results.json`."""

from dataclasses import asdict
from typing import Any

import numpy as np

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json
from lerobot_sdm.measure.methods import ROWS
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.records import evaluated_successes, machine, stage_records, versions
from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.statistics import bootstrap_mean, paired_difference, success_rate

EXPERT_LABEL = "expert (sees the full state)"


def collect_results(config: RunSettings, layout: RunLayout) -> dict[str, Any]:
    """Collect a run's measurements.

    Args:
        config: The run's settings.
        layout: Its folder, with all stages before the report finished.

    Returns:
        JSON-compatible: settings, one entry per row of the table (per-episode outcomes included), the
        command and duration of each stage, versions and machine.

    Raises:
        InputError: If rows were evaluated on different numbers of episodes.
    """
    successes = all_successes(config, layout)
    by_rule = {rule: all_successes(config, layout, rule) for rule in config.other_rules}

    distances = read_json(layout.distances)
    # The reference has no row of its own there; it gets the floor, itself under different noise.
    measured = {row["label"]: row for row in distances["rows"]}
    measured[ROWS[0].key] = measured.pop(distances["floor"])
    demonstrations = {key: np.array(row["per_observation"]["demonstrations"]) for key, row in measured.items()}
    latency = {row["label"]: row for row in read_json(layout.latency)}
    labels = {"expert": EXPERT_LABEL} | {row.key: row.label for row in ROWS}
    rows = [
        {
            "key": key,
            "label": labels[key],
            **_success(successes, key),
            "other_rules": {rule: _success(others, key) for rule, others in by_rule.items()},
            "latency": latency.get(key),
            "distance_to_teacher": {
                name: measured[key][name] for name in ("energy", "spread", "map_rms") if key in measured
            },
            "distance_to_demonstrations": measured[key]["demonstrations"] if key in measured else None,
        }
        for key in successes
    ]
    return {
        "task": config.name,
        "settings": config.settings(),
        "evaluation_seeds": [config.eval_seeds[0], config.eval_seeds[-1]],
        "rows": rows,
        "distances": {name: distances[name] for name in ("observations", "samples", "seed", "unit")},
        "student_minus_teacher": asdict(bootstrap_mean(demonstrations["student"] - demonstrations[ROWS[0].key])),
        "stages": stage_records(layout.root),
        "versions": versions(),
        "machine": machine(),
    }


def all_successes(config: RunSettings, layout: RunLayout, rule: str | None = None) -> dict[str, list[bool]]:
    """Outcome of each episode for the expert and each row of the table, by a success rule.

    Raises:
        InputError: If rows were evaluated on different numbers of episodes.
    """
    expert = read_json(layout.expert)
    successes = {"expert": expert["successes"] if rule is None else expert["other_rules"][rule]}
    successes |= {row.key: evaluated_successes(layout.evaluation(row.key, rule)) for row in ROWS}
    counts = {key: len(values) for key, values in successes.items()}
    if set(counts.values()) != {config.eval_episodes}:
        raise InputError(f"{layout.root}: rows do not have {config.eval_episodes} episodes each: {counts}.")
    return successes


def _success(successes: dict[str, list[bool]], key: str) -> dict[str, Any]:
    """A row's success entries, and the difference to the first row."""
    return {
        "successes": successes[key],
        "success_rate": asdict(success_rate(successes[key])),
        "difference_to_teacher": asdict(paired_difference(successes[key], successes[ROWS[0].key])),
    }
