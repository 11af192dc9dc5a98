"""The SDM algorithm: who gets which gradient, when, and what the student starts from."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
from lerobot.policies.factory import make_policy
from lerobot_commands import REPO_ID
from sdm_students import batch, step

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy
from lerobot_sdm.policies.sdm.configuration_sdm import RECIPES, SDMConfig
from lerobot_sdm.policies.sdm.modeling_sdm import Turn, mix_conditions, turn_of
from lerobot_sdm.policies.source.description import describe


def test_untrained_generator_is_the_teachers_one_step_sample(build_student, teacher):
    student = build_student().eval()
    one_step = DP3Policy.from_pretrained(teacher)
    one_step.config.num_inference_steps = 1
    one_step.config.inference_start_timestep = student.config.generator_timestep
    noise = torch.randn(4, 8, 4)
    torch.testing.assert_close(student.sample_actions(batch(), noise), one_step.sample_actions(batch(), noise))


def test_generator_and_fake_score_take_turns(build_student):
    student = build_student()
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    turns = ["matching_loss" in step(student, optimizer) or student.train_step <= 2 for _ in range(9)]
    # Two warm-up steps, then every third iteration: 2, 5, 8.
    assert turns == [True, True, True, False, False, True, False, False, True]
    counts = {
        name: {int(optimizer.state[p]["step"]) for p in group["params"]}
        for name, group in zip(("generator", "fake"), optimizer.param_groups, strict=True)
    }
    assert counts == {"generator": {5}, "fake": {7}}  # the fake score rests in the two warm-up steps


def test_fake_score_loss_never_reaches_the_generator(build_student):
    student = build_student(warmup_steps=0)
    student.train_step = 1  # the generator rests
    loss, parts = student.forward(batch())
    assert parts.keys() == {"fake_score_loss"}
    loss.backward()
    assert all(p.grad is None for p in student.model.parameters())
    assert all(p.grad is not None for p in student.fake_score.parameters())


def test_generator_losses_never_reach_fake_score_teacher_or_encoder(build_student):
    student = build_student(warmup_steps=0)
    cond, noise, target = student._starts(batch(), torch.Generator().manual_seed(0), regress=True)
    actions = student._generate(student.model, noise, cond)
    matching = student._matching_loss(actions, cond, torch.Generator().manual_seed(0))
    (torch.nn.functional.mse_loss(actions, target) + matching).backward()
    assert all(p.grad is not None for p in student.model.unet.parameters())
    silent = [
        *student.fake_score.parameters(),
        *student.teacher.parameters(),
        *student.model.obs_encoder.parameters(),
    ]
    assert all(p.grad is None for p in silent)


def test_without_regression_the_teacher_is_never_sampled(build_student, monkeypatch):
    student = build_student(warmup_steps=0, regression_weight=0.0)
    monkeypatch.setattr(student, "teacher_samples", None)
    student.train_step = 3  # at the first step, the critic is compared with the teacher
    _, parts = student.forward(batch())
    assert parts.keys() == {"fake_score_loss", "matching_loss"}


def test_with_reuse_the_teacher_samples_every_so_many_iterations_and_pairs_stay_pairs(build_student, monkeypatch):
    student = build_student(warmup_steps=100, pair_reuse=3, pair_buffer_size=10)
    sample, calls = student.teacher_samples, []
    monkeypatch.setattr(student, "teacher_samples", lambda *args: calls.append(student.train_step) or sample(*args))
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    for _ in range(7):
        step(student, optimizer)
    assert calls == [0, 3, 6]
    pairs = student._pairs
    assert int(pairs.added) == 12  # three batches of four, the oldest two of them overwritten
    cond, noise, target = pairs.draw(16, torch.Generator().manual_seed(0))
    assert len({row.sum().item() for row in noise}) > 4
    # Networks round by batch size, and ten steps amplify it; other pairs would differ by 0.1 and more.
    torch.testing.assert_close(target, sample(noise, cond), atol=1e-4, rtol=1e-4)


def test_an_evaluation_neither_trains_the_pairs_nor_is_replaced_by_them(build_student):
    student = build_student(warmup_steps=100, pair_reuse=3, pair_buffer_size=10)
    student.forward(batch())
    before = {key: value.clone() for key, value in student._pairs.state_dict().items()}
    student.eval()
    for train_step in (0, 1):  # with and without the teacher's turn
        student.train_step = train_step
        _, noise, target = student._starts(batch(), torch.Generator().manual_seed(0), regress=True)
        torch.testing.assert_close(target, student.teacher_samples(noise, student.encode_for_training(batch())))
        assert student.forward(batch())[1]["regression_loss"] > 0
    for key, value in student._pairs.state_dict().items():
        assert torch.equal(value, before[key])


def test_gradients_are_clipped_at_their_own_scale_under_a_grad_scaler(build_student):
    """Of a fused optimizer, torch's GradScaler hands over its scale and leaves the gradients as they are."""
    students = [build_student(generator_grad_clip_norm=0.5) for _ in range(2)]
    for student, scale in zip(students, (None, 65536.0), strict=True):
        optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
        random = torch.Generator().manual_seed(0)
        for p in student.model.denoiser.parameters():
            p.grad = torch.randn(p.shape, generator=random) * (scale or 1.0)
        if scale is not None:
            optimizer.grad_scale, optimizer.found_inf = torch.tensor(scale), torch.tensor(0.0)
        optimizer.step()
        norms = torch.stack([p.grad.norm() for p in student.model.denoiser.parameters()])
        assert norms.norm().item() == pytest.approx(0.5, rel=1e-3)
    for one, other in zip(*(student.model.denoiser.parameters() for student in students), strict=True):
        torch.testing.assert_close(one, other)


