"""From LeRobot's own `diffusion`, as `lerobot-train` writes it, to students that need no teacher: whole runs."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot_commands import REPO_ID, lerobot_resume, lerobot_train

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.distillation import compare_to_teacher, draw_chunks, start_noise
from lerobot_sdm.measure.observations import held_out_observations
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

STATE, KEYPOINTS, CAMERA = "observation.state", "observation.environment_state", "observation.images.front"
OTHER_CAMERA = "observation.images.wrist"
TEACHER = (
    "--policy.type=diffusion",
    "--policy.horizon=8",
    "--policy.n_action_steps=4",
    "--policy.down_dims=[8,16]",
    "--policy.diffusion_step_embed_dim=16",
    "--policy.pretrained_backbone_weights=null",
    "--policy.crop_shape=[40,40]",
    "--policy.num_inference_steps=3",
)
STUDENTS = {
    "sdm": (
        "--policy.type=sdm",
        "--policy.recipe=dmd",
        "--policy.data_weight=1",
        "--policy.warmup_steps=2",
        "--policy.critic_lead_steps=1",
        "--policy.fake_updates_per_generator_update=2",
    ),
    "manicm": ("--policy.type=manicm",),
}


def make_dataset(root: Path, cameras: tuple[str, ...] = (CAMERA,)) -> Path:
    """Two episodes of random images (48, 48), keypoints (6,), states (3,) and actions (2,)."""
    features = {
        STATE: {"dtype": "float32", "shape": (3,), "names": None},
        KEYPOINTS: {"dtype": "float32", "shape": (6,), "names": None},
        "action": {"dtype": "float32", "shape": (2,), "names": None},
        **{key: {"dtype": "image", "shape": (48, 48, 3), "names": ["height", "width", "channels"]} for key in cameras},
    }
    dataset = LeRobotDataset.create(REPO_ID, fps=10, features=features, root=root, use_videos=False)
    rng = np.random.default_rng(0)
    for _ in range(2):
        for _ in range(16):
            frame = {key: rng.uniform(-1, 1, features[key]["shape"]).astype(np.float32) for key in (STATE, KEYPOINTS)}
            images = {key: rng.integers(0, 256, (48, 48, 3), dtype=np.uint8) for key in cameras}
            action = rng.uniform(-1, 1, 2).astype(np.float32)
            dataset.add_frame({**frame, **images, "action": action, "task": "none"})
        dataset.save_episode()
    dataset.finalize()
    return root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, dataset) -> Path:
    """An epsilon-predicting DDPM policy with batch normalization in its encoder: LeRobot's defaults."""
    with pytest.MonkeyPatch.context() as patch:
        return lerobot_train(patch, dataset, tmp_path_factory.mktemp("runs") / "teacher", *TEACHER, steps=2)


def student_options(kind: str, teacher: Path | str) -> tuple[str, ...]:
    return (*STUDENTS[kind], f"--policy.teacher_path={teacher}")


def raw_observation() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {STATE: (3,), KEYPOINTS: (6,), CAMERA: (3, 48, 48)}
    return {key: torch.rand(2, *shape, generator=generator) for key, shape in shapes.items()}


def in_a_folder(teacher: Path, place: Path, monkeypatch) -> str:
    shutil.copytree(teacher, place)
    return str(place)


