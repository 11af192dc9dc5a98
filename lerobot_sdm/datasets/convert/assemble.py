"""Assembles finished blocks into a LeRobotDataset with provenance and card."""

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lerobot.configs.video import rgb_encoder_defaults
from lerobot.datasets.compute_stats import aggregate_stats
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from lerobot.datasets.io_utils import write_info, write_stats
from lerobot.utils.utils import flatten_dict
from tqdm import tqdm

from lerobot_sdm.datasets.convert.blocks import DATA, block_folder, episode_stats, video_path
from lerobot_sdm.datasets.convert.plan import Plan
from lerobot_sdm.datasets.write import PROVENANCE, finalized, save_card, train_lines, versions
from lerobot_sdm.files import write_json

EPISODES_AT_ONCE = 1000
"""Episodes per row group of LeRobot's episode table; its default of 10 makes large datasets slow to open."""
STORED_AS = {"values": "numbers", "image": "PNG, lossless", "depth": "TIFF, lossless", "video": "video, lossy"}


def assemble(plan: Plan, folder: Path, root: Path, repo_id: str) -> None:
    """Assemble the finished blocks in `folder` to a dataset in `root`; the blocks themselves stay unchanged."""
    meta = LeRobotDatasetMetadata.create(
        repo_id,
        plan.fps,
        plan.features(),
        root=root,
        use_videos=any(column.kind == "video" for column in plan.columns),
        metadata_buffer_size=EPISODES_AT_ONCE,
    )
    with finalized(meta):
        _write(meta, plan, folder, root)
    told = provenance(plan)
    write_json(root / PROVENANCE, told)
    save_card(root, meta.info, repo_id, _description(repo_id, told), ["point-cloud"] if "clouds" in told else [])


def _write(meta: LeRobotDatasetMetadata, plan: Plan, folder: Path, root: Path) -> None:
    """Link the blocks' files into a dataset, and write its metadata."""
    videos = meta.video_keys
    meta.save_episode_tasks([plan.task])
    for block in tqdm(plan.blocks(), desc="assembling", unit="file"):
        place = block.place
        source = block_folder(folder, block)
        _link(source / DATA, root / meta.data_path.format(**place))
        for key in videos:
            _link(video_path(source, key), root / meta.video_path.format(video_key=key, **place))
            if block.index == 0:
                meta.update_video_info(key, video_encoder=rgb_encoder_defaults())
        described = list(episode_stats(folder, block))
        for episode, stats in zip(block.episodes, described, strict=True):
            start, stop = plan.span(episode)
            entry = {"episode_index": episode, "tasks": [plan.task], "length": stop - start}
            entry |= {f"data/{name}": value for name, value in place.items()}
            entry |= {"dataset_from_index": start, "dataset_to_index": stop}
            for key in videos:
                entry |= {f"videos/{key}/{name}": value for name, value in place.items()}
                begin, end = plan.video_span(block, episode)
                entry |= {f"videos/{key}/from_timestamp": begin, f"videos/{key}/to_timestamp": end}
            # `save_episode` would also rewrite info.json and stats.json for each episode.
            meta._save_episode_metadata(entry | flatten_dict({"stats": stats}))
        meta.stats = aggregate_stats([*([] if meta.stats is None else [meta.stats]), *described])
    meta.info.total_episodes, meta.info.total_frames = len(plan.ends), plan.frames
    meta.info.total_tasks = len(meta.tasks)
    meta.info.splits = {"train": f"0:{len(plan.ends)}"}
    write_info(meta.info, root)
    write_stats(meta.stats, root)


def provenance(plan: Plan) -> dict[str, Any]:
    """The source of every column of the dataset."""
    return {
        "converted_from": {
            "name": plan.store.name,
            "format": plan.store.kind,
            "episodes": len(plan.ends),
            "frames": plan.frames,
            **plan.facts["source"],
        },
        **{key: value for key, value in plan.facts.items() if key != "source" and value},
        "fps": plan.fps,
        "task": plan.task,
        "columns": [
            {
                "column": column.key,
                "sources": [
                    {
                        "array": f"data/{part.origin}",
                        "shape": list(plan.store.arrays[part.array].shape[1:]),
                        "dtype": plan.store.arrays[part.array].dtype.name,
                    }
                    for part in column.parts
                ],
                "shape": list(column.shape),
                "dtype": column.dtype.name,
                "stored_as": STORED_AS[column.kind],
            }
            | ({"turned": "(channels, points) became (points, channels)"} if column.is_turned else {})
            | ({"scaled": "colors of 0 to 1 became 0 to 255"} if column.unit_colors else {})
            | ({"resampled": f"to {column.points} points, farthest first"} if column.points else {})
            for column in plan.columns
        ],
        "versions": versions() | {"zarr": version("zarr")},
    }


def _link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if the file system does not support hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _description(repo_id: str, told: Mapping[str, Any]) -> str:
    source = told["converted_from"]
    lines = [
        f"{source['episodes']} demonstrations of `{told['task']}`, {source['frames']} frames at {told['fps']} Hz, "
        f"converted by `lerobot-sdm convert` from the store `{source['name']}` ({source['format']}).",
        "",
        f"- Source: SHA-256 `{source['sha256']}` over the names and contents of its files, {source['bytes']} bytes.",
        f"- Layout: {told['layout']}.",
    ]
    for key, cloud in told.get("clouds", {}).items():
        said = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in cloud.items())
        lines.append(f"- `{key}`: {said}.")
    if "notes" in told:
        lines.append(f"- {told['notes']}")
    lines += [f"- When it was converted, {sentence}" for sentence in told.get("lacks", [])]
    lines += ["", "| column | shape | from | stored as |", "| --- | --- | --- | --- |"]
    for column in told["columns"]:
        extra = "".join(f"; {column[name]}" for name in ("turned", "scaled", "resampled") if name in column)
        sources = ", ".join(f"`{part['array']}` {tuple(part['shape'])} {part['dtype']}" for part in column["sources"])
        lines.append(
            f"| `{column['column']}` | {tuple(column['shape'])} {column['dtype']} | {sources} | "
            f"{column['stored_as']}{extra} |"
        )
    if "clouds" in told:
        lines += train_lines(repo_id)
    return "\n".join(lines)
