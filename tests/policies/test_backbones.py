"""A student's backbone is its teacher's: what else is asked for is refused by name, before anything is trained."""

import json

import pytest
from lerobot.configs.policies import PreTrainedConfig
from lerobot_commands import lerobot_train
from reward_models import save_policy
from saved_checkpoints import SAVED

from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.backbones import BACKBONES
from lerobot_sdm.policies import config_classes
from lerobot_sdm.policies.source.student_config import StudentConfig
from lerobot_sdm.policy_types import policy_type

COPIES = [name for name, kind in config_classes().items() if issubclass(kind, StudentConfig) and name != "sdm"]
"""Students that start from their teacher's weights."""


def other(backbone: str) -> str:
    return next(name for name in BACKBONES if name != backbone)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_has_its_teachers_backbone(trained, kind, backbone):
    about, make = policy_type(kind), config_classes()[kind]
    source = {about.source_option: str(trained(about.source, backbone)), "device": "cpu"}
    for named in (None, backbone):
        config = make(**source, backbone=named)
        assert config.network["backbone"] == backbone
    with pytest.raises(InputError, match=rf"^--policy\.backbone={other(backbone)}: .* weights from .*'{backbone}'"):
        make(**source, backbone=other(backbone))
    with pytest.raises(InputError, match=r"^--policy\.backbone: 'mixr' is not known. Did you mean 'mixer'"):
        make(**source, backbone="mixr")


@pytest.mark.parametrize(
    ("given", "name"), [({"backbone": "mixer"}, "backbone=mixer"), ({"mixer_width": 8}, "mixer_width=8")]
)
def test_students_of_lerobots_diffusion_are_unets(tmp_path, given, name):
    teacher = save_policy(tmp_path / "teacher")
    make = config_classes()["sdm"]
    with pytest.raises(InputError, match=rf"^--policy\.{name}: a student of a 'diffusion' policy is a U-Net"):
        make(teacher_path=str(teacher), device="cpu", **given)
    smaller = make(teacher_path=str(teacher), device="cpu", backbone="unet", down_dims=[8, 8])
    assert list(smaller.network_config.down_dims) == [8, 8]


@pytest.mark.parametrize("kind", ["edm", "consistency"])
def test_a_mixer_has_no_middle(trained, kind):
    make = config_classes()[kind]
    source = {"teacher_path": str(trained("edm", "mixer"))} if kind == "consistency" else {"backbone": "mixer"}
    make(device="cpu", **source, dropout_rate=0.2)
    with pytest.raises(InputError, match=r"mid_dropout_rate=0\.1: is a setting of the backbone 'unet'"):
        make(device="cpu", **source, mid_dropout_rate=0.1)


def test_nothing_is_written_when_the_backbone_is_refused(trained, dataset, monkeypatch, tmp_path, capsys):
    flags = ("--policy.type=manicm", f"--policy.teacher_path={trained('dp3')}", "--policy.backbone=mixer")
    with pytest.raises(SystemExit):
        lerobot_train(monkeypatch, dataset, tmp_path / "run", *flags)
    assert "--policy.backbone=mixer: this policy takes its weights from the backbone 'unet'" in capsys.readouterr().err
    path = f"--policy.path={trained('dp3', 'mixer')}"
    with pytest.raises(InputError, match=r"--policy\.horizon=4: this policy is a mixer of chunks of 8 steps"):
        lerobot_train(monkeypatch, dataset, tmp_path / "run", path, "--policy.horizon=4", "--policy.n_action_steps=2")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_policies_saved_before_there_were_backbones_are_unets():
    for kind in ("dp3", "edm"):
        assert "backbone" not in json.loads((SAVED / kind / "config.json").read_text())
        assert PreTrainedConfig.from_pretrained(SAVED / kind).backbone == "unet"
    assert PreTrainedConfig.from_pretrained(SAVED / "sdm").network_config.backbone == "unet"
