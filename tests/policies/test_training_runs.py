"""Every policy type under LeRobot's own training loop: checkpoints, resuming, standing alone."""

import json
import shutil

import pytest
import torch
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot_commands import checkpoint_tensors, lerobot_resume, lerobot_train, make_small_dataset
from safetensors.torch import load_file
from training_options import CASES, SOURCE_OF, TEACHER_OF, TYPE_OPTIONS, options

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies import config_classes

KINDS = sorted(config_classes())
STUDENTS = sorted(TEACHER_OF)
MIXER = ("--policy.backbone=mixer", "--policy.mixer_width=16", "--policy.mixer_depth=2")
"""A student of another backbone than its teacher's."""
REUSE = ("--policy.pair_reuse=4", "--policy.pair_buffer_size=20")


def observations(batch: int = 3, frames: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "observation.state": torch.rand(batch, frames, 9, generator=generator),
        "observation.point_cloud": torch.rand(batch, frames, 12, 3, generator=generator),
    }


def load(kind: str, path):
    return get_policy_class(kind).from_pretrained(path)


def act(policy) -> torch.Tensor:
    """A chunk from fixed observations, start noise and further random numbers."""
    noise = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    return policy.predict_action_chunk(observations(), noise=noise)


@pytest.mark.parametrize(
    ("kind", "backbone", "more"),
    [*((kind, "unet", ()) for kind in KINDS), ("sdm", "unet", REUSE), ("dp3", "mixer", ()), ("sdm", "unet", MIXER)],
)
def test_resumed_run_equals_uninterrupted_run_bit_for_bit(
    kind, backbone, more, tmp_path, monkeypatch, dataset, trained
):
    source = trained(SOURCE_OF[kind], backbone) if kind in SOURCE_OF else None
    flags = (*options(kind, source, backbone), *more)
    whole = lerobot_train(monkeypatch, dataset, tmp_path / "whole", *flags, steps=32, save_freq=16)
    half = tmp_path / "whole" / "checkpoints" / "000016"
    resumed = lerobot_resume(monkeypatch, half, tmp_path / "resumed")

    expected, found = checkpoint_tensors(whole), checkpoint_tensors(resumed)
    assert expected.keys() == found.keys()
    assert any("training_state.safetensors:" in key for key in expected)
    assert any("exp_avg" in key for key in expected)
    different = [key for key in expected if not torch.equal(expected[key], found[key])]
    assert different == []
    # The comparison means something only if the second half changed the weights.
    before = checkpoint_tensors(half / "pretrained_model")
    assert any(not torch.equal(before[key], expected[key]) for key in before if key.startswith("model.safetensors"))


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_the_optimizer_updates_many_small_tensors_at_once(kind, trained):
    groups = json.loads((trained(kind).parent / "training_state" / "optimizer_param_groups.json").read_text())
    assert groups
    assert all(group["fused"] for group in groups)


@pytest.mark.parametrize(("kind", "backbone"), CASES)
def test_checkpoint_holds_what_inference_needs_and_no_more(kind, backbone, trained):
    folder = trained(kind, backbone)
    policy = load(kind, folder)
    weights = load_file(folder / "model.safetensors")
    assert weights.keys() == policy.inference_model.state_dict().keys()
    expected = act(policy)
    (folder / "training_state.safetensors").rename(folder / "elsewhere")
    try:
        torch.testing.assert_close(act(load(kind, folder)), expected)
    finally:
        (folder / "elsewhere").rename(folder / "training_state.safetensors")


@pytest.mark.parametrize(("kind", "backbone"), [case for case in CASES if case[0] in SOURCE_OF])
def test_a_checkpoint_works_without_what_it_was_made_from(kind, backbone, tmp_path, trained):
    student, alone = trained(kind, backbone), tmp_path / "alone"
    shutil.copytree(student, alone)
    config = json.loads((alone / "config.json").read_text())
    role = "teacher" if kind in TEACHER_OF else "base"
    assert config[f"{role}_path"] == str(trained(SOURCE_OF[kind], backbone))
    config[f"{role}_path"] = str(tmp_path / "deleted")
    (alone / "config.json").write_text(json.dumps(config))
    (alone / "training_state.safetensors").unlink()

    policy = load(kind, alone)
    torch.testing.assert_close(act(policy), act(load(kind, student)))
    pre, post = make_pre_post_processors(policy.config, pretrained_path=str(alone))
    assert [type(step).__name__ for step in pre.steps].count("PointCloudProcessorStep") == 1
    assert post is not None


@pytest.mark.parametrize("kind", SOURCE_OF)
def test_a_policy_normalizes_like_what_it_was_made_from(kind, trained):
    source, student = trained(SOURCE_OF[kind]), trained(kind)
    for file in source.glob("policy_*normalizer_processor.safetensors"):
        mine, theirs = load_file(student / file.name), load_file(file)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("kind", SOURCE_OF)
def test_a_published_policy_can_be_trained_further(kind, tmp_path, monkeypatch, dataset, trained):
    published = tmp_path / "published"
    shutil.copytree(trained(kind), published)
    (published / "training_state.safetensors").unlink()
    tuned = lerobot_train(monkeypatch, dataset, tmp_path / "tuned", f"--policy.path={published}", steps=3)
    before, after = load_file(published / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert any(not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("kind", STUDENTS)
def test_resuming_with_another_teacher_is_refused(kind, tmp_path, monkeypatch, dataset, trained):
    moved = tmp_path / "teacher"
    shutil.copytree(trained(TEACHER_OF[kind]), moved)
    lerobot_train(monkeypatch, dataset, tmp_path / "run", *options(kind, moved), steps=4, save_freq=2)
    weights = load_file(moved / "model.safetensors")
    from safetensors.torch import save_file

    save_file({key: value + 0.1 for key, value in weights.items()}, moved / "model.safetensors")
    with pytest.raises(InputError, match="another teacher"):
        lerobot_resume(monkeypatch, tmp_path / "run" / "checkpoints" / "000002", tmp_path / "resumed")


@pytest.mark.parametrize("kind", SOURCE_OF)
def test_data_that_do_not_fit_are_refused_before_anything_is_written(kind, tmp_path, monkeypatch, trained):
    other = make_small_dataset(tmp_path / "other", state_dim=7)
    with pytest.raises(InputError, match=r"observation\.state.*\(7,\) in the dataset.*\(9,\)"):
        lerobot_train(monkeypatch, other, tmp_path / "run", *options(kind, trained(SOURCE_OF[kind])))
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_refused(tmp_path, teacher):
    from safetensors.torch import save_file

    damaged = tmp_path / "damaged"
    shutil.copytree(teacher, damaged)
    weights = load_file(damaged / "model.safetensors")
    missing = sorted(weights)[0]
    del weights[missing]
    save_file(weights, damaged / "model.safetensors")
    with pytest.raises(InputError, match=missing.replace(".", r"\.")):
        load("dp3", damaged)
