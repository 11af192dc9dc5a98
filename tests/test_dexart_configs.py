"""The train configs of DexArt's tasks: the same for every task, and readable by LeRobot."""

from pathlib import Path

import draccus
import yaml
from lerobot.configs.train import TrainPipelineConfig

import lerobot_sdm  # noqa: F401 - registers the policies
from lerobot_sdm.envs.configuration_dexart import DexArtPointCloudEnvConfig
from lerobot_sdm.envs.dexart_tasks import DEXART_TASKS

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
