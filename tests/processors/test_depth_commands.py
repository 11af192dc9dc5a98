"""One policy under LeRobot's own commands: trained on depth images, evaluated and rolled out with a depth camera."""

import json
import sys

import depth_world
import numpy as np
import pytest
from depth_datasets import REPO_ID
from depth_world import COLOUR_KEY, CROP, DEPTH_KEY
from lerobot.configs.policies import PreTrainedConfig
from lerobot_commands import SMALL_DP3, lerobot_train
from safetensors.torch import load_file

from lerobot_sdm.processors.depth_config import read_depth_config


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, depth_dataset, cameras_file):
    with pytest.MonkeyPatch.context() as patch:
        return lerobot_train(
            patch,
            depth_dataset,
            tmp_path_factory.mktemp("runs") / "depth",
            *SMALL_DP3,
            "--policy.type=dp3",
            "--policy.use_color=true",
            f"--policy.depth_to_cloud={cameras_file}",
            f"--dataset.repo_id={REPO_ID}",
            steps=2,
            save_freq=2,
        )


def test_training_on_depth_images_leaves_a_policy_that_knows_its_camera(checkpoint, cameras_file):
    config = PreTrainedConfig.from_pretrained(checkpoint)
    assert config.depth_to_cloud == read_depth_config(cameras_file)
    assert config.input_features["observation.point_cloud"].shape == (128, 6)
    assert not config.image_features
    steps = json.loads((checkpoint / "policy_preprocessor.json").read_text())["steps"]
    names = [step["registry_name"] for step in steps]
    assert (
        names.index("depth_to_point_cloud") < names.index("point_cloud_processor") < names.index("normalizer_processor")
    )


def test_the_crop_decides_how_clouds_are_normalised(checkpoint):
    (file,) = checkpoint.glob("policy_preprocessor*normalizer*.safetensors")
    statistics = load_file(file)
    np.testing.assert_allclose(statistics["observation.point_cloud.min"], [*CROP[0], 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(statistics["observation.point_cloud.max"], [*CROP[1], 255, 255, 255], rtol=1e-6)


def test_evaluation_with_a_depth_camera(tmp_path, monkeypatch, checkpoint, cameras_file):
    """The environment calls its images by other names: LeRobot's --rename_map comes first."""
    from lerobot.scripts.lerobot_eval import main

    names = {"observation.depth": DEPTH_KEY, "observation.image": COLOUR_KEY}
    arguments = [
        f"--policy.path={checkpoint}",
        "--policy.device=cpu",
        "--env.type=depth_world",
        "--eval.n_episodes=2",
        "--eval.batch_size=2",
        f"--rename_map={json.dumps(names)}",
        f"--output_dir={tmp_path / 'eval'}",
        "--seed=3",
    ]
    monkeypatch.setattr(sys, "argv", ["lerobot-eval", *arguments])
    main()
    assert json.loads((tmp_path / "eval/eval_info.json").read_text())["overall"]["n_episodes"] == 2


def test_rollout_on_a_robot_with_a_depth_camera(tmp_path, monkeypatch, checkpoint):
    from lerobot.scripts.lerobot_rollout import main

    log = tmp_path / "actions.txt"
    arguments = [
        f"--policy.path={checkpoint}",
        "--policy.device=cpu",
        f"--robot.type={depth_world.DepthWorldRobotConfig().type}",
        f"--robot.log={log}",
        "--task=push",
        "--fps=10",
        "--duration=1",
        "--return_to_initial_position=false",
    ]
    monkeypatch.setattr(sys, "argv", ["lerobot-rollout", *arguments])
    main()
    actions = np.loadtxt(log)
    assert len(actions) >= 2
    assert np.isfinite(actions).all()
