"""Students with another network than their teacher's: smaller, or of another backbone."""

import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from sdm_students import batch, step

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.sdm.modeling_sdm import SDMPolicy


@pytest.mark.parametrize("recipe", ["sdm", "dmd"])
def test_a_student_may_be_smaller_than_its_teacher(build_student, teacher, tmp_path, recipe):
    student = build_student(recipe=recipe, down_dims=[8, 16])
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    known = student.teacher.state_dict()
    for key, value in student.model.state_dict().items():
        assert key.startswith("unet.") or torch.equal(value, known[key])
    before = [p.clone() for p in student.model.unet.parameters()]
    for _ in range(3):
        step(student, optimizer)
    assert any(not torch.equal(a, b) for a, b in zip(before, student.model.unet.parameters(), strict=True))
    student.save_pretrained(tmp_path)
    loaded = SDMPolicy.from_pretrained(tmp_path).eval()
    assert loaded.config.network["down_dims"] == [8, 16]
    noise = torch.randn(4, 8, 4)
    torch.testing.assert_close(loaded.sample_actions(batch(), noise), student.eval().sample_actions(batch(), noise))


@pytest.mark.parametrize("recipe", ["regression", "sdm", "dmd"])
@pytest.mark.parametrize(
    ("theirs", "mine", "own"),
    [
        ("unet", "mixer", {"backbone": "mixer", "mixer_width": 16, "mixer_depth": 2}),
        ("mixer", "unet", {"backbone": "unet", "down_dims": [8, 16]}),
        ("mixer", "mixer", {"mixer_width": 24}),
    ],
)
def test_a_student_may_have_another_network_than_its_teacher(
    build_student, trained, tmp_path, recipe, theirs, mine, own
):
    student = build_student(of=trained("dp3", theirs), recipe=recipe, **own)
    assert (student.teacher.denoiser_name, student.model.denoiser_name) == (theirs, mine)
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    known = student.teacher.state_dict()
    for key, value in student.model.state_dict().items():
        assert key.startswith(f"{mine}.") or torch.equal(value, known[key])
    before = [p.clone() for p in student.model.denoiser.parameters()]
    for _ in range(4):
        parts = step(student, optimizer)
    assert ("fake_score_loss" in parts) == (recipe == "dmd")
    assert any(not torch.equal(a, b) for a, b in zip(before, student.model.denoiser.parameters(), strict=True))
    student.save_pretrained(tmp_path)
    loaded = SDMPolicy.from_pretrained(tmp_path).eval()
    noise = torch.randn(4, 8, 4)
    torch.testing.assert_close(loaded.sample_actions(batch(), noise), student.eval().sample_actions(batch(), noise))
    other = "unet" if mine == "mixer" else "mixer"
    with pytest.raises(InputError, match=rf"^--policy\.backbone={other}: .*from the backbone '{mine}'"):
        PreTrainedConfig.from_pretrained(tmp_path, cli_overrides=[f"--backbone={other}"])


def test_a_mixer_learns_what_its_unet_teacher_does(build_student):
    """Regression of the unequal pair: from start noise that it has not seen, most of its error goes."""
    student = build_student(recipe="regression", backbone="mixer", mixer_width=32, mixer_depth=2, generator_lr=2e-3)
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    cond = student.encode_for_training(batch()).repeat(16, 1)
    noise = torch.randn(64, 8, 4, generator=torch.Generator().manual_seed(7))
    wanted = student.teacher_samples(noise, cond)
    errors = []
    for _ in range(150):
        with torch.no_grad():
            errors.append((student._generate(student.model, noise, cond) - wanted).square().mean())
        step(student, optimizer)
    assert errors[-1] < 0.2 * errors[0]


def test_the_teachers_own_backbone_changes_nothing(build_student, teacher):
    named, plain = build_student(backbone="unet"), build_student()
    pairs = zip(named.model.state_dict().items(), plain.model.state_dict().items(), strict=True)
    assert all(key == other and torch.equal(a, b) for (key, a), (other, b) in pairs)


def test_a_saved_student_keeps_its_recipe_and_size(build_student, tmp_path):
    build_student(recipe="sdm", down_dims=[8, 16]).save_pretrained(tmp_path)
    same = PreTrainedConfig.from_pretrained(tmp_path, cli_overrides=["--data_weight=0.5"])
    assert (same.recipe, same.data_weight) == ("sdm", 0.5)
    for override, message in (("--recipe=dmd", "come from the recipe 'sdm'"), ("--down_dims=[8]", "cannot change")):
        with pytest.raises(InputError, match=message):
            PreTrainedConfig.from_pretrained(tmp_path, cli_overrides=[override])
