"""Consistency Policy: what it starts from, who gets which gradient, few-step chaining, and refusals."""

import pytest
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
from lerobot.policies.factory import make_policy
from lerobot_commands import REPO_ID

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.nets.backbones import BACKBONES
from lerobot_sdm.policies.consistency.configuration_consistency import ConsistencyConfig
from lerobot_sdm.policies.consistency.modeling_consistency import ConsistencyPolicy
from lerobot_sdm.policies.edm.modeling_edm import EdmPolicy


@pytest.fixture
def edm(trained, request):
    """A teacher, of the backbone that a test asks for."""
    return trained("edm", getattr(request, "param", "unet"))


every_backbone = pytest.mark.parametrize("edm", BACKBONES, indirect=True)


@pytest.fixture
def build(dataset, edm):
    """A student in training, as `lerobot-train` builds it."""

    def make(**kwargs) -> ConsistencyPolicy:
        config = ConsistencyConfig(**{"teacher_path": str(edm), "device": "cpu", "push_to_hub": False, **kwargs})
        return make_policy(config, ds_meta=LeRobotDatasetMetadata(REPO_ID, root=dataset)).train()

    return make


def batch(size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "observation.state": torch.rand(size, 2, 9, generator=generator),
        "observation.point_cloud": torch.rand(size, 2, 12, 3, generator=generator),
        "action": torch.rand(size, 8, 4, generator=generator),
    }


@every_backbone
def test_untrained_student_is_the_teachers_denoiser(build, edm):
    """With zero columns for the stop time, g is the teacher's D: its read-out at the noisiest level."""
    student, teacher = build().eval(), EdmPolicy.from_pretrained(edm)
    noise, most = torch.randn(4, 8, 4), torch.full((4,), 80.0)
    cond = teacher.model.encode(batch())
    torch.testing.assert_close(student.model.encode(batch()), cond)
    share = 0.02 / 80
    expected = share * noise + (1 - share) * teacher.model.denoise(noise, most, cond)
    torch.testing.assert_close(student.sample_actions(batch(), noise), expected.clamp(-1, 1))


@every_backbone
def test_untrained_student_denoises_as_its_teacher_does(build, edm):
    student, teacher = build().eval(), EdmPolicy.from_pretrained(edm)
    x, sigma = torch.randn(4, 8, 4), torch.tensor([0.05, 0.5, 5.0, 50.0])
    cond = teacher.model.encode(batch())
    torch.testing.assert_close(student.model.denoise(x, sigma, cond), teacher.model.denoise(x, sigma, cond))


@every_backbone
@pytest.mark.parametrize("by", ["estimate", "jump"])
def test_only_the_students_network_learns(build, by):
    student = build(dsm_by=by)
    loss, parts = student.forward(batch())
    assert parts.keys() == {"ctm_loss", "dsm_loss"}
    assert loss.item() == pytest.approx(sum(parts.values()), rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in student.model.denoiser.parameters())
    silent = [student.target, student.average, student._teacher[0], student.model.obs_encoder]
    assert all(p.grad is None for module in silent for p in module.parameters())


def test_the_consistency_loss_alone_has_a_gradient(build):
    student = build(dsm_weight=0.0)
    loss, parts = student.forward(batch())
    assert parts.keys() == {"ctm_loss"}
    loss.backward()
    assert sum(p.grad.abs().sum() for p in student.model.unet.parameters()) > 0


@pytest.mark.parametrize(("decay", "kept"), [(0.0, 0.0), (0.9, 0.9)])
def test_target_follows_the_student(build, decay, kept):
    student = build(target_ema_decay=decay)
    start = [p.clone() for p in student.target.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(start, student.model.unet.parameters(), strict=True))
    with torch.no_grad():
        for p in student.model.unet.parameters():
            p.add_(1.0)
    student.update()
    for before, after in zip(start, student.target.parameters(), strict=True):
        torch.testing.assert_close(after, before + 1 - kept)


def test_dropout_works_in_student_and_target_and_never_in_the_teacher(build):
    student = build()
    assert student.model.unet.training
    assert student.target.training
    assert not student._teacher[0].training
    assert any(isinstance(module, torch.nn.Dropout) for module in student.target.modules())


@pytest.mark.parametrize(("times", "calls"), [((), 1), ((27, 54), 3), ((40,), 2)])
def test_network_evaluations_are_one_more_than_the_chaining_times(build, times, calls):
    student = build(chaining_times=times).eval()
    with count_calls(student.denoiser) as counter:
        assert student.sample_actions(batch()).shape == (4, 8, 4)
    assert counter.calls == calls