def test_each_network_is_clipped_and_scheduled_on_its_own(build_student):
    student = build_student(
        generator_grad_clip_norm=0.5, fake_score_grad_clip_norm=0.1, fake_score_warmup_steps=4, critic_lead_steps=2
    )
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    scheduler = student.config.get_scheduler_preset().build(optimizer, 100)
    generator, fake = optimizer.param_groups
    for p in [*generator["params"], *fake["params"]]:
        p.grad = torch.full_like(p, 10.0)
    optimizer.step()
    norm = lambda group: torch.stack([p.grad.norm() for p in group["params"]]).norm().item()  # noqa: E731
    assert norm(generator) == pytest.approx(0.5, rel=1e-3)
    assert norm(fake) == pytest.approx(0.1, rel=1e-3)
    scheduler.step()
    assert fake["lr"] == pytest.approx(student.config.fake_score_lr / 4)
    assert generator["lr"] == pytest.approx(student.config.generator_lr / student.config.generator_warmup_steps)
    for _ in range(99):
        scheduler.step()
    assert generator["lr"] == pytest.approx(student.config.generator_lr * 0.05)
    assert fake["lr"] == pytest.approx(student.config.fake_score_lr)  # the critic keeps its rate


def test_network_is_the_teachers(build_student, teacher):
    config = build_student().config
    reference = DP3Policy.from_pretrained(teacher).config
    assert (config.horizon, config.n_obs_steps, config.n_action_steps) == (8, 2, 4)
    assert config.network_config.down_dims == reference.down_dims


