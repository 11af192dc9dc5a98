"""LeRobot's own training command, called in this process, on a small dataset of random clouds."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from lerobot.utils.import_utils import register_third_party_plugins
from safetensors.torch import load_file

REPO_ID = "local/small"
SMALL = (
    "--policy.encoder_hidden_dims=[8,16]",
    "--policy.horizon=8",
    "--policy.n_action_steps=4",
    "--policy.scheduler_warmup_steps=5",
)
SMALL_DP3 = (
    "--policy.down_dims=[8,16,16]",
    "--policy.blocks_per_level=1",
    "--policy.diffusion_step_embed_dim=16",
    *SMALL,
)
SMALL_MIXER = ("--policy.backbone=mixer", "--policy.mixer_width=16", "--policy.mixer_depth=2", *SMALL)
COMMON = (
    f"--dataset.repo_id={REPO_ID}",
    "--policy.device=cpu",
    "--policy.push_to_hub=false",
    "--batch_size=4",
    "--num_workers=0",
    "--env_eval_freq=0",
    "--log_freq=10",
    "--seed=1",
)


def make_small_dataset(
    root: Path,
    channels: int = 3,
    frames: tuple[int, ...] = (30, 25),
    state_dim: int = 9,
    action_dim: int = 4,
    points: int = 12,
    change: Callable[[dict[str, np.ndarray]], None] = lambda values: None,
) -> Path:
    """Episodes of random clouds (points, channels), states and actions, all in -1 ... 1 unless a frame's are changed in
    place, written by LeRobot."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    features = {
        "observation.state": {"dtype": "float32", "shape": (state_dim,), "names": None},
        "observation.point_cloud": {"dtype": "float32", "shape": (points, channels), "names": None},
        "action": {"dtype": "float32", "shape": (action_dim,), "names": None},
    }
    dataset = LeRobotDataset.create(REPO_ID, fps=80, features=features, root=root, use_videos=False)
    rng = np.random.default_rng(0)
    for length in frames:
        for _ in range(length):
            values = {key: rng.uniform(-1, 1, f["shape"]).astype(np.float32) for key, f in features.items()}
            change(values)
            dataset.add_frame({**values, "task": "none"})
        dataset.save_episode()
    dataset.finalize()
    return root


def lerobot_train(monkeypatch, dataset: Path, output: Path, *args: str, steps: int = 10, save_freq: int = 10) -> Path:
    """Run `lerobot-train` and return the folder of its last checkpoint."""
    options = [f"--dataset.root={dataset}", f"--output_dir={output}", f"--steps={steps}", f"--save_freq={save_freq}"]
    run_train(monkeypatch, [*COMMON, *options, *args])
    return output / "checkpoints" / "last" / "pretrained_model"


def lerobot_resume(monkeypatch, checkpoint: Path, output: Path) -> Path:
    """Resume the run whose checkpoint this is, in another output folder."""
    config = checkpoint / "pretrained_model" / "train_config.json"
    run_train(monkeypatch, ["--resume=true", f"--config_path={config}", f"--output_dir={output}"])
    return output / "checkpoints" / "last" / "pretrained_model"


def lerobot_eval(monkeypatch, policy: Path | str, output: Path, *args: str) -> dict[str, Any]:
    """Run `lerobot-eval` for two episodes at once; returns what it wrote down.

    Both in this process, unless the arguments say otherwise: each other process would import for seconds.
    """
    from lerobot.scripts import lerobot_eval as script

    episodes = ("--eval.n_episodes=2", "--eval.batch_size=2", "--eval.use_async_envs=false", "--seed=0")
    arguments = [f"--policy.path={policy}", "--policy.device=cpu", *episodes, f"--output_dir={output}", *args]
    _run(monkeypatch, script, ["lerobot-eval", *arguments])
    return json.loads((output / "eval_info.json").read_text())


def lerobot_train_config(monkeypatch, config: Path, *args: str) -> None:
    """Run `lerobot-train` with a file of settings for two steps, below the present folder."""
    run_train(monkeypatch, [f"--config_path={config}", "--steps=2", "--batch_size=4", "--policy.device=cpu", *args])


def run_train(monkeypatch, args: list[str]) -> None:
    """Run `lerobot-train` with nothing but these arguments."""
    from lerobot.scripts import lerobot_train as script

    _run(monkeypatch, script, ["lerobot-train", *args])


find_plugins = functools.cache(register_third_party_plugins)
"""Reads about every installed package; once is enough for all commands of this process."""


def _run(monkeypatch, script: ModuleType, argv: list[str]) -> None:
    monkeypatch.setattr(script, "register_third_party_plugins", find_plugins)
    monkeypatch.setattr(sys, "argv", argv)
    script.main()


def checkpoint_tensors(pretrained_model: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint: inference weights, training state and optimizer state."""
    checkpoint = pretrained_model.resolve().parent
    files = [
        *checkpoint.glob("pretrained_model/*.safetensors"),
        checkpoint / "training_state/optimizer_state.safetensors",
    ]
    return {f"{file.name}:{key}": value for file in files for key, value in load_file(file).items()}
