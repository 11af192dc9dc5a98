"""Writes recorded episodes as a LeRobotDataset with provenance and card, and verifies it by reading it back."""

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.types import FeatureType
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import create_lerobot_dataset_card
from lerobot.envs.configs import EnvConfig
from lerobot.utils.utils import SuppressProgressBars
from tqdm import tqdm

from lerobot_sdm.cards.privacy import without_folders
from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.datasets.checks import check_finite
from lerobot_sdm.datasets.episodes import Episode, shown_points
from lerobot_sdm.datasets.progress import BAR_DELAY
from lerobot_sdm.envs.options import view_sentence
from lerobot_sdm.errors import InputError
from lerobot_sdm.files import write_json
from lerobot_sdm.processors.cloud_view import PROVENANCE
from lerobot_sdm.versions import installed_versions

# Arrays need no video decoder; naming one keeps LeRobot from searching for the best.
VIDEO_BACKEND = "pyav"


def versions() -> dict[str, str]:
    """Versions of everything that determines the content of a recording."""
    return installed_versions(
        ("lerobot_policy_sdm", "lerobot", "metaworld", "gymnasium-robotics", "mujoco", "gymnasium", "numpy")
    )


def dataset_features(env_config: EnvConfig) -> dict[str, dict[str, Any]]:
    """LeRobot feature descriptions of the columns that an environment records."""
    features = {}
    for key, feature in env_config.features.items():
        dtype = "image" if feature.type is FeatureType.VISUAL else "float32"
        features[env_config.features_map[key]] = {"dtype": dtype, "shape": tuple(feature.shape), "names": None}
    features["next.reward"] = {"dtype": "float32", "shape": (1,), "names": None}
    features["next.success"] = {"dtype": "bool", "shape": (1,), "names": None}
    return features


def describe_demonstrations(repo_id: str, env_config: EnvConfig, provenance: Mapping[str, Any]) -> str:
    """Text of the card of recorded demonstrations."""
    episodes = provenance["episodes"]
    expert = ", ".join(f"{key} {value}" for key, value in provenance["expert"].items())
    return "\n".join(
        (
            f"{len(episodes)} demonstrations of `{provenance['task']}` ({provenance['task_description']}), "
            f"{sum(episode['frames'] for episode in episodes)} frames at {env_config.fps} Hz, recorded by "
            f"`lerobot-sdm record --env.type={env_config.type} --env.task={provenance['task']}`.",
            "",
            f"- Expert: {expert}; {len(provenance['failed'])} failed episodes are not included.",
            f"- View: {view_sentence(provenance['view'])}",
            f"- Seeds: {episodes[0]['seed']} to {episodes[-1]['seed']}.",
            "- Settings of environment and filter, and versions: `meta/provenance.json`.",
            *train_lines(repo_id),
        )
    )


@contextlib.contextmanager
def new_dataset(folder: Path, root: Path) -> Iterator[Path]:
    """Yield a folder to write a dataset to, which becomes `root` at the end. An error leaves what `folder` collects
    for a resumed call.

    Args:
        folder: Where episodes or blocks are collected; deleted at the end.
        root: Folder of the dataset.

    Raises:
        InputError: The dataset's folder exists by now.
    """
    for interrupted in folder.glob("dataset-*"):
        shutil.rmtree(interrupted, ignore_errors=True)
    # A new name, because what is left of an interrupted call may still write under the earlier one.
    unfinished = folder / f"dataset-{uuid.uuid4().hex}"
    yield unfinished
    if root.exists():
        raise InputError(f"--root={root}: was created in the meantime. Move it, and rerun the command.")
    unfinished.rename(root)
    shutil.rmtree(folder)


@contextlib.contextmanager
def finalized(*writers: LeRobotDataset | LeRobotDatasetMetadata) -> Iterator[None]:
    """Finalize what writes a dataset at the end of the block, after an error too.

    Garbage collection would do it otherwise, at any later time, and write episodes into a folder that by then is
    deleted or belongs to a repeated call.
    """
    try:
        yield
    except BaseException:
        for writer in writers:
            with contextlib.suppress(Exception):  # The first error tells the cause.
                writer.finalize()
        raise
    for writer in writers:
        writer.finalize()


