"""How well a reward model predicts episodes that it was not trained on."""

from __future__ import annotations

import contextlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.train import TRAIN_CONFIG_NAME, TrainPipelineConfig
from lerobot.datasets.factory import make_train_eval_datasets
from lerobot.rewards import make_reward_pre_post_processors
from scipy.stats import spearmanr
from torch.utils.data import DataLoader
from tqdm import tqdm

from lerobot_sdm.errors import InputError
from lerobot_sdm.plugin import register_all
from lerobot_sdm.rewards.chunk_reward.modeling_chunk_reward import load_reward_model


@dataclass(frozen=True)
class RewardError:
    """Errors over held-out chunks, in the environment's unit.

    Attributes:
        episodes: Held-out episodes.
        chunks: Chunks in them whose label is known.
        rmse: Root mean square error of the ensemble's mean.
        mae: Mean absolute error.
        constant_rmse: Root mean square error of the best constant.
        rank_correlation: Spearman's, between prediction and label.
        moving_rank_correlation: The same over the half of the chunks with the larger labels, by size: in many chunks
            nothing moves, and ranks among those mean nothing.
        spread: Mean standard deviation of the ensemble.
        spread_rank_correlation: Spearman's between the ensemble's spread and the error's size: whether the model knows
            where it is wrong.
    """

    episodes: int
    chunks: int
    rmse: float
    mae: float
    constant_rmse: float
    rank_correlation: float
    moving_rank_correlation: float
    spread: float
    spread_rank_correlation: float


def reward_error(predicted: np.ndarray, label: np.ndarray, episodes: int = 1) -> RewardError:
    """Compare predictions with what came.

    Args:
        predicted: Of each member (members, N).
        label: (N,), at least 3 and not all the same.
        episodes: How many episodes these are from.
    """
    mean, spread = predicted.mean(axis=0), predicted.std(axis=0)
    error = mean - label
    moving = np.abs(label) >= np.median(np.abs(label))
    return RewardError(
        episodes=episodes,
        chunks=len(label),
        rmse=float(np.sqrt(np.mean(error**2))),
        mae=float(np.abs(error).mean()),
        constant_rmse=float(label.std()),
        rank_correlation=_rank_correlation(mean, label),
        moving_rank_correlation=_rank_correlation(mean[moving], label[moving]),
        spread=float(spread.mean()),
        spread_rank_correlation=_rank_correlation(spread, np.abs(error)),
    )


def measure_reward_error(path: str, root: Path | None = None, batch_size: int = 512) -> dict[str, Any]:
    """Measure a trained reward model on the episodes that its training held out.

    Args:
        path: A checkpoint's `pretrained_model` folder.
        root: The dataset's folder, if it has moved.
        batch_size: Chunks at a time.

    Returns:
        JSON-compatible: what was measured, and how the model was trained.

    Raises:
        InputError: The checkpoint says nothing about its training, or the training held nothing out.
    """
    model = load_reward_model(path, "cpu")
    config = _train_config(path)
    if root is not None:
        config.dataset.root = root
    with contextlib.redirect_stderr(io.StringIO()):
        _, held_out = make_train_eval_datasets(config)
    model.config.pretrained_path = path
    preprocess, _ = make_reward_pre_post_processors(model.config)
    predicted, labels = [], []
    with torch.no_grad():
        for batch in tqdm(DataLoader(held_out, batch_size=batch_size), desc="Predicting", unit="batch"):
            prepared = preprocess(batch)
            label, known = model.labels(prepared)
            predicted.append(model.predict(model.features(prepared), prepared["action"])[:, known])
            labels.append(label[known])
    error = reward_error(torch.cat(predicted, dim=1).numpy(), torch.cat(labels).numpy(), held_out.num_episodes)
    return asdict(error) | {
        "target": model.config.target,
        "look_ahead": model.config.look_ahead,
        "ensemble": model.config.ensemble,
        "steps": config.steps,
        "batch_size": config.batch_size,
        "seed": config.seed,
    }


def _train_config(path: str) -> TrainPipelineConfig:
    if not (Path(path) / TRAIN_CONFIG_NAME).is_file():
        raise InputError(
            f"--reward={path}: holds no {TRAIN_CONFIG_NAME}, by which the episodes held out of its training are known. "
            "Give a folder that lerobot-train wrote."
        )
    register_all()
    config = TrainPipelineConfig.from_pretrained(path)
    if config.dataset.eval_split == 0:
        raise InputError(
            f"--reward={path}: was trained on all episodes. Train with --dataset.eval_split=0.1 to hold some out."
        )
    return config


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; 0 where one of them is constant, as the spread of a single member is."""
    return 0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)