@pytest.mark.parametrize(
    ("wrong", "offender"),
    [
        ({"horizon": 4}, "horizon=4.*has 8"),
        ({"n_obs_steps": 3}, "n_obs_steps=3.*has 2"),
        ({"n_action_steps": 8}, r"n_action_steps=8.*1 \.\.\. 7"),
        ({"teacher_inference_steps": 101}, "teacher_inference_steps=101"),
        ({"weighting": "heavy"}, "weighting=heavy"),
        ({"fake_updates_per_generator_update": 0}, "fake_updates_per_generator_update=0"),
        ({"regression_delta": -0.1}, "regression_delta=-0.1"),
        ({"recipe": "smd"}, "--policy.recipe: 'smd' is not known. Did you mean 'sdm'"),
        ({"data_weight": -1.0}, "data_weight=-1.0"),
        ({"data_samples": 1}, "data_samples=1: must be at least 2"),
        ({"mixed_conditions": 1.5}, "mixed_conditions=1.5"),
        ({"data_share": 0.0}, "data_share=0.0: must be above 0"),
        ({"regression_weight": 0.0, "matching_weight": 0.0}, "regression_weight=0: the student learns nothing"),
        ({"pair_reuse": 0}, "pair_reuse=0"),
        ({"pair_buffer_size": 0}, "pair_buffer_size=0"),
        ({"timestep_range": (0.9, 0.1)}, "timestep_range"),
        ({"timestep_levels": 101}, r"timestep_levels=101: must lie in 0 \.\.\. 100"),
        ({"generator_timestep": 100}, "generator_timestep=100"),
        ({"down_dims": [8, 16], "regression_weight": 0.0}, r"down_dims=\[8, 16\].*takes regression"),
        ({"backbone": "mixer", "regression_weight": 0.0}, r"backbone=mixer.*takes regression"),
        ({"backbone": "mixers"}, r"--policy\.backbone: 'mixers' is not known. Did you mean 'mixer'"),
        ({"mixer_width": 16}, r"mixer_width=16: is a setting of the backbone 'mixer'.*give --policy\.backbone=mixer"),
        ({"backbone": "mixer", "down_dims": [8, 16]}, r"down_dims=\[8, 16\]: is a setting of the backbone 'unet'"),
        ({"down_dims": [8, 9]}, "n_groups|divisible|multiple"),
    ],
)
def test_contradictions_are_refused_by_name(build_student, wrong, offender):
    with pytest.raises(InputError, match=offender):
        build_student(**wrong)


def test_training_without_a_teacher_is_refused(dataset):
    config = SDMConfig(device="cpu")
    with pytest.raises(InputError, match="teacher_path"):
        make_policy(config, ds_meta=LeRobotDatasetMetadata(REPO_ID, root=dataset))


def test_a_folder_that_is_no_policy_is_refused_with_a_hint(teacher, tmp_path):
    run = teacher.parent.parent.parent
    with pytest.raises(InputError, match=r"holds no config\.json.*Did you mean .*pretrained_model"):
        SDMConfig(teacher_path=str(run), device="cpu")
    with pytest.raises(InputError, match="neither a folder"):
        SDMConfig(teacher_path=str(tmp_path / "nowhere"), device="cpu")


def test_a_teacher_of_the_wrong_kind_is_refused(student):
    with pytest.raises(InputError, match=r"'sdm'.*dp3"):
        SDMConfig(teacher_path=str(student), device="cpu")


def test_a_single_field_overrides_its_recipe():
    config = SDMConfig(device="cpu", recipe="sdm_paper", generator_lr=1e-3, use_ema=True)
    assert (config.generator_lr, config.use_ema) == (1e-3, True)
    assert (config.fake_score_lr, config.weighting) == (5e-5, "released")


@pytest.mark.parametrize(
    ("recipe", "first", "later"),
    [
        ("regression", Turn(1, 0, 0, False), Turn(1, 0, 0, False)),
        ("sdm", Turn(1, 0, 0, False), Turn(1, 1, 0, False)),
        ("dmd", Turn(1, 0, 0, False), Turn(1, 0, 1, True)),
        ("sdm_paper", Turn(0, 0, 1, True), Turn(0, 0, 1, True)),
    ],
)
def test_what_each_recipe_trains(recipe, first, later):
    config = SDMConfig(device="cpu", recipe=recipe)
    assert turn_of(config, 0) == first
    assert turn_of(config, config.warmup_steps) == later


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains(build_student, recipe):
    student = build_student(
        **{**dict.fromkeys(("critic_lead_steps", "fake_updates_per_generator_update")), "recipe": recipe}
    )
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    before = [p.clone() for p in student.model.unet.parameters()]
    for _ in range(4):
        parts = step(student, optimizer)
    assert any(not torch.equal(a, b) for a, b in zip(before, student.model.unet.parameters(), strict=True))
    assert ("fake_score_loss" in parts) == (recipe in {"dmd", "sdm_paper"}) == hasattr(student, "fake_score")
    assert ("data_loss" in parts) == (recipe == "sdm")


