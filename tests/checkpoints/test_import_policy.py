"""Importing original checkpoints: the same answers as the original, every tensor accounted for."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from checkpoints.original_files import ACTION_DIM, make_original, random_inputs
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot_commands import lerobot_train, make_small_dataset
from omegaconf import OmegaConf
from safetensors.torch import load_file
from typer.testing import CliRunner

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.checkpoints.import_policy import import_checkpoint
from lerobot_sdm.cli import main
from lerobot_sdm.errors import InputError

RECORDED = Path(__file__).parents[2] / "../shared/data/original_checkpoints"
NAMES = {"agent_pos": "observation.state"}
TOLERANCE = 1e-5  # In normalized units.


def load(folder: Path, **overrides):
    """A policy directory as LeRobot's commands load it: (policy, preprocessor, postprocessor)."""
    config = PreTrainedConfig.from_pretrained(folder)
    for name, value in overrides.items():
        setattr(config, name, value)
    policy = get_policy_class(config.type).from_pretrained(folder, config=config).eval()
    return (policy, *make_pre_post_processors(config, pretrained_path=str(folder)))


def answers(folder: Path, observation: dict, noise: torch.Tensor, **overrides):
    """(whole horizon, executed slice), in real units."""
    policy, pre, post = load(folder, **overrides)
    batch = pre({NAMES.get(key, f"observation.{key}"): value for key, value in observation.items()})
    with torch.no_grad():
        whole = policy.sample_actions(batch, noise)
        policy.reset()
        executed = policy.predict_action_chunk(batch, noise)
    return post(whole), post(executed)