def write(
    root: Path,
    repo_id: str,
    env_config: EnvConfig,
    paths: Sequence[Path],
    facts: Mapping[str, Any],
    describe: Callable[[str, EnvConfig, Mapping[str, Any]], str] = describe_demonstrations,
) -> None:
    """Write episodes as a LeRobotDataset, and read it back.

    Args:
        root: Folder to create.
        repo_id: Name of the dataset.
        env_config: Where the episodes come from.
        paths: The episodes' files, in order.
        facts: Entries of the provenance besides the episodes and versions.
        describe: (repo id, environment, provenance) -> text of the card, in Markdown.

    Raises:
        InputError: An episode contains NaN or infinity.
        RuntimeError: What is read back differs.
    """
    dataset = LeRobotDataset.create(
        repo_id,
        env_config.fps,
        dataset_features(env_config),
        root=root,
        use_videos=False,
        video_backend=VIDEO_BACKEND,
    )
    episodes, looks = [], []
    with finalized(dataset, dataset.meta):
        for number, path in enumerate(tqdm(paths, desc="Writing", unit="episode", delay=BAR_DELAY)):
            episode = Episode.load(path)
            looks += episode.points
            episodes.append(_add(dataset, number, episode, facts["task_description"]))
    told = {**facts, "episodes": episodes, "points": shown_points(looks), "versions": versions()}
    provenance = write_provenance(root, told)
    tags = [env_config.type, *(["point-cloud"] if "point_cloud" in env_config.features else [])]
    save_card(root, dataset.meta.info, repo_id, describe(repo_id, env_config, provenance), tags)
    verify(root, repo_id, paths)


def _add(dataset: LeRobotDataset, number: int, episode: Episode, task: str) -> dict[str, Any]:
    """Add an episode to a dataset; returns its entry in the provenance."""
    length = len(episode.frames["action"])
    for key, values in episode.frames.items():
        check_finite(key, values, np.full(length, number), np.arange(length), dataset.repo_id)
    for row in range(length):
        dataset.add_frame({**{key: values[row] for key, values in episode.frames.items()}, "task": task})
    with SuppressProgressBars():
        dataset.save_episode()
    attempt = episode.attempt
    return {
        "attempt": attempt.index,
        "seed": attempt.seed,
        "variant": attempt.variant,
        "frames": length,
        "success_steps": episode.success_steps,
    }


def write_provenance(root: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """Write a dataset's provenance and return it: `told` as JSON, without the folders of this machine."""
    public = without_folders(json.loads(json.dumps(told, default=str)))
    write_json(root / PROVENANCE, public)
    return public


def save_card(root: Path, info: Any, repo_id: str, text: str, tags: Sequence[str]) -> None:
    """Write the card of a dataset, of which `info` is the metadata's, in the folder `root`."""
    card = create_lerobot_dataset_card(
        tags=["robotics", *tags], dataset_info=info, repo_id=repo_id, dataset_description=text
    )
    card.save(root / "README.md")


def train_lines(repo_id: str) -> list[str]:
    """The last lines of a card: how to train on it."""
    return [
        "",
        "Train on it:",
        "",
        "```bash",
        f"lerobot-train --policy.type=dp3 --policy.push_to_hub=false --dataset.repo_id={repo_id} \\",
        "  --dataset.root=<this folder> --output_dir=outputs/dp3",
        "```",
    ]


def verify(root: Path, repo_id: str, paths: Sequence[Path]) -> None:
    """Read a written dataset back and compare it with its source episodes.

    Raises:
        RuntimeError: Episodes or frames are missing, or the first or last frame of one differs in any bit.
        InputError: A value is NaN or infinite.
    """
    dataset = CachedLeRobotDataset(repo_id, root=root, video_backend=VIDEO_BACKEND)
    if dataset.num_episodes != len(paths):
        raise RuntimeError(f"{repo_id}: read back {dataset.num_episodes} of {len(paths)} written episodes.")
    first = 0
    for number, path in enumerate(tqdm(paths, desc="Reading back", unit="episode", delay=BAR_DELAY)):
        frames = Episode.load(path).frames
        length = len(frames["action"])
        for row in (0, length - 1):
            item = dataset[first + row]
            same = item["episode_index"] == number and item["frame_index"] == row
            same = same and all(_same(values[row], item[key]) for key, values in frames.items())
            if not same:
                raise RuntimeError(f"{repo_id}: episode {number}, frame {row} differs after reading it back.")
        first += length
    if len(dataset) != first:
        raise RuntimeError(f"{repo_id}: read back {len(dataset)} of {first} written frames.")


def _same(written: np.ndarray, read: torch.Tensor) -> bool:
    expected = torch.from_numpy(np.ascontiguousarray(written))
    if expected.dtype == torch.uint8:
        expected = expected.permute(2, 0, 1).to(read.dtype).div(255)
    return torch.equal(expected.reshape(read.shape), read)