def test_the_paper_recipe_acts_at_the_last_timestep_with_raw_weights(build_student):
    student = build_student(recipe="sdm_paper", warmup_steps=None, fake_updates_per_generator_update=None)
    assert student.config.generator_timestep == 99
    assert student.inference_model is student.model
    _, parts = student.forward(batch())
    assert parts.keys() == {"matching_loss", "fake_score_loss", "critic_error", "teacher_spread"}


def test_the_paper_recipe_acts_at_the_last_timestep_of_any_teacher():
    network = describe(DP3Config(num_train_timesteps=1000, device="cpu"))
    assert SDMConfig(recipe="sdm_paper", network=network, device="cpu").generator_timestep == 999
    assert SDMConfig(recipe="sdm", network=network, device="cpu").generator_timestep == 700


def test_critic_equal_to_the_teacher_gives_no_gradient(build_student):
    student = build_student()
    assert student._check_critic(batch(), torch.Generator().manual_seed(0))["critic_error"] < 1e-5
    noise, cond = torch.randn(4, 8, 4), student.encode_for_training(batch())
    actions = student._generate(student.model, noise, cond)
    student._matching_loss(actions, cond, torch.Generator().manual_seed(0)).backward()
    # The teacher skips convolution taps that see only padding, which rounds differently.
    assert max(p.grad.abs().max() for p in student.model.unet.parameters()) < 1e-6


def test_a_critic_that_errs_by_more_than_the_teachers_spread_is_warned_of(build_student, caplog):
    student = build_student()
    with torch.no_grad():
        for p in student.fake_score.parameters():
            p.add_(1.0)
    found = student._check_critic(batch(), torch.Generator().manual_seed(0))
    assert found["critic_error"] > found["teacher_spread"] > 0
    assert "--policy.critic_lead_steps" in caplog.text


def test_the_critic_warms_up_from_its_own_first_step(build_student):
    student = build_student(warmup_steps=20, critic_lead_steps=5, fake_score_warmup_steps=4)
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    scheduler = student.config.get_scheduler_preset().build(optimizer, 100)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[1]["lr"] / student.config.fake_score_lr)
        scheduler.step()
    assert rates[:15] == [0] * 15
    assert rates[15:] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert [turn_of(student.config, i).critic for i in (14, 15)] == [False, True]


@pytest.mark.parametrize(("done", "first"), [(0, 15), (10, 5), (30, 0)])
def test_another_training_from_a_checkpoint_does_not_wait_for_the_critic_again(build_student, done, first):
    student = build_student(warmup_steps=20, critic_lead_steps=5, fake_score_warmup_steps=4)
    student.train_step = done
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    assert optimizer.param_groups[1]["first_step"] == first
    # A resumed training reads it from its file.
    saved = optimizer.state_dict()
    saved["param_groups"][1]["first_step"] = 2
    scheduler = student.config.get_scheduler_preset().build(optimizer, 100)
    assert scheduler.state_dict()["lr_lambdas"] == [None, None]  # As in checkpoints of earlier versions.
    optimizer.load_state_dict(saved)
    for _ in range(4):
        scheduler.step()
    assert optimizer.param_groups[1]["lr"] == pytest.approx(student.config.fake_score_lr / 2)


def test_the_energy_score_sees_the_demonstrated_actions_within_the_episode_only(build_student):
    student = build_student(recipe="sdm", warmup_steps=0)
    student.noise_seed = 0
    pad = torch.zeros(4, 8, dtype=torch.bool)
    pad[:, 6:] = True

    def data_loss(actions, pad):
        return student.forward(batch() | {"action": actions, "action_is_pad": pad})[1]["data_loss"]

    zeros = torch.zeros(4, 8, 4)
    beyond = zeros.clone()
    beyond[:, 6:] = 5.0
    assert data_loss(beyond, pad) == pytest.approx(data_loss(zeros, pad))
    assert data_loss(beyond, ~pad & pad) > data_loss(zeros, pad) + 1


