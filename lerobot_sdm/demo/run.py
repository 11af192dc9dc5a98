"""Run teacher and student on the same episodes; report success, network evaluations, milliseconds, and a video."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from lerobot_sdm.demo.pair import Pair
from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.measure.methods import ROWS, SHOWN
from lerobot_sdm.measure.video import save_video, side_by_side
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec, read_config
from lerobot_sdm.policies.policy_spec import PolicySpec

SKIPPED = 2
"""Control steps per video frame: at 30 frames per second, 80 steps per second play at three quarters of real speed."""

Clip = list[NDArray[np.uint8]]


@dataclass
class Performance:
    """What a policy did in the demo's episodes.

    Attributes:
        key: Row of the quickstart's table.
        successes: Outcome of each episode.
        milliseconds: How long each planned chunk of actions took, processors included.
        evaluations: Network evaluations of each chunk.
        clips: Frames (H, W, 3) of the filmed episodes.
    """

    key: str
    successes: list[bool] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)


def perform(pair: Pair, seeds: list[int], filmed: int, render_size: int) -> Iterator[Performance]:
    """Run the 10-step teacher, the 1-step teacher and the student on the same episodes, one after another.

    Args:
        pair: The policies and their task.
        seeds: One for each episode.
        filmed: How many of the first episodes are filmed.
        render_size: Height and width of the frames.
    """
    planned = read_config(PolicySpec("teacher", str(pair.teacher)))  # The same for all three.
    chunk = {name: getattr(planned, name) for name in ("n_action_steps", "n_obs_steps")}
    env = pair.make_env(render_size=render_size, **chunk)
    try:
        for row in (row for row in ROWS if row.key in SHOWN):
            policy = load_from_spec(PolicySpec(row.label, str(pair.folder / row.run), row.overrides))
            performance = Performance(row.key)
            for number, seed in enumerate(seeds):
                _episode(env, policy, seed, performance, film=number < filmed)
            yield performance
    finally:
        env.close()


def _episode(env: gym.Env, policy: LoadedPolicy, seed: int, performance: Performance, film: bool) -> None:
    """Run one episode; append its outcome, costs and frames to `performance`."""
    torch.manual_seed(seed)  # Seeds the start noise, so that the same call shows the same episodes.
    observation, info = env.reset(seed=seed)
    policy.reset()
    clip: Clip = []
    over, step = False, 0
    while not over:
        if film and step % SKIPPED == 0:
            clip.append(env.render())
        with count_calls(policy.denoiser) as counter:
            began = time.perf_counter()
            action = policy.act(observation)
            took = 1000 * (time.perf_counter() - began)
        if counter.calls:  # Zero on steps that only take the next action of the chunk.
            performance.milliseconds.append(took)
            performance.evaluations.append(counter.calls)
        observation, _, terminated, truncated, info = env.step(action)
        over, step = terminated or truncated, step + 1
    performance.successes.append(bool(info["is_success"]))
    if film:
        performance.clips.append([*clip, env.render()])


def write_side_by_side(performances: list[Performance], seeds: list[int], path: Path) -> None:
    """Write the filmed episodes as one MP4 file, all rows side by side; a file that exists is overwritten."""
    frames: Clip = []
    for number in range(len(performances[0].clips)):
        clips = {row.key: np.stack(row.clips[number]) for row in performances}
        captions = {
            row.key: f"{SHOWN[row.key]}: {'success' if row.successes[number] else 'failure'}" for row in performances
        }
        frames += side_by_side(clips, captions, f"seed {seeds[number]}")
    save_video(frames, path)


def table_row(pair: Pair, row: Performance) -> tuple[str, ...]:
    """A row of the table: policy, success here, success in the evaluation shipped with the pair, network evaluations
    and milliseconds (median) of each planned chunk."""
    return (
        SHOWN[row.key],
        f"{sum(row.successes)}/{len(row.successes)}",
        "{}/{}".format(*pair.measured[row.key]),
        f"{np.mean(row.evaluations):g}",
        f"{np.median(row.milliseconds):.1f}",
    )