def normalized_error(folder: Path, ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference in normalized action units."""
    stats = load_file(folder / "policy_postprocessor_step_0_unnormalizer_processor.safetensors")
    half_range = (stats["action.max"] - stats["action.min"]) / 2
    return ((ours - theirs) / half_range).abs().max().item()


def recorded_cases() -> list:
    cases = [("dp3_door", weights, mode) for weights in ("raw", "ema") for mode in ("ddim10", "onestep")]
    return cases + [("simple_dp3_assembly", weights, "ddim10") for weights in ("raw", "ema")]


@pytest.mark.skipif(not RECORDED.exists(), reason="needs the shared original checkpoints")
@pytest.mark.parametrize(("name", "weights", "mode"), recorded_cases())
def test_recorded_answers_of_the_original_code(name, weights, mode, tmp_path):
    recorded = load_file(RECORDED / f"{name}.io.safetensors")
    folder = tmp_path / "policy"
    import_checkpoint(RECORDED / f"{name}.ckpt", folder, weights)
    observation = {key: recorded[f"in.{key}"] for key in ("agent_pos", "point_cloud")}
    one_step = {"num_inference_steps": 1, "timestep_spacing": "trailing"} if mode == "onestep" else {}
    whole, executed = answers(folder, observation, recorded["in.noise"], **one_step)
    for ours, theirs in ((whole, "action_pred"), (executed, "action")):
        assert ours.shape == recorded[f"out.{weights}.{mode}.{theirs}"].shape
        assert normalized_error(folder, ours, recorded[f"out.{weights}.{mode}.{theirs}"]) <= TOLERANCE


@pytest.mark.parametrize(
    ("weights", "options"),
    [
        ("ema", {}),
        ("raw", {"kind": "simple_dp3"}),
        ("ema", {"color": True}),
        ("raw", {"imagined": True, "identity": True}),
        ("ema", {"imagined": True, "identity": True, "color": True}),
        ("raw", {"down_dims": (32, 16)}),
        ("ema", {"kind": "simple_dp3", "down_dims": (16, 16, 32, 64), "horizon": 16}),
        ("ema", {"sampler": {"timestep_spacing": "trailing"}}),
        ("ema", {"sampler": {"beta_schedule": "linear", "beta_start": 0.001, "beta_end": 0.05}}),
        ("ema", {"sampler": {"beta_schedule": "scaled_linear", "beta_end": 0.012, "timestep_spacing": "trailing"}}),
        ("ema", {"sampler": {"clip_sample_range": 0.5, "thresholding": False, "trained_betas": None}}),
        ("ema", {"sampler": {"clip_sample": False}}),
    ],
    ids=str,
)
def test_ten_steps_of_every_variant(weights, options, tmp_path):
    original = make_original(**options)
    folder = tmp_path / "policy"
    imported = import_checkpoint(original.save(tmp_path / "x.ckpt"), folder, weights)
    assert imported.policy_type == "dp3"
    observation, noise = random_inputs(original)
    theirs = original.answer(weights, observation, noise, "ddim10")
    whole, executed = answers(folder, observation, noise)
    assert normalized_error(folder, whole, theirs) <= TOLERANCE
    # Four actions are asked for and three exist.
    count = 8 if options.get("horizon") == 16 else 3
    assert executed.shape[1] == count
    assert normalized_error(folder, executed, theirs[:, 1 : 1 + count]) <= TOLERANCE


@pytest.mark.parametrize("kind", ["sdm", "manicm"])
def test_students_answer_in_one_step_as_released(kind, tmp_path):
    dexart = {"imagined": True, "identity": True} if kind == "sdm" else {}
    original = make_original(kind=kind, **dexart)
    folder = tmp_path / "policy"
    imported = import_checkpoint(original.save(tmp_path / "x.ckpt"), folder)
    assert (imported.policy_type, imported.weights) == ("sdm", "raw")
    assert load(folder)[0].config.generator_timestep == 99
    observation, noise = random_inputs(original)
    whole, executed = answers(folder, observation, noise)
    theirs = original.answer("raw", observation, noise, "lcm1")
    assert normalized_error(folder, whole, theirs) <= TOLERANCE
    assert normalized_error(folder, executed, theirs[:, 1:4]) <= TOLERANCE


@pytest.mark.parametrize("kind", ["sdm", "manicm"])
def test_the_other_weights_of_a_student_file_are_its_teacher(kind, tmp_path):
    original = make_original(kind=kind)
    folder = tmp_path / "policy"
    imported = import_checkpoint(original.save(tmp_path / "x.ckpt"), folder, "ema")
    assert imported.policy_type == "dp3"
    observation, noise = random_inputs(original)
    whole, _ = answers(folder, observation, noise)
    assert normalized_error(folder, whole, original.answer("ema", observation, noise, "ddim10")) <= TOLERANCE


def test_the_student_of_another_range_of_betas_learns_under_it(tmp_path):
    original = make_original(kind="sdm", sampler={"beta_schedule": "linear", "beta_end": 0.05})
    import_checkpoint(original.save(tmp_path / "x.ckpt"), tmp_path / "policy")
    network = load(tmp_path / "policy")[0].model
    expected = DDIMScheduler(100, beta_start=0.0001, beta_end=0.05, beta_schedule="linear").alphas_cumprod
    torch.testing.assert_close(network.alphas_cumprod, expected)


def test_a_file_without_steps_takes_one_for_each_noise_level(tmp_path):
    original = make_original()
    original.payload["cfg"].policy.num_inference_steps = None
    import_checkpoint(original.save(tmp_path / "x.ckpt"), tmp_path / "policy")
    assert load(tmp_path / "policy")[0].config.num_inference_steps == 100


def test_the_timestep_of_a_student_follows_its_scheduler(tmp_path):
    original = make_original(kind="manicm")
    OmegaConf.update(original.payload["cfg"], "policy.scheduler.original_inference_steps", 30, force_add=True)
    import_checkpoint(original.save(tmp_path / "x.ckpt"), tmp_path / "policy")
    # A stride of 100 // 30 = 3, thirty of them, counted from 1: 30 * 3 - 1.
    assert load(tmp_path / "policy")[0].config.generator_timestep == 89


def test_a_task_named_by_references_is_put_together(tmp_path):
    original = make_original()
    cfg = original.payload["cfg"]
    cfg.task_name, cfg.setting, cfg.expert_data_num = "beat_block_hammer", "demo_clean", 50
    cfg.task.name = "${task_name}-${setting}-${expert_data_num}"
    assert (
        import_checkpoint(original.save(tmp_path / "x.ckpt"), tmp_path / "a").task == "beat_block_hammer-demo_clean-50"
    )
    # A name only labels the file, so one that cannot be read does not refuse it.
    for number, name in enumerate(["${now:%H.%M}", "${nowhere}-1", "${task.name}", 3]):
        OmegaConf.update(cfg, "task.name", name)
        assert import_checkpoint(original.save(tmp_path / "x.ckpt"), tmp_path / str(number)).task == "unknown"


@pytest.mark.parametrize(("highest", "unit"), [(1.0, True), (255.0, False)])
def test_colors_of_another_scale_are_said(highest, unit, tmp_path):
    original = make_original(color=True)
    for weights in ("model", "ema_model"):
        state = original.payload["state_dicts"][weights]
        state["normalizer.params_dict.point_cloud.scale"][3:] = 2 / highest
        state["normalizer.params_dict.point_cloud.offset"][3:] = -1.0
    original.save(tmp_path / "x.ckpt")
    result = CliRunner().invoke(main.app, ["import-checkpoint", str(tmp_path / "x.ckpt"), f"--output={tmp_path / 'p'}"])
    assert result.exit_code == 0, result.output
    assert ("--color-range=none" in result.output) == unit


def test_a_file_without_moving_average_gives_its_raw_weights(tmp_path):
    original = make_original()
    del original.payload["state_dicts"]["ema_model"]
    path = original.save(tmp_path / "x.ckpt")
    assert import_checkpoint(path, tmp_path / "policy").weights == "raw"
    with pytest.raises(InputError, match=r"--weights=ema: x\.ckpt does not contain 'ema_model'"):
        import_checkpoint(path, tmp_path / "other", "ema")


def test_provenance_is_written_without_paths(tmp_path):
    folder = tmp_path / "policy"
    import_checkpoint(make_original().save(tmp_path / "latest.ckpt"), folder)
    facts = json.loads((folder / "import.json").read_text())
    assert facts.items() >= {"kind": "dp3", "task": "assembly", "weights": "ema", "epoch": 56}.items()
    assert (facts["source_file"], facts["global_step"], len(facts["source_sha256"])) == ("latest.ckpt", 1234, 64)
    texts = [path.read_text() for path in folder.glob("*.json")]
    assert len(texts) == 4
    assert not any("someone" in text or str(tmp_path) in text for text in texts)


def test_an_imported_policy_acts_step_by_step_with_an_imagined_robot(tmp_path):
    original = make_original(imagined=True, identity=True)
    import_checkpoint(original.save(tmp_path / "x.ckpt"), tmp_path / "policy")
    policy, pre, post = load(tmp_path / "policy")
    step = {
        "observation.state": torch.zeros(9),
        "observation.point_cloud": torch.rand(20, 6),
        "observation.imagin_robot": torch.rand(5, 7),
    }
    assert post(policy.select_action(pre(step))).shape == (1, ACTION_DIM)
    del step["observation.imagin_robot"]
    with pytest.raises(InputError, match=r"observation\.imagin_robot"):
        pre(step)


def test_an_imported_policy_serves_as_teacher(tmp_path, monkeypatch):
    original = make_original(kind="simple_dp3", horizon=16)
    import_checkpoint(original.save(tmp_path / "x.ckpt"), tmp_path / "teacher")
    student = lerobot_train(
        monkeypatch,
        make_small_dataset(tmp_path / "data", channels=6),
        tmp_path / "student",
        "--policy.type=sdm",
        f"--policy.teacher_path={tmp_path / 'teacher'}",
        "--policy.warmup_steps=1",
        steps=2,
        save_freq=2,
    )
    policy, pre, _ = load(student)
    assert policy.config.network_config.blocks_per_level == 1
    # The student normalizes as its teacher does.
    theirs = load(tmp_path / "teacher")[1]
    states = ([step.state_dict() for step in pipeline.steps if step.state_dict()] for pipeline in (pre, theirs))
    for ours, teachers in zip(*states, strict=True):
        assert ours.keys() == teachers.keys()
        assert all(torch.equal(ours[key], teachers[key]) for key in ours)


def test_shapes_of_the_paper_size(tmp_path):
    """The names and shapes that the released code gives its tensors for Adroit's hammer."""
    from lerobot.configs.types import FeatureType, PolicyFeature

    from lerobot_sdm.checkpoints.original_weights import original_name
    from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
    from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model

    config = DP3Config(
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (24,)),
            "observation.point_cloud": PolicyFeature(FeatureType.STATE, (512, 3)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (26,))},
        device="cpu",
    )
    simple = dataclasses.replace(config, down_dims=(128, 256, 384), blocks_per_level=1)
    for settings, count, golden in ((config, 168, DP3_SHAPES), (simple, 108, SIMPLE_SHAPES)):
        with torch.device("meta"):
            state = DP3Model(settings).state_dict()
        named = {original_name(key, settings.blocks_per_level): tuple(value.shape) for key, value in state.items()}
        assert len(named) == count
        assert named.items() >= golden.items()