def test_the_energy_score_may_be_taken_for_a_share_of_the_batch(build_student):
    """Of the other rows neither the actions nor, with kept samples of the teacher, the observations matter."""
    changed = {key: value.clone() for key, value in batch().items()} | {"action": torch.zeros(4, 8, 4)}
    for value in changed.values():
        value[3] += 0.5
    losses = {}
    for share in (0.6, 1.0):  # Three of four rows, rounded up, and all.
        student = build_student(recipe="sdm", warmup_steps=0, data_share=share, pair_reuse=2)
        student.noise_seed = 0
        student.forward(batch() | {"action": torch.zeros(4, 8, 4)})
        student.train_step = 1  # The teacher's samples are those of the step before.
        with count_rows(student.model.denoiser) as rows:
            losses[share] = [
                student.forward(data)[1]["data_loss"] for data in (batch() | {"action": torch.zeros(4, 8, 4)}, changed)
            ]
        assert rows[:2] == [4, 2 * (3 if share < 1 else 4)]
    assert losses[0.6][0] == pytest.approx(losses[0.6][1])
    assert losses[1.0][0] != pytest.approx(losses[1.0][1])


@contextmanager
def count_rows(network):
    """Collects how many samples each evaluation of a network has."""
    rows: list[int] = []
    handle = network.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    yield rows
    handle.remove()


def test_mixed_conditions_lie_between_two_of_the_batch():
    cond = torch.eye(6)
    mixed = mix_conditions(cond, 1.0, torch.Generator().manual_seed(0))
    assert not torch.equal(mixed, cond)
    torch.testing.assert_close(mixed.sum(1), torch.ones(6))
    assert ((mixed > 0).sum(1) <= 2).all()
    assert torch.equal(mix_conditions(cond, 0.0, torch.Generator().manual_seed(0)), cond)


def test_a_student_saved_before_there_were_recipes_is_what_it_was():
    saved = json.loads((Path(__file__).parents[1] / "saved" / "sdm" / "config.json").read_text())
    assert "recipe" not in saved
    config = SDMConfig.upgraded(saved)
    assert (config["recipe"], config["matching_weight"], config["data_weight"]) == ("dmd", 1.0, 0.0)
    assert (config["timestep_levels"], config["regression_delta"]) == (0, 0.03)
    assert SDMConfig.upgraded(saved | {"regression_delta": None})["regression_delta"] == 0


def test_features_of_the_student_are_declared_for_inference(build_student):
    student = build_student()
    assert student.config.input_features["observation.point_cloud"] == PolicyFeature(FeatureType.STATE, (12, 3))


def test_frozen_encoder_sees_each_frame_of_the_dataset_once(build_student, monkeypatch):
    """And nothing else changes: the losses are those of a student that encodes in every step."""
    remembering, forgetful = build_student(pair_reuse=1), build_student(feature_memory_mb=0)
    encodings = {name: [] for name in ("remembering", "forgetful")}
    for name, student in (("remembering", remembering), ("forgetful", forgetful)):
        student.noise_seed = 0
        encode = student.model.encode
        monkeypatch.setattr(
            student.model,
            "encode",
            lambda data, encode=encode, calls=encodings[name]: calls.append(1) or encode(data),
        )
    for index in ([0, 1, 2, 3], [4, 1, 2, 7], [0, 1, 2, 3], [3, 2, 1, 0]):
        data = {key: value[[i % 4 for i in index]] for key, value in batch().items()} | {"index": torch.tensor(index)}
        losses = [student.forward(data)[0] for student in (remembering, forgetful)]
        torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-6)
    assert len(encodings["remembering"]) == 1 + 6  # the first one once more, to see what a condition is like
    assert len(encodings["forgetful"]) == 4


def test_negative_memory_for_features_is_refused(build_student):
    with pytest.raises(InputError, match="feature_memory_mb=-1"):
        build_student(feature_memory_mb=-1)
