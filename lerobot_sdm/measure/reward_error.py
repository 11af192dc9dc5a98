"""Measure a reward model's prediction error on held-out episodes."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from draccus.utils import DecodingError
from lerobot.configs.train import TRAIN_CONFIG_NAME, TrainPipelineConfig
from lerobot.datasets.factory import make_train_eval_datasets
from lerobot.rewards import make_reward_pre_post_processors
from scipy.stats import spearmanr
from torch.utils.data import DataLoader
from tqdm import tqdm

from lerobot_sdm.errors import InputError
from lerobot_sdm.plugin import register_all
from lerobot_sdm.policies.source.reward_model import load_reward_model
from lerobot_sdm.safe_files.json_files import AGAIN, read_object, said


def reward_error(predicted: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Compare predictions with labels, in the environment's unit.

    Args:
        predicted: Predictions of each ensemble member (members, N).
        label: Labels (N,), at least 3 and not all equal.

    Returns:
        `chunks`, N; `rmse` and `mae`, errors of the ensemble's mean; `constant_rmse`, that of the best constant;
        `rank_correlation`, Spearman's, between prediction and label; `moving_rank_correlation`, the same over the half
        of the chunks with the largest absolute labels: in many chunks nothing moves, and ranks among those are
        meaningless; `spread`, the mean standard deviation of the ensemble; `spread_rank_correlation`, Spearman's
        between that deviation and the absolute error: whether the model knows where it is wrong.
    """
    mean, spread = predicted.mean(axis=0), predicted.std(axis=0)
    error = mean - label
    # Not those from the median on: where most labels are 0, that would be all of them.
    moving = np.argsort(np.abs(label), kind="stable")[len(label) // 2 :]
    return {
        "chunks": len(label),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.abs(error).mean()),
        "constant_rmse": float(label.std()),
        "rank_correlation": _rank_correlation(mean, label),
        "moving_rank_correlation": _rank_correlation(mean[moving], label[moving]),
        "spread": float(spread.mean()),
        "spread_rank_correlation": _rank_correlation(spread, np.abs(error)),
    }


def measure_reward_error(path: str, root: Path | None = None, batch_size: int = 512) -> dict[str, Any]:
    """Measure a trained reward model on the episodes that its training held out.

    Args:
        path: A checkpoint's `pretrained_model` folder.
        root: The dataset's folder, if it has moved.
        batch_size: Chunks per batch.

    Returns:
        JSON-compatible: what was measured, and how the model was trained.

    Raises:
        InputError: The checkpoint does not describe its training, or the training held out no episodes.
    """
    register_all()
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
    return {
        "episodes": held_out.num_episodes,
        **reward_error(torch.cat(predicted, dim=1).numpy(), torch.cat(labels).numpy()),
        "target": model.config.target,
        "look_ahead": model.config.look_ahead,
        "ensemble": model.config.ensemble,
        "steps": config.steps,
        "batch_size": config.batch_size,
        "seed": config.seed,
    }


def _train_config(path: str) -> TrainPipelineConfig:
    file = Path(path) / TRAIN_CONFIG_NAME
    if not file.is_file():
        raise InputError(
            f"--reward={path}: contains no {TRAIN_CONFIG_NAME}, which tells the episodes held out of training. "
            "Give a folder that lerobot-train wrote."
        )
    read_object(file, f"--reward={path}: {TRAIN_CONFIG_NAME}")
    try:
        config = TrainPipelineConfig.from_pretrained(path)
    except DecodingError as error:
        raise InputError(f"--reward={path}: {TRAIN_CONFIG_NAME}: {said(error)}. {AGAIN}") from error
    if config.dataset.eval_split == 0:
        raise InputError(
            f"--reward={path}: was trained on all episodes. Train with --dataset.eval_split=0.1 to hold some out."
        )
    return config


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; 0 if an input is constant, like the spread of a single member."""
    return 0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)
