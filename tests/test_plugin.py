"""The package as LeRobot finds it: built as a wheel, discovered, light, and unmoved by name collisions."""

import subprocess
import sys
import zipfile
from pathlib import Path

import draccus
import pytest
from hatchling.builders.wheel import WheelBuilder

from lerobot_sdm.registration import registered

ROOT = Path(__file__).parents[1]

DISCOVER = """
import sys
sys.path.insert(0, {site!r})
# The checkout's own editable install must not be what is found.
sys.path = [entry for entry in sys.path if entry not in ("", {root!r})]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in type(finder).__name__.lower()]
from lerobot.utils.import_utils import register_third_party_plugins
register_third_party_plugins()
from lerobot_sdm import plugin
assert plugin.__file__.startswith({site!r}), plugin.__file__
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.rewards import RewardModelConfig
from lerobot.envs.configs import EnvConfig
from lerobot.optim import LRSchedulerConfig, OptimizerConfig
from lerobot.policies.factory import get_policy_class
from lerobot.processor import ProcessorStepRegistry
import gymnasium
print("step", "depth_to_point_cloud" in ProcessorStepRegistry.list())
def ours(registry):
    choices = registry.get_known_choices().items()
    return sorted(name for name, known in choices if known.__module__.startswith("lerobot_sdm"))
print("policies", ours(PreTrainedConfig))
print("others", ours(RewardModelConfig), ours(OptimizerConfig), ours(LRSchedulerConfig), ours(EnvConfig))
print("classes", [get_policy_class(name).__module__ for name in ("dp3", "sdm")])
print("gym", "lerobot_sdm/MetaWorld-drawer-open-v0" in gymnasium.registry)
"""

LIGHT = """
import sys
import lerobot.configs.policies, lerobot.configs.rewards, lerobot.envs.configs, lerobot.optim, lerobot.processor
before = set(sys.modules)
import lerobot_policy_sdm
added = set(sys.modules) - before
light = ("lerobot_policy_sdm", "lerobot_sdm", "packaging")
print("others'", [name for name in added if name.partition(".")[0] not in (*light, *sys.stdlib_module_names)])
print("models", [name for name in added if "modeling" in name])
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
        files = [path for path in (ROOT / "lerobot_sdm").rglob("*") if path.is_file()]
        names = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
        assert names <= set(archive.namelist())


def test_lerobot_discovers_the_unpacked_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    lines = run(DISCOVER.format(site=str(tmp_path / "site"), root=str(ROOT))).splitlines()
    assert lines[-5:] == [
        "step True",
        "policies ['adjoint_matching', 'consistency', 'difftori', 'dp3', 'drift', 'edm', 'flow', 'manicm', 'meanflow', "
        "'sdm']",
        "others ['chunk_reward'] ['adamw_per_group'] ['cosine_per_group'] "
        "['adroit', 'dexart', 'metaworld_pc', 'pusht_dense']",
        "classes ['lerobot_sdm.policies.dp3.modeling_dp3', 'lerobot_sdm.policies.sdm.modeling_sdm']",
        "gym True",
    ]


def test_plugin_imports_nothing_that_lerobot_has_not_imported():
    assert run(LIGHT).splitlines()[-2:] == ["others' []", "models []"]


def test_a_taken_name_moves_aside_and_says_so(caplog):
    class Registry(draccus.ChoiceRegistry):
        pass

    class Foreign(Registry):
        pass

    class Ours(Registry):
        pass

    Registry.register_subclass("dp3", Foreign)
    registered(Registry, "dp3")(Ours)
    assert Registry.get_choice_class("dp3") is Ours
    assert Registry.get_choice_class("lerobot_dp3") is Foreign
    assert Registry.get_choice_name(Foreign) == "lerobot_dp3"
    assert "lerobot_dp3" in caplog.text
    registered(Registry, "dp3")(Ours)  # importing twice changes nothing
    assert Registry.get_choice_class("dp3") is Ours
