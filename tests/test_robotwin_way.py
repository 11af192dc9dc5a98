"""RoboTwin the whole way: demonstrations in, a policy trained; its checkpoint in, distilled and asked for actions."""

import pytest
import torch
from checkpoints.original_files import random_inputs
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot_commands import lerobot_train
from robotwin_files import JOINTS, LENGTHS, POINTS, episodes, make_checkpoint, write_hdf5, write_zarr
from typer.testing import CliRunner

from lerobot_sdm.cli import main

SMALL = (
    *("--policy.down_dims=[16,16,16]", "--policy.encoder_hidden_dims=[8,16]", "--policy.encoder_out_dim=16"),
    *("--policy.diffusion_step_embed_dim=16", "--policy.n_obs_steps=3", "--policy.horizon=8"),
    "--policy.n_action_steps=6",
)


def command(*arguments) -> str:
    result = CliRunner().invoke(main.app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def acts(folder) -> None:
    """The policy answers what RoboTwin's simulator would show with six actions for two arms, one at a time."""
    config = PreTrainedConfig.from_pretrained(folder)
    policy = get_policy_class(config.type).from_pretrained(folder, config=config).eval()
    pre, post = make_pre_post_processors(config, pretrained_path=str(folder))
    assert (config.n_obs_steps, config.horizon, config.n_action_steps) == (3, 8, 6)
    for _ in range(7):
        seen = {"observation.state": torch.rand(JOINTS), "observation.point_cloud": torch.rand(POINTS, 6)}
        action = post(policy.select_action(pre(seen)))
        assert action.shape == (1, JOINTS)
        assert torch.isfinite(action).all()
    frames = {"observation.state": torch.rand(2, 3, JOINTS), "observation.point_cloud": torch.rand(2, 3, POINTS, 6)}
    policy.reset()
    assert post(policy.predict_action_chunk(pre(frames))).shape == (2, 6, JOINTS)


@pytest.mark.slow
def test_the_whole_way(tmp_path, monkeypatch):
    pytest.importorskip("h5py", reason="needs h5py, the extra hdf5")
    from_files, from_store = tmp_path / "from-files", tmp_path / "from-store"
    demonstrations = write_hdf5(tmp_path / "beat_block_hammer/demo_clean", episodes())
    said = command("convert", demonstrations, f"--root={from_files}", "--workers=1")
    assert f"{len(LENGTHS)} episodes, {sum(LENGTHS) - len(LENGTHS)} frames at 17 Hz" in said
    store = write_zarr(tmp_path / "beat_block_hammer-demo_clean-3.zarr", episodes())
    command("convert", store, "--layout=robotwin", f"--root={from_store}", "--workers=1")

    teacher = lerobot_train(
        monkeypatch, from_files, tmp_path / "teacher", "--policy.type=dp3", *SMALL, steps=2, save_freq=2
    )
    acts(teacher)

    original, imported = make_checkpoint(episodes()), tmp_path / "imported"
    said = command("import-checkpoint", original.save(tmp_path / "3000.ckpt"), f"--output={imported}")
    assert "beat_block_hammer-demo_clean-50" in " ".join(said.split())
    acts(imported)
    observation, noise = random_inputs(original)
    config = PreTrainedConfig.from_pretrained(imported)
    policy = get_policy_class("dp3").from_pretrained(imported, config=config).eval()
    pre, post = make_pre_post_processors(config, pretrained_path=str(imported))
    batch = pre(
        {
            "observation.state": observation["agent_pos"],
            "observation.point_cloud": observation["point_cloud"],
        }
    )
    with torch.no_grad():
        ours = post(policy.sample_actions(batch, noise))
    torch.testing.assert_close(ours, original.answer("ema", observation, noise, "ddim10"), rtol=0, atol=1e-4)

    student = lerobot_train(
        monkeypatch,
        from_store,
        tmp_path / "student",
        "--policy.type=sdm",
        f"--policy.teacher_path={imported}",
        "--policy.warmup_steps=1",
        steps=2,
        save_freq=2,
    )
    acts(student)
