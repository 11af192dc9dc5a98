"""The train configs of the Adroit tasks: the same for every task, readable by LeRobot, and trainable."""

from pathlib import Path

import draccus
import pytest
import yaml
from lerobot.configs.train import TrainPipelineConfig
from lerobot_commands import SMALL_DP3, lerobot_eval, lerobot_train_config

import lerobot_policy_sdm  # noqa: F401 - registers the policies
from lerobot_sdm.envs.adroit.tasks import HAND_TASKS

FOLDER = Path(__file__).parents[1] / "configs/adroit"
KINDS = [f"{policy}_h{horizon}" for policy in ("dp3", "sdm") for horizon in (4, 16)]


def test_there_is_one_for_each_task_and_kind_and_they_differ_in_names_alone():
    assert {path.stem for path in FOLDER.iterdir()} == {f"{task}_{kind}" for task in HAND_TASKS for kind in KINDS}
    for kind in KINDS:
        texts = {(FOLDER / f"{task}_{kind}.yaml").read_text().replace(task, "TASK") for task in HAND_TASKS}
        assert len(texts) == 1


@pytest.mark.parametrize("horizon", [4, 16])
def test_lerobot_reads_them(horizon):
    config = draccus.parse(TrainPipelineConfig, config_path=FOLDER / f"door_dp3_h{horizon}.yaml", args=[])
    # SDM's configs say horizon 4 and 4 executed actions; with two observation steps three of them exist.
    assert (config.policy.horizon, config.policy.n_action_steps) == (horizon, {4: 3, 16: 8}[horizon])
    student = yaml.safe_load((FOLDER / f"door_sdm_h{horizon}.yaml").read_text())
    assert student["policy"]["teacher_path"].startswith(f"{config.output_dir}/")
    assert student["dataset"] == yaml.safe_load((FOLDER / f"door_dp3_h{horizon}.yaml").read_text())["dataset"]


@pytest.mark.slow
def test_teacher_and_student_train_on_a_recording(tmp_path, monkeypatch):
    """Two steps each of narrowed networks, and an episode with the student."""
    from lerobot_sdm.datasets.record import RecordConfig, record
    from lerobot_sdm.envs.adroit.configuration import AdroitPointCloudEnvConfig

    monkeypatch.chdir(tmp_path)
    env = AdroitPointCloudEnvConfig(task="hammer", num_points=32, camera_size=48, episode_length=12)
    expert = "still_expert:StillExpert"
    record(RecordConfig(env=env, episodes=2, expert=expert, keep="all"))
    narrow = [flag for flag in SMALL_DP3 if "horizon" not in flag and "action_steps" not in flag]
    lerobot_train_config(monkeypatch, FOLDER / "hammer_dp3_h4.yaml", *narrow, "--policy.n_points=32")
    lerobot_train_config(monkeypatch, FOLDER / "hammer_sdm_h4.yaml")
    small = ("--env.task=hammer", "--env.num_points=32", "--env.camera_size=48", "--env.episode_length=4")
    policy = "outputs/adroit_hammer_sdm_h4/checkpoints/last/pretrained_model"
    info = lerobot_eval(monkeypatch, policy, tmp_path / "evaluated", "--env.type=adroit", *small)
    assert info["overall"]["pc_success"] == 0
