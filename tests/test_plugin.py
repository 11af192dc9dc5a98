"""The package as LeRobot finds it: built as a wheel, discovered, light, and unmoved by name collisions."""

import subprocess
import sys
import zipfile
from pathlib import Path

import draccus
import pytest
from hatchling.builders.wheel import WheelBuilder

from lerobot_sdm.registration import register_choice

ROOT = Path(__file__).parents[1]

DISCOVER = """
import sys
sys.path.insert(0, {site!r})
# The checkout's own editable install must not be what is found.
sys.path = [entry for entry in sys.path if entry not in ("", {root!r})]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in type(finder).__name__.lower()]
from lerobot.utils.import_utils import register_third_party_plugins
register_third_party_plugins()
import lerobot_sdm
assert lerobot_sdm.__file__.startswith({site!r}), lerobot_sdm.__file__
from lerobot.configs.policies import PreTrainedConfig
from lerobot.envs.configs import EnvConfig
from lerobot.policies.factory import get_policy_class
from lerobot.processor import ProcessorStepRegistry
import gymnasium
print("step", "depth_to_point_cloud" in ProcessorStepRegistry.list())
print("policies", sorted(set(PreTrainedConfig.get_known_choices()) & {{"dp3", "sdm"}}))
print("classes", [get_policy_class(name).__module__ for name in ("dp3", "sdm")])
print("env", "metaworld_pc" in EnvConfig.get_known_choices())
print("gym", "lerobot_sdm/MetaWorld-drawer-open-v0" in gymnasium.registry)
"""

LIGHT = """
import sys, time
import lerobot.configs.policies, lerobot.envs.configs, lerobot.optim, lerobot.processor
before = set(sys.modules)
import lerobot_policy_sdm
added = set(sys.modules) - before
heavy = [name for name in added if name.split(".")[0] in ("mujoco", "metaworld", "numba", "matplotlib", "diffusers")]
print("heavy", heavy, "models", [name for name in added if "modeling" in name or name.startswith("lerobot.datasets")])
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")))))


def test_metadata_name_keeps_its_underscores(wheel):
    """LeRobot imports the module whose name equals the distribution's raw name: hyphens would hide the plugin."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        assert "\nName: lerobot_policy_sdm\n" in archive.read(metadata).decode()
        assert "lerobot_policy_sdm.py" in archive.namelist()
        assert not [name for name in archive.namelist() if name.startswith(("tests", "examples", "configs"))]


def test_lerobot_discovers_the_unpacked_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    lines = run(DISCOVER.format(site=str(tmp_path / "site"), root=str(ROOT))).splitlines()
    assert lines[-5:] == [
        "step True",
        "policies ['dp3', 'sdm']",
        "classes ['lerobot_sdm.policies.dp3.modeling_dp3', 'lerobot_sdm.policies.sdm.modeling_sdm']",
        "env True",
        "gym True",
    ]


def test_import_brings_no_simulator_and_no_model_code():
    assert run(LIGHT).splitlines()[-1] == "heavy [] models []"


def test_a_taken_name_moves_aside_and_says_so(caplog):
    class Registry(draccus.ChoiceRegistry):
        pass

    class Foreign(Registry):
        pass

    class Ours(Registry):
        pass

    Registry.register_subclass("dp3", Foreign)
    register_choice(Registry, "dp3", Ours)
    assert Registry.get_choice_class("dp3") is Ours
    assert Registry.get_choice_class("lerobot_dp3") is Foreign
    assert Registry.get_choice_name(Foreign) == "lerobot_dp3"
    assert "lerobot_dp3" in caplog.text
    register_choice(Registry, "dp3", Ours)  # importing twice changes nothing
    assert Registry.get_choice_class("dp3") is Ours
