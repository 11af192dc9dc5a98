"""Checkpoints that earlier versions wrote, in `tests/saved`, and what their policies answered.

`python tests/saved_checkpoints.py FOLDER` writes such checkpoints with the version at hand: tiny networks after three
training steps, paths relative to the folder in which they were trained, and `answers.safetensors` beside each.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot_commands import lerobot_train, make_small_dataset
from safetensors.torch import load_file, save_file

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)

SAVED = Path(__file__).parent / "saved"
ANSWERS = "answers.safetensors"

NETWORK = (
    "--policy.down_dims=[8,8]",
    "--policy.kernel_size=3",
    "--policy.blocks_per_level=1",
    "--policy.encoder_hidden_dims=[4,8]",
    "--policy.encoder_out_dim=8",
    "--policy.state_mlp_dims=[8]",
    "--policy.diffusion_step_embed_dim=8",
    "--policy.horizon=8",
    "--policy.n_action_steps=4",
)
TRAININGS = {
    "dp3": ("dp3", *NETWORK),
    "edm": ("edm", *NETWORK, "--policy.num_inference_steps=4"),
    "flow": ("flow", *NETWORK, "--policy.num_inference_steps=2"),
    "meanflow": ("meanflow", *NETWORK, "--policy.recipe=mp1"),
    "drift": ("drift", *NETWORK),
    "sdm": ("sdm", "--policy.teacher_path=dp3", "--policy.warmup_steps=2", "--policy.n_action_steps=3"),
    "manicm": ("manicm", "--policy.teacher_path=dp3", "--policy.num_inference_steps=2"),
    "consistency": ("consistency", "--policy.teacher_path=edm", "--policy.chaining_times=[27,54]"),
    "difftori": ("difftori", "--policy.base_path=dp3", "--policy.n_iterations=4", "--policy.hidden_dim=8",
                 "--policy.latent_dim=4", "--policy.encoder_hidden_dims=[4]", "--policy.encoder_out_dim=8"),
    "adjoint_matching": ("adjoint_matching", "--policy.base_path=dp3", "--policy.reward_path=reward",
                         "--policy.sampling_steps=4", "--policy.loss_steps=2"),
}  # fmt: skip
"""Checkpoint -> policy type and options of its training, sources before what is made from them."""


def observation(step: int, batch: int = 3) -> dict[str, torch.Tensor]:
    """Time step of an episode of random observations, each (B, ...), in the units of the training data."""
    generator = torch.Generator().manual_seed(step)
    return {
        "observation.state": torch.rand(batch, 9, generator=generator),
        "observation.point_cloud": torch.rand(batch, 12, 3, generator=generator),
    }


def answers(folder: Path) -> dict[str, torch.Tensor]:
    """What the policy in a folder does: `chunk`, one chunk (3, n_action_steps, 4) from fixed noise, normalized, and
    `actions` (6, 3, 4) of six consecutive steps through its own pipelines."""
    config = PreTrainedConfig.from_pretrained(folder)
    policy = get_policy_class(config.type).from_pretrained(folder, config=config)
    before, after = make_pre_post_processors(config, pretrained_path=str(folder))
    steps = [before(observation(step)) for step in range(6)]
    window = {key: torch.stack([steps[0][key], steps[1][key]], dim=1) for key in config.input_features}
    noise = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    with torch.inference_mode():
        chunk = policy.predict_action_chunk(window, noise=noise)
        policy.reset()
        actions = torch.stack([after(policy.select_action(step)) for step in steps])
    return {"chunk": chunk.contiguous(), "actions": actions.contiguous()}


def stored_answers(folder: Path) -> dict[str, torch.Tensor]:
    """`answers` of the version that wrote the checkpoint."""
    return load_file(folder / ANSWERS)


def write(target: Path) -> None:
    """Train everything in `TRAININGS` and copy what a later version has to read into `target`."""
    from reward_models import save_reward_model

    with tempfile.TemporaryDirectory() as work, contextlib.chdir(work), pytest.MonkeyPatch.context() as patch:
        make_small_dataset(Path("data"))
        for name, (kind, *options) in TRAININGS.items():
            run = lerobot_train(patch, Path("data"), Path("runs") / name, f"--policy.type={kind}", *options, steps=3,
                                save_freq=3)  # fmt: skip
            shutil.copytree(run, name)
            if name == "dp3":
                save_reward_model(Path(name), Path("reward"), hidden_dims=(4,))
            save_file(answers(Path(name)), Path(name) / ANSWERS)
            Path(name, "README.md").unlink(missing_ok=True)
            Path(name, "training_state.safetensors").unlink()  # Of another half megabyte, and only resuming needs it.
            shutil.copytree(name, target / name, dirs_exist_ok=True)
        shutil.copytree("reward", target / "reward", dirs_exist_ok=True)


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    write(Path(sys.argv[1]).resolve())
