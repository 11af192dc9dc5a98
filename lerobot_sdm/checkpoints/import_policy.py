"""Imports a checkpoint of DP3, Simple DP3, SDM, or ManiCM as a LeRobot policy directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lerobot.processor import PolicyProcessorPipeline

from lerobot_sdm.checkpoints.original_format import WEIGHTS, OriginalCheckpoint, read_checkpoint
from lerobot_sdm.checkpoints.original_policy import is_student, policy_config, sees_imagined_robot
from lerobot_sdm.checkpoints.original_weights import model_weights, statistics
from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError, refuse_existing
from lerobot_sdm.files import new_folder, sha256, write_json
from lerobot_sdm.nets.trimmed_convolution import whole_size
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model, DP3Policy
from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors
from lerobot_sdm.policies.sdm.modeling_sdm import SDMPolicy
from lerobot_sdm.policies.source.files import PROCESSOR_FILES
from lerobot_sdm.processors.imagined_robot import ImaginedRobotProcessorStep
from lerobot_sdm.processors.normalization import Stats
from lerobot_sdm.processors.point_cloud_step import PointCloudProcessorStep
from lerobot_sdm.safe_files.torch_archive import TorchArchive

IMPORT_FILE = "import.json"
"""File next to the policy that says where it came from."""
CLOUD_WITH_COLOR = 6  # x, y, z, r, g, b
ROUNDING = 1e-4


@dataclass(frozen=True)
class Imported:
    """Summary of an imported policy.

    Args:
        kind: "dp3", "simple_dp3", "sdm", or "manicm".
        policy_type: Our policy type.
        weights: "ema" or "raw".
        task: Name of the task in the file's configuration.
        parameters: Number of parameters.
        imagined_robot: Whether the policy needs `observation.imagin_robot`.
        unit_colors: Whether it was trained with colors of 0 to 1 instead of 0 to 255, the range of this package's data.
    """

    kind: str
    policy_type: str
    weights: str
    task: str
    parameters: int
    imagined_robot: bool
    unit_colors: bool


def import_checkpoint(file: Path, output: Path, weights: str | None = None) -> Imported:
    """Write a policy directory whose policy computes the same actions as the original.

    Nothing in the file is executed. The directory appears only when it is complete.

    Args:
        file: The checkpoint.
        output: Directory to write; must not exist.
        weights: "ema" or "raw". None for those that the original code evaluates: "ema" for DP3 and Simple DP3, and
            "raw" for the students of SDM and ManiCM.

    Raises:
        InputError: The file cannot be imported, or `output` exists.
    """
    refuse_existing("--output", output)
    if not file.is_file():
        raise InputError(f"{file}: does not exist. Give a checkpoint file.")
    with TorchArchive(file) as archive:
        checkpoint = read_checkpoint(archive)
        weights = _chosen_weights(checkpoint, weights)
        entries = checkpoint.state_dicts[weights]
        config = policy_config(checkpoint, weights)
        student = is_student(checkpoint, weights)
        imagined = sees_imagined_robot(checkpoint)
        config.validate_features()
        network = config.network_config if student else config
        # On the meta device, because a malicious configuration could describe a network of any size.
        with torch.device("meta"):
            expected = DP3Model(network).state_dict()
        stats = statistics(archive, entries, network, imagined)
        tensors = model_weights(archive, entries, expected, network)
    policy = (SDMPolicy if student else DP3Policy)(config)
    policy.model.load_state_dict(tensors)
    features = {**network.input_features, **network.output_features}
    unnormalized = [key for key in features if key not in stats]
    pipelines = make_dp3_pre_post_processors(network, stats, unnormalized)
    if imagined:
        _add_imagined_robot(pipelines[0])
    facts = _facts(file, checkpoint, weights)
    with new_folder(output) as unfinished:
        policy.save_pretrained(unfinished)
        for pipeline in pipelines:
            pipeline.save_pretrained(unfinished)
        write_json(unfinished / IMPORT_FILE, facts)
        _verify(unfinished, policy, pipelines)
    return Imported(
        kind=checkpoint.kind,
        policy_type=config.type,
        weights=weights,
        task=facts["task"],
        parameters=whole_size(policy.model),
        imagined_robot=imagined,
        unit_colors=_has_unit_colors(stats),
    )


def _chosen_weights(checkpoint: OriginalCheckpoint, asked: str | None) -> str:
    """The weight set to read."""
    wanted = asked or ("raw" if is_student(checkpoint, "raw") or "ema" not in checkpoint.state_dicts else "ema")
    if wanted not in checkpoint.state_dicts:
        raise InputError(
            f"--weights={wanted}: {checkpoint.source} does not contain '{WEIGHTS[wanted]}'. It contains: "
            f"{', '.join(checkpoint.state_dicts)}."
        )
    return wanted


def _has_unit_colors(stats: Stats) -> bool:
    """Whether the normalizer was fitted to colors of 0 to 1; False if clouds are not normalized."""
    highest = stats.get(POINT_CLOUD, {}).get("max", ())
    return len(highest) == CLOUD_WITH_COLOR and max(highest[3:]) <= 1 + ROUNDING


def _add_imagined_robot(preprocessor: PolicyProcessorPipeline) -> None:
    steps = preprocessor.steps
    (cloud,) = (index for index, step in enumerate(steps) if isinstance(step, PointCloudProcessorStep))
    steps.insert(cloud + 1, ImaginedRobotProcessorStep())


def _facts(file: Path, checkpoint: OriginalCheckpoint, weights: str) -> dict[str, Any]:
    """Origin of the policy, without paths of this machine or of the one that trained it."""
    return {
        "kind": checkpoint.kind,
        "task": checkpoint.config.label("task.name"),
        "weights": weights,
        "source_file": file.name,
        "source_sha256": sha256(file),
        **checkpoint.progress,
        "imagined_robot": sees_imagined_robot(checkpoint),
        "imported_with": f"lerobot_policy_sdm {version('lerobot_policy_sdm')}",
    }


def _verify(folder: Path, policy: ChunkPolicy, pipelines: Sequence[PolicyProcessorPipeline]) -> None:
    """Read the written policy back and compare every tensor."""
    again = type(policy).from_pretrained(folder)
    pairs = [(policy.model.state_dict(), again.model.state_dict())]
    for pipeline, name in zip(pipelines, PROCESSOR_FILES, strict=True):
        loaded = PolicyProcessorPipeline.from_pretrained(folder, config_filename=name)
        pairs += [
            (step.state_dict(), copy.state_dict()) for step, copy in zip(pipeline.steps, loaded.steps, strict=True)
        ]
    for written, read in pairs:
        same = written.keys() == read.keys() and all(torch.equal(read[key].cpu(), written[key].cpu()) for key in read)
        if not same:
            raise InputError(f"{folder}: differs after reading it back. Check the disk, and import again.")
