"""Give a trained policy depth cameras, or a new calibration of those it has; writes a copy of its checkpoint.

    python examples/attach_depth_camera.py --policy=outputs/student/checkpoints/last/pretrained_model \
        --cameras=cameras.yaml --output=outputs/student-on-my-robot

For policies that were trained on clouds without `--policy.depth_to_cloud`, and for cameras that were moved since.
The clouds must mean the same as in training: frame, crop and, if the policy sees color, colors.
"""

import argparse
import shutil
from pathlib import Path

from lerobot.configs.policies import PreTrainedConfig
from lerobot.processor import PolicyProcessorPipeline

import lerobot_policy_sdm  # noqa: F401  (registers policy types and processor steps)
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.pipelines import check_pipelines
from lerobot_sdm.policies.source.description import describe
from lerobot_sdm.processors.depth_config import DepthToCloudConfig, read_depth_config
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep
from lerobot_sdm.processors.point_cloud_step import PointCloudProcessorStep

PIPELINE = "policy_preprocessor"


def attach(policy: Path, cameras: DepthToCloudConfig, output: Path) -> None:
    """Copy a checkpoint with the cameras in its preprocessor and configuration.

    Args:
        policy: A `pretrained_model` folder.
        cameras: The cameras.
        output: Folder to create; it appears whole or not at all.

    Raises:
        InputError: No policy that sees clouds, an unsafe pipeline, colors are missing, or the output exists.
    """
    if output.exists():
        raise InputError(f"--output={output}: exists already. Choose another folder, or remove it first.")
    if not (policy / f"{PIPELINE}.json").is_file():
        raise InputError(f"--policy={policy}: holds no {PIPELINE}.json, so it is no policy's folder.")
    config = PreTrainedConfig.from_pretrained(policy)
    check_pipelines(str(policy))
    pipeline = PolicyProcessorPipeline.from_pretrained(policy, config_filename=f"{PIPELINE}.json")
    steps = [step for step in pipeline.steps if not isinstance(step, DepthToPointCloudStep)]
    before = next((place for place, step in enumerate(steps) if isinstance(step, PointCloudProcessorStep)), None)
    if before is None:
        raise InputError(f"--policy={policy}: a policy of type '{config.type}' sees no point clouds.")
    network = getattr(config, "network_config", config)  # A student's is described apart.
    if cameras.channels < network.cloud_channels:
        raise InputError(f"--policy={policy}: sees colors. Give every camera a color_key.")
    steps.insert(before, DepthToPointCloudStep.from_config(cameras))
    pipeline.steps = steps
    network.depth_to_cloud = cameras
    if network is not config:
        config.network = describe(network)

    unfinished = output.with_name(f".{output.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    # The pipeline is written anew: its files are numbered by step.
    shutil.copytree(policy, unfinished, ignore=shutil.ignore_patterns(f"{PIPELINE}*"))
    pipeline.save_pretrained(unfinished, config_filename=f"{PIPELINE}.json")
    config._save_pretrained(unfinished)
    unfinished.rename(output)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--policy", type=Path, required=True, help="pretrained_model folder of a checkpoint")
    parser.add_argument("--cameras", type=Path, required=True, help="YAML or JSON file that describes the cameras")
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    options = parser.parse_args(arguments)
    try:
        attach(options.policy, read_depth_config(options.cameras), options.output)
    except InputError as error:
        parser.exit(2, f"Error: {error}\n")
    print(f"Wrote {options.output}")


if __name__ == "__main__":
    main()