DP3_SHAPES = {
    "obs_encoder.extractor.mlp.7.bias": (256,),
    "obs_encoder.extractor.final_projection.1.weight": (64,),
    "obs_encoder.state_mlp.2.weight": (64, 64),
    "model.diffusion_step_encoder.3.weight": (128, 512),
    "model.mid_modules.1.blocks.1.block.1.bias": (2048,),
    "model.mid_modules.1.cond_encoder.1.weight": (4096, 384),
    "model.up_modules.0.0.residual_conv.weight": (1024, 4096, 1),
    "model.up_modules.1.2.conv.weight": (512, 512, 4),
    "model.down_modules.1.2.conv.weight": (1024, 1024, 3),
    "model.down_modules.0.0.blocks.0.block.0.weight": (512, 26, 5),
    "model.final_conv.0.block.1.weight": (512,),
    "model.final_conv.1.bias": (26,),
}
SIMPLE_SHAPES = {
    "model.mid_modules.0.cond_encoder.1.weight": (768, 384),
    "model.up_modules.0.1.conv.weight": (256, 256, 4),
    "model.down_modules.1.1.conv.weight": (256, 256, 3),
    "model.down_modules.2.0.residual_conv.weight": (384, 256, 1),
    "model.final_conv.1.weight": (26, 128, 1),
}