def test_raw_teacher_weights_are_those_behind_the_average(build, edm):
    from safetensors.torch import load_file

    raw = load_file(edm / "training_state.safetensors")["model.unet.final_conv.1.weight"]
    averaged = load_file(edm / "model.safetensors")["unet.final_conv.1.weight"]
    weight = lambda policy: policy._teacher[0].unet.state_dict()["final_conv.1.weight"]  # noqa: E731
    assert torch.equal(weight(build()), averaged)
    assert torch.equal(weight(build(teacher_use_ema=False)), raw)
    assert not torch.equal(raw, averaged)


def test_published_teachers_have_no_raw_weights(build, edm, tmp_path):
    import shutil

    published = tmp_path / "published"
    shutil.copytree(edm, published, ignore=shutil.ignore_patterns("training_state*"))
    with pytest.raises(InputError, match="teacher_use_ema=false"):
        build(teacher_path=str(published), teacher_use_ema=False)


def test_released_settings_run(build):
    student = build(
        teacher_use_ema=False,
        use_ema=False,
        dsm_by="jump",
        loss_norm="released",
        ctm_loss_norm="released",
        max_solver_steps=1,
        mid_dropout_rate=0.2,
    )
    loss, _ = student.forward(batch())
    loss.backward()
    assert loss.isfinite()
    assert student.inference_model is student.model


@pytest.mark.parametrize(
    ("wrong", "offender"),
    [
        ({"chaining_times": (54, 27)}, r"54.*27.*noise must decrease"),
        ({"chaining_times": (27, 27)}, "noise must decrease"),
        ({"chaining_times": (0, 40)}, r"0 must be a bin in 1 \.\.\. 78"),
        ({"chaining_times": (79,)}, r"79 must be a bin in 1 \.\.\. 78"),
        ({"chaining_times": (2.5,)}, "2.5 must be a bin"),
        # The released list, read as the released code reads it: noise that grows.
        ({"chaining_times": (27, 54), "chaining_unit": "sigma"}, "noise must decrease"),
        ({"chaining_times": (100.0,), "chaining_unit": "sigma"}, "must lie between"),
        ({"chaining_unit": "steps"}, "chaining_unit: 'steps'"),
        ({"horizon": 16}, "horizon=16.*has 8"),
        ({"loss_norm": "l1"}, "loss_norm: 'l1'"),
        ({"initial_std": 0.0}, r"initial_std=0\.0"),
        ({"dropout_rate": 1.0}, r"dropout_rate=1\.0"),
        ({"max_solver_steps": 0}, "max_solver_steps=0"),
        ({"target_ema_decay": 1.0}, r"target_ema_decay=1\.0"),
        ({"ctm_weight": 0.0, "dsm_weight": 0.0}, "there is no loss"),
        ({"ctm_loss_norm": "l1"}, "ctm_loss_norm: 'l1'"),
        ({"dsm_by": "guess"}, "dsm_by: 'guess'"),
    ],
)
def test_contradictions_are_refused_by_name(build, wrong, offender):
    with pytest.raises(InputError, match=offender):
        build(**wrong)


def test_training_without_a_teacher_is_refused(dataset):
    with pytest.raises(InputError, match="teacher_path"):
        make_policy(ConsistencyConfig(device="cpu"), ds_meta=LeRobotDatasetMetadata(REPO_ID, root=dataset))


def test_a_teacher_of_the_wrong_kind_is_refused(teacher):
    with pytest.raises(InputError, match=r"'dp3'.*of type edm"):
        ConsistencyConfig(teacher_path=str(teacher), device="cpu")


def test_chaining_times_may_be_changed_at_evaluation(trained):
    from lerobot.configs.policies import PreTrainedConfig

    folder = trained("consistency")
    config = PreTrainedConfig.from_pretrained(folder, cli_overrides=["--chaining_times=[27,54]"])
    policy = ConsistencyPolicy.from_pretrained(folder, config=config)
    with count_calls(policy.denoiser) as counter:
        policy.sample_actions(batch())
    assert counter.calls == 3
    with pytest.raises(InputError, match="noise must decrease"):
        PreTrainedConfig.from_pretrained(folder, cli_overrides=["--chaining_times=[54,27]"])
