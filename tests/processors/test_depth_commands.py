"""One policy under LeRobot's own commands: trained on depth images, evaluated and rolled out with a depth camera."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import depth_world
import numpy as np
import pytest
import torch
import yaml
from depth_datasets import REPO_ID
from depth_world import COLOR_KEY, CROP, DEPTH_KEY
from lerobot.configs.policies import PreTrainedConfig
from lerobot.processor import PolicyProcessorPipeline
from lerobot_commands import SMALL_DP3, lerobot_eval, lerobot_train
from safetensors.torch import load_file

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig
from lerobot_sdm.policies.sdm.processor_sdm import make_sdm_pre_post_processors
from lerobot_sdm.processors.depth_config import read_depth_config
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep


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


def test_a_student_inherits_its_teachers_camera(checkpoint, cameras_file):
    student = SDMConfig(teacher_path=str(checkpoint))
    assert student.network_config.depth_to_cloud == read_depth_config(cameras_file)
    preprocessor, _ = make_sdm_pre_post_processors(student)
    assert any(isinstance(step, DepthToPointCloudStep) for step in preprocessor.steps)


def test_the_crop_decides_how_clouds_are_normalized(checkpoint):
    (file,) = checkpoint.glob("policy_preprocessor*normalizer*.safetensors")
    statistics = load_file(file)
    np.testing.assert_allclose(statistics["observation.point_cloud.min"], [*CROP[0], 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(statistics["observation.point_cloud.max"], [*CROP[1], 255, 255, 255], rtol=1e-6)


def test_evaluation_with_a_depth_camera(tmp_path, monkeypatch, checkpoint, cameras_file):
    """The environment calls its images by other names: LeRobot's --rename_map comes first."""
    names = {"observation.depth": DEPTH_KEY, "observation.image": COLOR_KEY}
    arguments = ("--env.type=depth_world", f"--rename_map={json.dumps(names)}", "--seed=3")
    assert lerobot_eval(monkeypatch, checkpoint, tmp_path / "eval", *arguments)["overall"]["n_episodes"] == 2


def test_a_new_calibration_is_attached_to_a_checkpoint(tmp_path, checkpoint, cameras_file):
    """Only the camera changes: weights, statistics and the other steps stay."""
    fields = yaml.safe_load(cameras_file.read_text())
    fields["cameras"][0]["extrinsics"][2][3] += 0.25
    moved = tmp_path / "moved.yaml"
    moved.write_text(yaml.safe_dump(fields))
    attach = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "attach_depth_camera.py"))["main"]
    attach([f"--policy={checkpoint}", f"--cameras={moved}", f"--output={tmp_path / 'copy'}"])

    before, after = (
        PolicyProcessorPipeline.from_pretrained(folder, config_filename="policy_preprocessor.json")
        for folder in (checkpoint, tmp_path / "copy")
    )
    assert [type(step) for step in after.steps] == [type(step) for step in before.steps]
    step = next(step for step in after.steps if isinstance(step, DepthToPointCloudStep))
    assert step.config == read_depth_config(moved) == PreTrainedConfig.from_pretrained(tmp_path / "copy").depth_to_cloud
    state, expected = after.steps[-1].state_dict(), before.steps[-1].state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert len(list((tmp_path / "copy").glob("policy_preprocessor*"))) == 2
    weights = "model.safetensors"
    assert (tmp_path / "copy" / weights).read_bytes() == (checkpoint / weights).read_bytes()

    student = tmp_path / "student"
    shutil.copytree(checkpoint, student)
    SDMConfig(teacher_path=str(checkpoint))._save_pretrained(student)
    attach([f"--policy={student}", f"--cameras={moved}", f"--output={tmp_path / 'of_student'}"])
    network = PreTrainedConfig.from_pretrained(tmp_path / "of_student").network_config
    assert network.depth_to_cloud == read_depth_config(moved)

    with pytest.raises(SystemExit):  # nothing is overwritten
        attach([f"--policy={checkpoint}", f"--cameras={moved}", f"--output={tmp_path / 'copy'}"])
    with pytest.raises(SystemExit):
        attach([f"--policy={tmp_path}", f"--cameras={moved}", f"--output={tmp_path / 'other'}"])
    assert not (tmp_path / "other").exists()


def test_a_wrong_camera_is_refused_before_training(tmp_path, monkeypatch, depth_dataset, cameras_file):
    file = tmp_path / "cameras.yaml"
    file.write_text(cameras_file.read_text().replace("width: 64", "width: 640"))
    options = (*SMALL_DP3, "--policy.type=dp3", f"--policy.depth_to_cloud={file}", f"--dataset.repo_id={REPO_ID}")
    with pytest.raises(InputError, match="640 columns"):
        lerobot_train(monkeypatch, depth_dataset, tmp_path / "run", *options, steps=1)


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
