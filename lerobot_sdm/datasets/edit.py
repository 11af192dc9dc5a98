"""Removes episodes from datasets, joins, splits, and relabels them with LeRobot's tools. Sources never change."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lerobot.datasets import delete_episodes, merge_datasets, modify_tasks, recompute_stats, split_dataset
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.utils.constants import DEFAULT_FEATURES

from lerobot_sdm.datasets import matrix_columns
from lerobot_sdm.datasets.damage import INFO, open_checked
from lerobot_sdm.datasets.disk import disk_full_is_an_input_error
from lerobot_sdm.datasets.names import check_new_dataset
from lerobot_sdm.datasets.stale_stats import lacks_stats, without_stale_stats
from lerobot_sdm.datasets.write import VIDEO_BACKEND, save_card, versions, write_provenance
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.cloud_view import read_provenance, recorded_view

Splits = Mapping[str, float | Collection[int]]


@dataclass(frozen=True)
class DatasetEdit:
    """The edits to make, applied in the order of the attributes.

    Attributes:
        sources: Folders of datasets, joined in this order if there are several. They stay unchanged.
        root: Folder to create.
        repo_id: Name of the new dataset; defaults to `local/` and the folder's name.
        delete: Episodes to remove, counted from 0 over all sources.
        keep: Episodes to keep instead; empty for all.
        task: New task of every episode.
        rename: Old task -> new task.
        splits: Name -> share of the episodes, in order, or a list of episodes; each becomes a folder in `root`.
        stats: Whether to recompute the statistics of all numeric columns.
    """

    sources: tuple[Path, ...]
    root: Path
    repo_id: str | None = None
    delete: tuple[int, ...] = ()
    keep: tuple[int, ...] = ()
    task: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    splits: Splits = field(default_factory=dict)
    stats: bool = False

    @property
    def name(self) -> str:
        """Name of the new dataset."""
        return self.repo_id or f"local/{self.root.resolve().name}"


def edit_dataset(edit: DatasetEdit) -> list[Path]:
    """Make new datasets from existing ones. A new dataset appears under its name only when it is complete.

    Returns:
        The folders: one, or one for each split.

    Raises:
        InputError: A value is invalid, the sources differ in their columns, or one cannot be read.
    """
    matrix_columns.register()
    _check(edit)
    work = edit.root.parent / f".{edit.root.resolve().name}.editing"
    shutil.rmtree(work, ignore_errors=True)
    sources = [open_dataset(path) for path in edit.sources]
    for path in edit.sources:
        if edit.root.resolve().is_relative_to(path.resolve()):
            raise InputError(f"--root={edit.root}: is in {path}, which must not change. Choose a folder outside.")
    episodes = sum(source.meta.total_episodes for source in sources)
    gone = _deleted(edit, episodes)
    splits = _split_episodes(edit.splits, episodes - len(gone))
    with disk_full_is_an_input_error(edit.root, resumes=False):
        try:
            work.mkdir(parents=True)
            sources = [without_stale_stats(source, work / f"source_{i}") for i, source in enumerate(sources)]
            dataset = _joined(edit, sources, work)
            if gone:
                dataset = delete_episodes(dataset, sorted(gone), work / "kept", edit.name)
            dataset = _relabeled(edit, dataset, sources, work)
            parts = split_dataset(dataset, splits, work / "split") if splits else {"": dataset}
            for part in parts.values():
                if edit.stats or lacks_stats(part):
                    recompute_stats(part)
                _describe(edit, part, sources, gone)
            finished = work / "split" if splits else dataset.root
            finished.rename(edit.root)
        except ValueError as error:  # raised by LeRobot
            raise InputError(f"{', '.join(map(str, edit.sources))}: {error}") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return [edit.root / name for name in parts]


def open_dataset(path: Path) -> LeRobotDataset:
    """Open the dataset in a folder.

    Raises:
        InputError: The folder is not a dataset, or cannot be read.
    """
    if not (path / INFO).is_file():
        raise InputError(f"{path}: not a LeRobot dataset, because it has no {INFO}. Give the folder of one.")
    return open_checked(f"local/{path.resolve().name}", path, video_backend=VIDEO_BACKEND)


def _check(edit: DatasetEdit) -> None:
    check_new_dataset(edit.root)
    if edit.delete and edit.keep:
        raise InputError("--delete and --keep: cannot be combined. Give one of the two.")
    if edit.task is not None and not edit.task.strip():
        raise InputError("--task: must not be empty. Give a description of the task.")
    if edit.task is not None and edit.rename:
        raise InputError("--task and --rename-task: cannot be combined. Give one of the two.")
    changes = (edit.delete, edit.keep, edit.task, edit.rename, edit.splits, edit.stats)
    if len(edit.sources) < 2 and not any(changes):
        raise InputError(
            "Nothing to do. Give --delete, --keep, --task, --rename-task, --split or --recompute-stats, or "
            "several datasets to join."
        )


def _deleted(edit: DatasetEdit, episodes: int) -> set[int]:
    """The episodes to remove."""
    option, named = ("--keep", set(edit.keep)) if edit.keep else ("--delete", set(edit.delete))
    unknown = sorted(named - set(range(episodes)))
    if unknown:
        raise InputError(f"{option}={unknown[0]}: no such episode. Give numbers from 0 to {episodes - 1}.")
    gone = set(range(episodes)) - named if edit.keep else named
    if len(gone) == episodes:
        raise InputError(f"--delete: names all {episodes} episodes. Keep at least one.")
    return gone


def _split_episodes(splits: Splits, episodes: int) -> dict[str, list[int]]:
    """The episodes of each split, among those that remain."""
    chosen: dict[str, list[int]] = {}
    start, shares = 0, [share for share in splits.values() if isinstance(share, float)]
    if shares and len(shares) < len(splits):
        raise InputError("--split: mixes shares and lists of episodes. Give shares for all splits, or lists for all.")
    if sum(shares) > 1 + 1e-9:
        raise InputError(f"--split: the shares add up to {sum(shares):g}. Give 1 or less.")
    for name, part in splits.items():
        if isinstance(part, float):
            stop = round(sum(shares[: len(chosen) + 1]) * episodes)
            part, start = range(start, stop), stop
        unknown = sorted(set(part) - set(range(episodes)))
        taken = {episode for other in chosen.values() for episode in other}
        if unknown or not part or taken & set(part):
            wrong = f"episode {unknown[0]} is not in 0 to {episodes - 1}" if unknown else "no episode is left for it"
            if taken & set(part):
                wrong = f"episode {min(taken & set(part))} is already in another split"
            raise InputError(f"--split={name}: {wrong}.")
        chosen[name] = sorted(part)
    return chosen


def _joined(edit: DatasetEdit, sources: list[LeRobotDataset], work: Path) -> LeRobotDataset:
    first = sources[0]
    for path, other in zip(edit.sources[1:], sources[1:], strict=True):
        for what in ("fps", "robot_type"):
            mine, theirs = getattr(other.meta, what), getattr(first.meta, what)
            if mine != theirs:
                raise InputError(f"{path}: has {what} {mine}, but {edit.sources[0]} has {theirs}. Both must agree.")
        for key in sorted((first.features.keys() | other.features.keys()) - set(DEFAULT_FEATURES)):
            kinds = [_kind(dataset.features.get(key)) for dataset in (other, first)]
            if kinds[0] != kinds[1]:
                raise InputError(
                    f"'{key}' is {kinds[0]} in {path} and {kinds[1]} in {edit.sources[0]}. Only datasets with the same "
                    "columns can be joined; `lerobot-edit-dataset --operation.type=remove_feature` drops one."
                )
    return first if len(sources) == 1 else merge_datasets(sources, edit.name, work / "joined")


def _kind(feature: Mapping[str, Any] | None) -> str:
    return "missing" if feature is None else f"{feature['dtype']} {tuple(feature['shape'])}"


def _relabeled(edit: DatasetEdit, dataset: LeRobotDataset, sources: list[LeRobotDataset], work: Path) -> LeRobotDataset:
    """The dataset with its new tasks, in its own folder: LeRobot relabels and recomputes statistics in place."""
    unknown = sorted(set(edit.rename) - set(dataset.meta.tasks.index))
    if unknown:
        known = ", ".join(map(repr, dataset.meta.tasks.index))
        raise InputError(f"--rename-task={unknown[0]}: no such task. The tasks are {known}.")
    relabels = edit.task is not None or bool(edit.rename)
    if dataset is sources[0] and (relabels or not edit.splits):
        shutil.copytree(dataset.root, work / "copy")
        dataset = LeRobotDataset(edit.name, root=work / "copy", video_backend=VIDEO_BACKEND)
    if not relabels:
        return dataset
    return modify_tasks(dataset, new_task=edit.task, task_replacements=dict(edit.rename) or None)


def _describe(edit: DatasetEdit, dataset: LeRobotDataset, sources: list[LeRobotDataset], gone: set[int]) -> None:
    """Write the dataset's provenance and card."""
    origins = [
        {"name": path.resolve().name, "episodes": source.meta.total_episodes, "frames": source.meta.total_frames}
        | ({"provenance": told} if (told := read_provenance(path)) else {})
        for path, source in zip(edit.sources, sources, strict=True)
    ]
    changes = {
        "left_out": sorted(gone),
        "task": edit.task,
        "renamed": dict(edit.rename),
        "splits": {name: part if isinstance(part, float) else sorted(part) for name, part in edit.splits.items()},
        "statistics": "recomputed" if edit.stats else None,
    }
    changes = {name: value for name, value in changes.items() if value}
    views = [recorded_view(source.root) for source in sources]
    common = {"view": views[0]} if views[0] and all(view == views[0] for view in views) else {}
    told = {"edited_from": origins, **common, **changes, "versions": versions()}
    write_provenance(dataset.root, told)  # Sources may have been recorded when folders were still written.
    names = ", ".join(f"`{origin['name']}` ({origin['episodes']} episodes)" for origin in origins)
    lines = [f"Made with `lerobot-sdm edit-dataset` from {names}.", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in changes.items()]
    lines += ["- Where the episodes come from: `meta/provenance.json`."]
    cloud = any("point_cloud" in key or "pointcloud" in key for key in dataset.features)
    save_card(dataset.root, dataset.meta.info, edit.name, "\n".join(lines), ["point-cloud"] if cloud else [])
