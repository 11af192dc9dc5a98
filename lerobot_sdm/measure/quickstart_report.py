"""A quickstart's report: its results, table, notes, pictures and video.

Imports fast: functions that draw import what they need when they run.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json, write_json, write_text
from lerobot_sdm.measure import records, tables
from lerobot_sdm.measure.measurements import environment_config
from lerobot_sdm.measure.methods import ROWS
from lerobot_sdm.measure.plan import RunLayout, dataset_name
from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.stages import format_seconds
from lerobot_sdm.measure.statistics import bootstrap_mean, paired_difference, success_rate

EXPERT_LABEL = "expert (sees the full state)"
TRAJECTORIES = 6  # Demonstrations whose paths are drawn.
HEADER = (
    "policy",
    "success",
    "95% interval",
    "against teacher, 10 steps",
    "ms per chunk",
    "network evaluations",
    "distance to demonstrations",
    "distance to teacher",
    "spread",
)
SHORT_HEADER = ("policy", "success", "95%", "vs teacher", "ms", "NFE", "to demos", "to teacher", "spread")


def _header(results: dict[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns; other success rules follow the difference to the teacher."""
    rules = results["rows"][0].get("other_rules", {})
    return (*names[:4], *(f"success, {rule}" for rule in rules), *names[4:])


def report(results: dict[str, Any]) -> tables.Report:
    """The table of a quickstart's `results.json`, with notes; in a terminal without the intervals of the distances."""
    rows = [_cells(row) for row in results["rows"]]
    narrow = [(*cells[:-3], *(text.partition(" ")[0] for text in cells[-3:])) for cells in rows]
    return tables.Report(
        f"{results['task']}, {len(results['rows'][0]['successes'])} episodes for each row",
        [_header(results, HEADER), *rows],
        _notes(results),
        [_header(results, SHORT_HEADER), *narrow],
    )


def _notes(results: dict[str, Any]) -> str:
    """Notes below the table: seeds, demonstrations, trainings, machine, versions."""
    settings, machine = results["settings"], results["machine"]
    first, last = results["evaluation_seeds"]
    seconds = {record["stage"]: record["seconds"] for record in results["stages"]}
    trainings = "; ".join(
        f"{run}: {settings[run]['steps']} steps of {settings[run]['batch_size']} in "
        f"{format_seconds(seconds[f'train_{run}'])}"
        for run in ("teacher", "student")
    )
    if "train_regression" in seconds:
        trainings += f"; regression in {format_seconds(seconds['train_regression'])}"
    distances = results["distances"]
    data = results.get("student_minus_teacher")  # Missing in results of earlier versions.
    closer = "" if data is None else f" The student's minus the teacher's: {tables.interval(data)}."
    hardware = tables.hardware(settings["device"], machine)
    return tables.bullets(
        f"Task `{results['task']}`, {settings['episodes']} demonstrations; evaluated on seeds {first} to {last}, "
        "the same for every row. Success: Wilson interval; differences: Newcombe's interval for pairs, in points.",
        f"Trainings: {trainings}.",
        f"Distances and spread: {distances['samples']} action chunks on each of {distances['observations']} held-out "
        f"observations, in {distances['unit']}; mean and 95% bootstrap interval; smaller is better.",
        f"Distance to demonstrations: twice the energy score at the held-out demonstrated chunk.{closer}",
        "Distance to teacher: the energy distance to its ten-step samples. The first teacher row compares the teacher "
        "with itself under different noise. A student that learns from the demonstrations, too, moves away from its "
        "teacher where the teacher errs.",
        f"Milliseconds: median (95th percentile) from raw observation to the first action of a chunk, batch "
        f"size 1, {settings['device']}, {settings['threads']} thread(s), {hardware}.",
        f"Versions: {tables.versions(results['versions'])}.",
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    distance = row["distance_to_teacher"]
    return (
        row["label"],
        tables.count(row["successes"]),
        tables.limits(row["success_rate"]),
        "" if row["key"] == "teacher_10" else tables.points(row["difference_to_teacher"]),
        *(
            f"{tables.count(rule['successes'])} ({tables.limits(rule['success_rate'])})"
            for rule in row.get("other_rules", {}).values()
        ),
        *tables.cost(row["latency"]),
        tables.interval(row.get("distance_to_demonstrations")),
        tables.interval(distance.get("energy")),
        tables.interval(distance.get("spread")),
    )


def collect_results(config: RunSettings, layout: RunLayout) -> dict[str, Any]:
    """Collect a run's measurements, once all stages before the report have finished. Raises as `all_successes` does.

    Returns:
        JSON-compatible: settings, one entry per row of the table (per-episode outcomes included), the command and
        duration of each stage, versions and machine.
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
        "stages": records.stage_records(layout.root),
        "versions": records.versions(),
        "machine": records.machine(),
    }


def all_successes(config: RunSettings, layout: RunLayout, rule: str | None = None) -> dict[str, list[bool]]:
    """Outcome of each episode for the expert and each row of the table, by a success rule.

    Raises:
        InputError: If rows were evaluated on different numbers of episodes.
    """
    expert = read_json(layout.expert)
    successes = {"expert": expert["successes"] if rule is None else expert["other_rules"][rule]}
    successes |= {row.key: records.evaluated_successes(layout.evaluation(row.key, rule)) for row in ROWS}
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


def write_report(config: RunSettings, layout: RunLayout) -> None:
    """Write a run's results, table, pictures and video, once its other stages have finished."""
    from lerobot_sdm.measure.pictures import success_plot
    from lerobot_sdm.measure.video import comparison_video

    results = collect_results(config, layout)
    results["video_seeds"] = comparison_video(results, layout, layout.root / "comparison.mp4")
    success_plot(results, layout.root / "success.png")
    draw_demonstrations(config, layout, layout.root / "cloud.png")
    write_text(layout.root / "table.md", report(results).markdown())
    write_json(layout.results, results)


def draw_demonstrations(config: RunSettings, layout: RunLayout, path: Path) -> None:
    """Draw the first held-out cloud, with paths of the hand if its position is observed."""
    import gymnasium as gym
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    from lerobot_sdm.datasets.write import VIDEO_BACKEND
    from lerobot_sdm.measure.pictures import cloud_picture

    name = dataset_name(config, held_out=True)
    dataset = LeRobotDataset(name, root=layout.held_out, video_backend=VIDEO_BACKEND)
    columns = dataset.hf_dataset.select_columns(["observation.state", "episode_index"]).with_format("numpy")[:]
    states, episodes = columns["observation.state"], columns["episode_index"]
    cloud = dataset[0]["observation.point_cloud"].numpy()
    cloud = cloud[np.any(cloud[:, :3] != 0, axis=1)]  # Zero rows are padding.
    environment = environment_config(config)
    env = gym.make(environment.gym_id, disable_env_checker=True, **environment.gym_kwargs).unwrapped
    frame = env.frame
    # In the hand's own frame the hand does not move.
    hand = env.hand_in_agent_pos if frame.origin is None else None
    env.close()
    # Draw in world coordinates, so that z is up: transform points back from the policies' frame.
    cloud[:, :3] = (cloud[:, :3] - frame.translation) @ frame.rotation
    cloud_picture(
        cloud=cloud,
        trajectories=[]
        if hand is None
        else [states[episodes == number][:, hand] for number in np.unique(episodes)[:TRAJECTORIES]],
        title=f"{config.name}: what the policies see" + ("" if hand is None else ", and paths of the expert's hand"),
        path=path,
    )
