"""The train configs of DexArt's tasks: the same for every task, readable by LeRobot, and what they train acts."""

import json
from pathlib import Path

import draccus
import pytest
import yaml
from lerobot.configs.train import TrainPipelineConfig
from lerobot_commands import SMALL_DP3, lerobot_eval, lerobot_train_config

import lerobot_policy_sdm  # noqa: F401 - registers the policies
from lerobot_sdm.envs.dexart.configuration import DexArtPointCloudEnvConfig
from lerobot_sdm.envs.dexart.tasks import DEXART_TASKS

FOLDER = Path(__file__).parents[1] / "configs/dexart"


def test_there_is_one_for_each_task_and_they_differ_in_names_alone():
    assert {path.stem for path in FOLDER.iterdir()} == {
        f"{task}_{kind}" for task in DEXART_TASKS for kind in ("dp3", "sdm")
    }
    for kind in ("dp3", "sdm"):
        texts = {(FOLDER / f"{task}_{kind}.yaml").read_text().replace(task, "TASK") for task in DEXART_TASKS}
        assert len(texts) == 1


def test_lerobot_reads_them_and_names_fit():
    config = draccus.parse(TrainPipelineConfig, config_path=FOLDER / "laptop_dp3.yaml", args=[])
    student = yaml.safe_load((FOLDER / "laptop_sdm.yaml").read_text())
    assert student["policy"]["teacher_path"].startswith(f"{config.output_dir}/")
    name = DexArtPointCloudEnvConfig(task="laptop").dataset_name("laptop")
    assert config.dataset.repo_id == f"local/{name}"
    assert student["dataset"] == yaml.safe_load((FOLDER / "laptop_dp3.yaml").read_text())["dataset"]


@pytest.mark.slow
@pytest.mark.parametrize(("taught", "tried"), [("laptop", ("laptop", "faucet", "toilet")), ("bucket", ("bucket",))])
def test_policies_are_trained_with_the_imagined_hand_and_evaluated_on_every_task(tmp_path, monkeypatch, taught, tried):
    """By LeRobot's own commands, after two steps; only the bucket's states have another size."""
    from lerobot_sdm.datasets.record import RecordConfig, record

    monkeypatch.chdir(tmp_path)
    options = {"num_points": 32, "camera_size": 24, "episode_length": 12, "imagin_robot": "joined"}
    env = DexArtPointCloudEnvConfig(task=taught, **options)
    record(RecordConfig(env=env, episodes=2, expert="still_expert:StillExpert", keep="all"))
    narrow = [flag for flag in SMALL_DP3 if "horizon" not in flag and "action_steps" not in flag]
    lerobot_train_config(monkeypatch, FOLDER / f"{taught}_dp3.yaml", *narrow)
    lerobot_train_config(monkeypatch, FOLDER / f"{taught}_sdm.yaml")
    policy = Path(f"outputs/dexart_{taught}_sdm/checkpoints/last/pretrained_model")
    features = json.loads((policy / "config.json").read_text())["input_features"]
    assert features["observation.point_cloud"]["shape"] == [96 + 32, 3]
    flags = [f"--env.{name}={value}" for name, value in options.items()]
    for task in tried:
        output = tmp_path / "evaluated" / task
        info = lerobot_eval(
            monkeypatch, policy, output, "--env.type=dexart", f"--env.task={task}", "--env.objects=unseen", *flags
        )
        assert len(info["per_task"][0]["metrics"]["successes"]) == 2
        assert info["overall"]["pc_success"] == 0
