"""Small policies on keypoints, datasets with rewards, and reward models, for tests that fine-tune."""

from pathlib import Path

import numpy as np
import torch
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies import make_pre_post_processors
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot.rewards import make_reward_model, make_reward_pre_post_processors
from lerobot_commands import run_train

from lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward import ChunkRewardConfig

REPO_ID = "local/rewarded"
SIZES = {"observation.state": 2, "observation.environment_state": 4, "action": 2}


PUSHT_SIZES = SIZES | {"observation.environment_state": 16}


def save_policy(folder: Path, low: float = -1.0, high: float = 1.0, sizes: dict[str, int] = SIZES, **fields) -> Path:
    """An untrained `diffusion` on keypoints, as LeRobot saves it; normalized from [low, high]."""
    torch.manual_seed(0)
    settings = {"horizon": 8, "n_action_steps": 3, "prediction_type": "epsilon", "num_inference_steps": 4} | fields
    config = DiffusionConfig(
        down_dims=(8, 16),
        n_groups=4,
        diffusion_step_embed_dim=8,
        device="cpu",
        drop_n_last_frames=0,
        normalization_mapping=dict.fromkeys(("STATE", "ENV", "ACTION"), NormalizationMode.MIN_MAX),
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (sizes["observation.state"],)),
            "observation.environment_state": PolicyFeature(FeatureType.ENV, (sizes["observation.environment_state"],)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (sizes["action"],))},
        **settings,
    )
    stats = {key: {"min": torch.full((size,), low), "max": torch.full((size,), high)} for key, size in sizes.items()}
    DiffusionPolicy(config).save_pretrained(folder)
    for pipeline in make_pre_post_processors(config, dataset_stats=stats):
        pipeline.save_pretrained(folder)
    return folder


def write_rewarded(root: Path, episodes: int = 6, length: int = 40, reward: bool = True, state: int = 2) -> Path:
    """Random observations and actions. The reward follows the actions: every step moves it by a tenth of their mean."""
    shapes = {**SIZES, "observation.state": state}
    features = {key: {"dtype": "float32", "shape": (size,), "names": None} for key, size in shapes.items()}
    if reward:
        features["next.reward"] = {"dtype": "float32", "shape": (1,), "names": None}
    dataset = LeRobotDataset.create(REPO_ID, fps=10, features=features, root=root, use_videos=False)
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        level = 0.0
        for _ in range(length):
            frame = {key: rng.uniform(-1, 1, size).astype(np.float32) for key, size in shapes.items()}
            level += 0.1 * float(frame["action"].mean())
            if reward:
                frame["next.reward"] = np.float32([level])
            dataset.add_frame({**frame, "task": "none"})
        dataset.save_episode()
    dataset.finalize()
    return root


def reward_config(base: Path | str, **fields) -> ChunkRewardConfig:
    """A small one, for the chunks of the policy in that folder."""
    return ChunkRewardConfig(base_path=str(base), device="cpu", **{"hidden_dims": (8,), "ensemble": 2, **fields})


def save_reward_model(base: Path, folder: Path, **fields) -> Path:
    """Write an untrained reward model of the policy in `base`; returns `folder`."""
    config = reward_config(base, **fields)
    torch.manual_seed(0)
    make_reward_model(config).save_pretrained(folder)
    for pipeline in make_reward_pre_post_processors(config):
        pipeline.save_pretrained(folder)
    return folder


def reward_beside(base: Path) -> Path:
    """A reward model beside the policy's own folder, made once."""
    folder = base.parent / "reward"
    return folder if folder.exists() else save_reward_model(base, folder)


def train_reward(monkeypatch, base: Path, data: Path, output: Path, *options: str, steps: int = 20) -> Path:
    """Run `lerobot-train` for a reward model, with a sixth of the episodes held out; the folder of its checkpoint."""
    arguments = [
        "--reward_model.type=chunk_reward", f"--reward_model.base_path={base}", "--reward_model.device=cpu",
        f"--dataset.repo_id={REPO_ID}", f"--dataset.root={data}", "--dataset.eval_split=0.16",
        f"--steps={steps}", f"--eval_steps={steps}", f"--save_freq={steps // 2}", "--batch_size=32", "--num_workers=0",
        "--env_eval_freq=0", "--log_freq=10", "--seed=1", f"--output_dir={output}",
    ]  # fmt: skip
    run_train(monkeypatch, [*arguments, *options])
    return output / "checkpoints" / "last" / "pretrained_model"
