"""LeRobot's environment, its `diffusion` trained from our file of settings, and a student on its own: whole runs."""

import shutil
from pathlib import Path

import gymnasium
import pytest
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot_commands import REPO_ID, lerobot_eval, lerobot_train

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.measure.latency import count_calls

gym_pusht = pytest.importorskip("gym_pusht", reason="needs the extra `pusht`")

DDIM = Path(__file__).parents[3] / "configs/pusht/image_ddim.yaml"
SMALL = ("--policy.down_dims=[8,16]", "--policy.diffusion_step_embed_dim=16")
# LeRobot's environments in processes of their own do not know gym-pusht.
EPISODES = ("--env.type=pusht", "--env.episode_length=9", "--eval.use_async_envs=false")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two episodes of random actions, as the environment shows them."""
    root = tmp_path_factory.mktemp("data") / "pusht"
    vectors = {"dtype": "float32", "shape": (2,), "names": None}
    picture = {"dtype": "image", "shape": (96, 96, 3), "names": ["height", "width", "channels"]}
    features = {"observation.state": vectors, "action": vectors, "observation.image": picture}
    made = LeRobotDataset.create(REPO_ID, fps=10, features=features, root=root, use_videos=False)
    env = gymnasium.make("gym_pusht/PushT-v0", obs_type="pixels_agent_pos", disable_env_checker=True)
    env.action_space.seed(0)
    for seed in range(2):
        seen, _ = env.reset(seed=seed)
        for _ in range(12):
            action = env.action_space.sample()
            frame = {"observation.state": seen["agent_pos"].astype("float32"), "observation.image": seen["pixels"]}
            made.add_frame({**frame, "action": action, "task": "push"})
            seen, *_ = env.step(action)
        made.save_episode()
    made.finalize()
    env.close()
    return root


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, dataset) -> Path:
    output = tmp_path_factory.mktemp("runs") / "ddim"
    with pytest.MonkeyPatch.context() as patch:
        return lerobot_train(patch, dataset, output, f"--config_path={DDIM}", *SMALL, steps=2)


def test_the_ddim_baseline_takes_fifteen_evaluations(teacher, tmp_path, monkeypatch):
    policy = DiffusionPolicy.from_pretrained(teacher)
    seen = {"observation.state": (1, 2, 2), "observation.images": (1, 2, 1, 3, 96, 96)}
    with count_calls(policy.diffusion.unet) as counter:
        policy.diffusion.generate_actions({key: torch.zeros(shape) for key, shape in seen.items()})
    assert counter.calls == 15
    assert len(lerobot_eval(monkeypatch, teacher, tmp_path, *EPISODES)["per_task"][0]["metrics"]["max_rewards"]) == 2


def test_lerobot_evaluates_a_student_whose_teacher_is_gone(teacher, dataset, tmp_path, monkeypatch):
    moved = tmp_path / "teacher"
    shutil.copytree(teacher, moved)
    flags = ("--policy.type=sdm", f"--policy.teacher_path={moved}", "--policy.warmup_steps=1")
    student = lerobot_train(monkeypatch, dataset, tmp_path / "run", *flags, steps=3)
    shutil.rmtree(moved)
    metrics = lerobot_eval(monkeypatch, student, tmp_path / "eval", *EPISODES)["per_task"][0]["metrics"]
    assert len(metrics["max_rewards"]) == len(metrics["successes"]) == 2
