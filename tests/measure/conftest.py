"""A tiny dataset, and real teacher and student checkpoints for it, made with LeRobot's own functions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

REPO_ID = "local/tiny"
FRAMES = (12, 9)  # of the two episodes


@dataclass(frozen=True)
class Checkpoints:
    dataset: Path
    teacher: Path
    student: Path
    other_units: Path  # a teacher whose action normalization differs


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Checkpoints:
    root = tmp_path_factory.mktemp("tiny")
    dataset = make_dataset(root / "data")
    teacher = save_policy("dp3", dataset, root / "teacher")
    return Checkpoints(
        dataset=dataset,
        teacher=teacher,
        student=save_policy("sdm", dataset, root / "student", teacher_path=str(teacher)),
        other_units=save_policy("dp3", dataset, root / "other", action_scale=3.0),
    )


def make_dataset(root: Path) -> Path:
    """Two short episodes of random clouds, states (9,) and actions (4,)."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    features = {
        "observation.state": {"dtype": "float32", "shape": (9,), "names": None},
        "observation.point_cloud": {"dtype": "float32", "shape": (16, 3), "names": None},
        "action": {"dtype": "float32", "shape": (4,), "names": None},
    }
    dataset = LeRobotDataset.create(REPO_ID, fps=80, features=features, root=root, use_videos=False)
    random = np.random.default_rng(0)
    for frames in FRAMES:
        for _ in range(frames):
            dataset.add_frame(
                {
                    "observation.state": random.normal(size=9).astype(np.float32),
                    "observation.point_cloud": random.normal(size=(16, 3)).astype(np.float32),
                    "action": random.uniform(-1, 1, size=4).astype(np.float32),
                    "task": "none",
                }
            )
        dataset.save_episode()
    dataset.finalize()
    return root


def save_policy(kind: str, dataset: Path, folder: Path, action_scale: float = 1.0, **settings: str) -> Path:
    """An untrained policy with its processors, as a checkpoint; a student's settings are its teacher's."""
    from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
    from lerobot.policies import make_policy_config, make_pre_post_processors
    from lerobot.policies.factory import get_policy_class
    from lerobot.utils.feature_utils import dataset_to_policy_features

    import lerobot_policy_sdm  # noqa: F401  (registers the policy types)

    metadata = LeRobotDatasetMetadata(REPO_ID, root=dataset)
    for name in ("min", "max"):
        metadata.stats["action"][name] = metadata.stats["action"][name] * action_scale
    torch.manual_seed(0)
    settings = settings or {"down_dims": (8, 16), "blocks_per_level": 1, "horizon": 4, "n_action_steps": 3}
    config = make_policy_config(kind, device="cpu", push_to_hub=False, **settings)
    features = dataset_to_policy_features(metadata.features)
    config.output_features = {"action": features.pop("action")}
    config.input_features = features
    policy = get_policy_class(kind)(config)
    folder.mkdir()
    policy.save_pretrained(folder)
    for pipeline in make_pre_post_processors(config, dataset_stats=metadata.stats):
        pipeline.save_pretrained(folder)
    return folder
