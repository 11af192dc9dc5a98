"""The train configs of Push-T: readable by LeRobot, teachers before students, all on the same windows of the data."""

from pathlib import Path

import draccus
import lerobot.policies  # noqa: F401 - registers LeRobot's policies
import pytest
import yaml
from lerobot.configs.train import TrainPipelineConfig

import lerobot_policy_sdm  # noqa: F401 - registers the policies

FOLDER = Path(__file__).parents[1] / "configs/pusht"
ALL = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
# Reward models and what they fine-tune learn from the base's own rollouts.
FINE_TUNING = {name: content for name, content in ALL.items() if "rollouts" in content["dataset"]["root"]}
CONFIGS = {name: content for name, content in ALL.items() if name not in FINE_TUNING}
TEACHERS = [name for name, content in CONFIGS.items() if "teacher_path" not in content["policy"]]
STUDENTS = [name for name in CONFIGS if name not in TEACHERS]


@pytest.mark.parametrize("name", TEACHERS)
def test_lerobot_reads_them(name):
    policy = draccus.parse(TrainPipelineConfig, config_path=FOLDER / f"{name}.yaml", args=[]).policy
    assert (policy.horizon, policy.n_obs_steps, policy.n_action_steps, policy.drop_n_last_frames) == (16, 2, 8, 7)
    # Keypoints in pixels must not reach a network as they are.
    assert "image" in name or policy.normalization_mapping["ENV"].value == "MIN_MAX"


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_learns_from_a_teacher_of_the_same_data(name):
    teachers = {
        f"{CONFIGS[teacher]['output_dir']}/checkpoints/last/pretrained_model": CONFIGS[teacher] for teacher in TEACHERS
    }
    content = CONFIGS[name]
    assert teachers[content["policy"]["teacher_path"]]["dataset"] == content["dataset"]


@pytest.mark.parametrize("name", CONFIGS)
def test_names_agree(name):
    content = CONFIGS[name]
    view, kind = name.split("_")
    assert content["policy"]["type"] == {"ddim": "diffusion"}.get(kind, kind)
    assert content["output_dir"] == f"{content['dataset']['root'].replace('data', 'outputs', 1)}/{kind}"
    assert ("keypoints" in content["dataset"]["root"]) == (view == "keypoints")


@pytest.mark.parametrize("name", FINE_TUNING)
def test_fine_tuning_begins_with_policies_that_other_configs_train(name):
    made = {f"{content['output_dir']}/checkpoints/last/pretrained_model" for content in ALL.values()}
    content, (view, kind) = FINE_TUNING[name], name.split("_", 1)
    trained = "reward_model" if "reward_model" in content else "policy"
    paths = {key: value for key, value in content[trained].items() if key.endswith("_path")}
    assert paths
    assert set(paths.values()) <= made
    assert content[trained]["type"] == kind
    assert content["output_dir"] == f"outputs/pusht-{view}/{kind}"
    assert content["dataset"]["root"] == f"data/pusht-{view}-rollouts"
    # The policies that are named are not there; all else LeRobot reads.
    bare = {key: value for key, value in content[trained].items() if key not in paths}
    config = draccus.decode(TrainPipelineConfig, {**content, trained: bare})
    assert config.trainable_config.type == kind
