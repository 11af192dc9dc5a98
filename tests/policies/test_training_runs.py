"""Every policy type under LeRobot's own training loop: checkpoints, resuming, standing alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot_commands import REPO_ID, checkpoint_tensors, lerobot_resume, lerobot_train, make_small_dataset
from safetensors.torch import load_file, save_file
from training_options import CASES, SOURCE_OF, TEACHER_OF, TYPE_OPTIONS, options

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies import config_classes
from lerobot_sdm.policies.sdm.modeling_sdm import SDMPolicy

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
    check_same_normalization(trained(kind), trained(SOURCE_OF[kind]))


def check_same_normalization(student: Path, source: Path) -> None:
    config = json.loads((student / "config.json").read_text())
    features = {*config["input_features"], *config["output_features"]}
    files = list(source.glob("policy_*normalizer_processor.safetensors"))
    assert len(files) == 2
    for file in files:
        mine, theirs = load_file(student / file.name), load_file(file)
        assert mine.keys() == theirs.keys()
        used = [key for key in theirs if key.rpartition(".")[0] in features]
        assert all(torch.equal(mine[key], theirs[key]) for key in used)
        assert "action.max" in used


@pytest.fixture(scope="module")
def wider(tmp_path_factory) -> Path:
    """Like `dataset`, with larger actions."""

    def change(values: dict[str, np.ndarray]) -> None:
        values["action"] *= 1.5

    return make_small_dataset(tmp_path_factory.mktemp("wider") / "data", change=change)


@pytest.mark.parametrize("kind", SOURCE_OF)
def test_a_published_policy_can_be_trained_further(kind, tmp_path, monkeypatch, wider, trained):
    published = tmp_path / "published"
    shutil.copytree(trained(kind), published)
    (published / "training_state.safetensors").unlink()
    tuned = lerobot_train(monkeypatch, wider, tmp_path / "tuned", f"--policy.path={published}", steps=3)
    before, after = load_file(published / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert any(not torch.equal(before[key], after[key]) for key in before)
    # Its frozen networks keep the units of their own data.
    check_same_normalization(tuned, trained(SOURCE_OF[kind]))


@pytest.fixture(scope="module")
def regression(tmp_path_factory, session_monkeypatch, dataset, teacher) -> Path:
    """A student without critic, buffer and EMA model, whose next step would be one that draws from a buffer."""
    flags = ("--policy.type=sdm", f"--policy.teacher_path={teacher}", "--policy.recipe=regression")
    output = tmp_path_factory.mktemp("regression") / "run"
    return lerobot_train(session_monkeypatch, dataset, output, *flags, "--policy.use_ema=false", steps=2)


@pytest.mark.parametrize(
    ("flags", "added"),
    [
        (("--policy.matching_weight=1", "--policy.fake_updates_per_generator_update=1"), "fake_score"),
        (("--policy.pair_reuse=4",), "pairs"),
        (("--policy.use_ema=true",), "model"),
    ],
)
def test_training_further_may_add_a_module(flags, added, regression, tmp_path, monkeypatch, dataset):
    tuned = lerobot_train(monkeypatch, dataset, tmp_path / "run", f"--policy.path={regression}", *flags, steps=2)
    before, after = load_file(regression / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert any(not torch.equal(before[key], after[key]) for key in before)
    state = load_file(tuned / "training_state.safetensors")
    assert {key.split(".")[0] for key in state} == {added, "train_step", "noise_seed"}
    assert state["train_step"] == 4
    # The teacher samples for a batch of four at once, because there are no pairs yet; the second step draws from them.
    assert added != "pairs" or state["pairs.added"] == 4


def test_an_added_ema_model_begins_at_the_checkpoint(regression, dataset):
    config = PreTrainedConfig.from_pretrained(regression, cli_overrides=["--use_ema=true"])
    metadata = LeRobotDatasetMetadata(REPO_ID, root=dataset)
    policy = SDMPolicy.from_pretrained(regression, config=config, dataset_meta=metadata)
    weights = load_file(regression / "model.safetensors")
    for module in (policy.model, policy.average):
        assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())


def test_a_part_of_a_module_is_refused(trained, tmp_path, monkeypatch, dataset):
    damaged = tmp_path / "damaged"
    shutil.copytree(trained("sdm"), damaged)
    state = load_file(damaged / "training_state.safetensors")
    missing = min(key for key in state if key.startswith("fake_score."))
    del state[missing]
    save_file(state, damaged / "training_state.safetensors")
    with pytest.raises(InputError, match=rf"do not fit .*missing: \['{missing.removeprefix('fake_score.')}'\]"):
        lerobot_train(monkeypatch, dataset, tmp_path / "run", f"--policy.path={damaged}", steps=2)


@pytest.mark.parametrize("kind", STUDENTS)
def test_resuming_with_another_teacher_is_refused(kind, tmp_path, monkeypatch, dataset, trained):
    moved = tmp_path / "teacher"
    shutil.copytree(trained(TEACHER_OF[kind]), moved)
    lerobot_train(monkeypatch, dataset, tmp_path / "run", *options(kind, moved), steps=4, save_freq=2)
    weights = load_file(moved / "model.safetensors")
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
    damaged = tmp_path / "damaged"
    shutil.copytree(teacher, damaged)
    weights = load_file(damaged / "model.safetensors")
    missing = sorted(weights)[0]
    del weights[missing]
    save_file(weights, damaged / "model.safetensors")
    with pytest.raises(InputError, match=missing.replace(".", r"\.")):
        load("dp3", damaged)
