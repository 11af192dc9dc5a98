"""Every file in configs/ runs as it stands, given the data and the teacher that it names."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from lerobot_commands import SMALL_DP3, lerobot_train, lerobot_train_config, make_small_dataset

from lerobot_sdm.measure.methods import RUNS
from lerobot_sdm.measure.sizes import task_config, training
from lerobot_sdm.measure.suites import SuiteTask

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
TEACHERS = ("dp3", "edm")
LARGE = (*TEACHERS, "drift", "flow", "meanflow")
"""Types with networks of their own, not their teacher's."""
OF_THE_DATA = {"type", "teacher_path", "base_path", "push_to_hub", "n_points", "use_color"}
PARAMETERS = {
    "dp3": 255_138_308,
    "simple_dp3": 7_439_108,
    "dp3_mixer": 2_514_228,
    "simple_dp3_mixer": 517_668,
}
"""Encoder 63,872 and U-Net 255,074,436 or 7,375,236: the reference's numbers for MetaWorld. Mixers: six blocks of
395,816 or four of 99,880, which the reference gives for this horizon, and the layers around them for 4 actions."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with the dataset under the name that the configs use, and teachers."""
    root = tmp_path_factory.mktemp("workplace")
    make_small_dataset(root / "data" / "drawer-open")
    with pytest.MonkeyPatch.context() as patch:
        for kind in TEACHERS:
            flags = (f"--policy.type={kind}", *SMALL_DP3)
            teacher = lerobot_train(patch, root / "data/drawer-open", root / f"teacher_{kind}", *flags, steps=2)
            for name in (kind, f"simple_{kind}", f"small_{kind}"):
                shutil.copytree(teacher, root / "outputs" / name / "checkpoints/last/pretrained_model")
    return root


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_trains(path, workplace, monkeypatch):
    """Two steps with the config's own networks; the paper's size is narrowed, or it would not fit a small machine."""
    monkeypatch.chdir(workplace)
    content = yaml.safe_load(path.read_text())
    overrides = [f"--output_dir={path.stem}"]
    if content["policy"]["type"] in LARGE:
        overrides.append("--policy.n_points=12")
        if path.stem in LARGE:
            overrides.append("--policy.down_dims=[32,64,128]")
    lerobot_train_config(monkeypatch, path, *overrides)
    saved = workplace / path.stem / "checkpoints" / "last" / "pretrained_model"
    assert (saved / "model.safetensors").exists()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_benchmark_trains_as_the_config_of_its_size(path):
    """Options that a size leaves to a policy's defaults are not in its config either."""
    size, _, kind = (
        path.stem.rpartition("_") if path.stem.startswith(("small_", "simple_")) else ("paper", "", path.stem)
    )
    content = yaml.safe_load(path.read_text())
    if kind not in RUNS or "backbone" in content["policy"]:
        pytest.skip("the benchmark has no such training; its mixers have as many weights as its U-Nets")
    drawer = task_config(size, SuiteTask("metaworld_pc", "drawer-open", "easy"))
    trained = training(size, drawer, kind)
    policy = {key: value for key, value in content["policy"].items() if key not in OF_THE_DATA}
    assert trained.policy == policy
    assert (trained.steps, trained.batch_size) == (content["steps"], content["batch_size"])


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_published_sizes(name):
    from lerobot.configs.types import FeatureType, PolicyFeature

    from lerobot_sdm.nets.trimmed_convolution import whole_size
    from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
    from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model

    policy = yaml.safe_load(next(p for p in CONFIGS if p.stem == name).read_text())["policy"]
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in policy.items() if key != "type"}
    config = DP3Config(
        **sizes,
        device="cpu",
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (9,)),
            "observation.point_cloud": PolicyFeature(FeatureType.STATE, (512, 3)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (4,))},
    )
    with torch.device("meta"):
        assert whole_size(DP3Model(config)) == PARAMETERS[name]
