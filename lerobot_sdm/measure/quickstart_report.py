"""The stages of a run that are no command: measurements of the whole run, and the report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.measure.files import read_json, write_json, write_text
from lerobot_sdm.measure.methods import ROWS
from lerobot_sdm.measure.plan import RunLayout, dataset_name, policy_of
from lerobot_sdm.measure.settings import Flags, RunSettings

if TYPE_CHECKING:
    from lerobot.envs.configs import EnvConfig

TRAJECTORIES = 6  # Demonstrations whose paths are drawn into the picture.


def measure_expert(config: RunSettings, layout: RunLayout) -> None:
    """Let the expert do the evaluation episodes and write the outcomes."""
    from lerobot_sdm.measure.expert import expert_successes

    seeds = range(config.eval_seed, config.eval_seed + config.eval_episodes)
    options = {"action_noise": config.record["action_noise"]} if "action_noise" in config.record else {}
    if "expert_path" in config.record:
        options["path"] = Path(config.record["expert_path"])

    def successes(rule: Flags) -> list[bool]:
        environment = environment_config(config, rule)
        return expert_successes(environment, seeds, config.record.get("expert"), tqdm, **options)

    by_rule = {name: successes(rule) for name, rule in config.other_rules.items()}
    write_json(layout.expert, {"seeds": list(seeds), "successes": successes({}), "other_rules": by_rule})


def environment_config(config: RunSettings, rule: Flags | None = None) -> EnvConfig:
    """LeRobot's configuration of a run's environment, by one of its other rules if given."""
    return FAMILIES[config.env_type].configuration(task=config.task, **config.env | (rule or {}))


def measure_latencies(config: RunSettings, layout: RunLayout) -> None:
    """Time all rows in one process and write the result."""
    import torch

    from lerobot_sdm.measure.contenders import load_contender
    from lerobot_sdm.measure.latency import measure_latency
    from lerobot_sdm.measure.observations import held_out_observations

    torch.set_num_threads(config.threads)
    policies = [load_contender(policy_of(row, layout), config.device) for row in ROWS]
    histories = held_out_observations(
        dataset_name(config, held_out=True), layout.held_out, policies[0].config, config.observations
    )
    # The newest step of each history is what an environment would hand over.
    observations = [
        {key: value[index : index + 1, -1] for key, value in histories.items()} for index in range(config.observations)
    ]
    rows = measure_latency(policies, observations, config.latency_repeats)
    write_json(layout.latency, [asdict(row) for row in rows])


def write_report(config: RunSettings, layout: RunLayout) -> None:
    """Write results, table, pictures and video of a run whose other stages have finished."""
    from lerobot_sdm.measure.pictures import success_plot
    from lerobot_sdm.measure.quickstart_results import collect_results
    from lerobot_sdm.measure.tables import markdown_table, summary
    from lerobot_sdm.measure.video import comparison_video

    results = collect_results(config, layout)
    results["video_seeds"] = comparison_video(results, layout, layout.root / "comparison.mp4")
    success_plot(results, layout.root / "success.png")
    draw_demonstrations(config, layout, layout.root / "cloud.png")
    write_text(layout.root / "table.md", f"{markdown_table(results)}\n{summary(results)}")
    write_json(layout.results, results)


def draw_demonstrations(config: RunSettings, layout: RunLayout, path: Path) -> None:
    """Draw the first cloud of the held-out demonstrations, with paths of the hand where its position is observed."""
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
    # Seen from the hand, the hand does not move.
    hand = env.hand_in_agent_pos if frame.origin is None else None
    # Both in world coordinates, where up is up: points go back through the frame that policies see.
    cloud[:, :3] = (cloud[:, :3] - frame.translation) @ frame.rotation
    cloud_picture(
        cloud=cloud,
        trajectories=[]
        if hand is None
        else [states[episodes == number][:, hand] for number in np.unique(episodes)[:TRAJECTORIES]],
        title=f"{config.name}: what the policies see" + ("" if hand is None else ", and paths of the expert's hand"),
        path=path,
    )


def finished_results(layout: RunLayout) -> dict:
    """Content of the report of a finished run."""
    return read_json(layout.results)