def on_the_hub(teacher: Path, place: Path, monkeypatch) -> str:
    """A repo of the Hub as its client has it behind a download."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit, repo = "0123456789" * 4, place / "models--somebody--teacher"
    shutil.copytree(teacher, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    return "somebody/teacher"


@pytest.mark.parametrize(("kind", "put"), [("sdm", on_the_hub), ("manicm", in_a_folder)])
def test_one_command_distils_and_the_student_acts_with_the_teacher_deleted(
    kind, put, tmp_path, monkeypatch, dataset, teacher
):
    moved = tmp_path / "teacher"
    name = put(teacher, moved, monkeypatch)
    folder = lerobot_train(monkeypatch, dataset, tmp_path / "run", *student_options(kind, name), steps=4, save_freq=2)
    resumed = lerobot_resume(monkeypatch, tmp_path / "run" / "checkpoints" / "000002", tmp_path / "resumed")
    shutil.rmtree(moved)

    config = PreTrainedConfig.from_pretrained(folder)
    assert (config.horizon, config.n_action_steps, config.input_features.keys()) == (8, 4, {STATE, KEYPOINTS, CAMERA})
    actions = []
    for path in (folder, resumed):
        policy = get_policy_class(kind).from_pretrained(path)
        preprocess, postprocess = make_pre_post_processors(policy.config, pretrained_path=str(path))
        noise = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(0))
        actions.append(postprocess(policy.select_action(preprocess(raw_observation()), noise=noise)))
        assert len(policy._history.planned) == 3  # one of four is taken
    assert torch.equal(*actions)  # random crops included, the resumed run is the uninterrupted one
    assert torch.isfinite(actions[0]).all()


def test_its_action_distribution_can_be_compared(dataset, teacher):
    """LeRobot's policy takes as much start noise as observations; ours take many chunks from one."""
    policy = load_from_spec(
        PolicySpec("teacher", str(teacher), {"num_inference_steps": "2", "noise_scheduler_type": "DDIM"})
    )
    observations = held_out_observations(REPO_ID, dataset, policy.config, 2)
    observation = {key: value[:1] for key, value in observations.items()}
    noise = start_noise(policy, 3, (0, 0, 0))
    chunks = draw_chunks(policy, observation, noise)
    assert chunks.shape == (1, 3, 4 * 2)
    torch.testing.assert_close(draw_chunks(policy, observation, noise[1:2]), chunks[:, 1:2], atol=1e-5, rtol=1e-5)
    floor, same = compare_to_teacher(policy, [policy], observations, samples=4)
    assert floor.energy == same.energy


def test_another_camera_is_refused_before_anything_is_written(tmp_path, monkeypatch, teacher):
    other = make_dataset(tmp_path / "other", (OTHER_CAMERA,))
    with pytest.raises(InputError, match=r"images\.front.*teacher's cameras"):
        lerobot_train(monkeypatch, other, tmp_path / "run", *student_options("sdm", teacher))
    assert not (tmp_path / "run").exists()


def refused_on_the_command_line(capsys, monkeypatch, *args) -> str:
    """What LeRobot prints, on one line, before it exits over a configuration that cannot work."""
    with pytest.raises(SystemExit):
        lerobot_train(monkeypatch, *args)
    return " ".join(capsys.readouterr().err.split())


def test_asking_for_another_camera_is_refused(capsys, tmp_path, monkeypatch, dataset, teacher):
    features = json.dumps({OTHER_CAMERA: {"type": "VISUAL", "shape": [3, 48, 48]}})
    asked = (*student_options("sdm", teacher), f"--policy.input_features={features}")
    message = refused_on_the_command_line(capsys, monkeypatch, dataset, tmp_path / "run", *asked)
    assert re.search(r"input_features: 'observation\.images\.wrist' is not one of the teacher's observations", message)
    assert not (tmp_path / "run").exists()


def test_a_teacher_without_processors_is_refused_with_the_way_out(capsys, tmp_path, monkeypatch, dataset, teacher):
    old = tmp_path / "old"
    shutil.copytree(teacher, old)
    (old / "policy_preprocessor.json").unlink()
    asked = student_options("sdm", old)
    message = refused_on_the_command_line(capsys, monkeypatch, dataset, tmp_path / "run", *asked)
    assert re.search(r"policy_preprocessor\.json.*migrate_policy_normalization", message)


@pytest.mark.parametrize("kind", sorted(STUDENTS))
def test_a_start_where_noise_drowns_everything_is_refused(kind, teacher):
    field = {"sdm": "generator_timestep", "manicm": "start_timestep"}[kind]
    config_class = get_policy_class(kind).config_class
    with pytest.raises(InputError, match=rf"{field}=99: must lie in 0 \.\.\. 91.*this teacher predicts"):
        config_class(teacher_path=str(teacher), device="cpu", **{field: 99})
    assert getattr(config_class(teacher_path=str(teacher), device="cpu"), field) == {"sdm": 70, "manicm": 91}[kind]


def test_weights_that_do_not_fit_are_refused(tmp_path, monkeypatch, dataset, teacher):
    from safetensors.torch import load_file, save_file

    damaged = tmp_path / "damaged"
    shutil.copytree(teacher, damaged)
    weights = load_file(damaged / "model.safetensors")
    weights.pop(min(weights))
    save_file(weights, damaged / "model.safetensors")
    with pytest.raises(InputError, match=r"teacher_path.*the weights do not fit.*missing"):
        lerobot_train(monkeypatch, dataset, tmp_path / "run", *student_options("sdm", damaged))
