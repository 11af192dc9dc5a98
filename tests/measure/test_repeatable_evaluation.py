"""The same evaluation twice gives the same numbers, episode by episode, for the same seed and batch size."""

import pytest
from lerobot_commands import lerobot_eval

ENV = (
    "--env.type=metaworld_pc",
    "--env.task=reach",
    "--env.episode_length=8",
    "--env.num_points=16",
    "--env.camera_size=32",
    "--env.render_size=64",  # Of the videos, whose encoding would take longer than all else.
)


def outcomes(info: dict) -> dict[str, list]:
    """What an evaluation found, without the times that it took."""
    (task,) = info["per_task"]
    return {name: task["metrics"][name] for name in ("sum_rewards", "max_rewards", "successes")}


@pytest.mark.parametrize("who", ["teacher", "student"])
def test_the_same_command_gives_the_same_numbers(who, tiny, tmp_path, monkeypatch):
    """Bit for bit: observations, the policy's noise and its arithmetic repeat themselves."""
    policy = getattr(tiny, who)
    first, second = (outcomes(lerobot_eval(monkeypatch, policy, tmp_path / str(i), *ENV)) for i in range(2))
    assert first == second
    # The comparison means something only if another seed has other rewards.
    other = outcomes(lerobot_eval(monkeypatch, policy, tmp_path / "other", *ENV, "--seed=7"))
    assert other["sum_rewards"] != first["sum_rewards"]
