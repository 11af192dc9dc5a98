"""The same evaluation twice gives the same numbers, episode by episode, for the same seed and batch size."""

import pytest
from lerobot_commands import lerobot_eval

from lerobot_sdm.policies.guards import NonFiniteError

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
    """Bit for bit, in this process and in others: observations, the policy's noise and its arithmetic repeat."""
    policy = getattr(tiny, who)
    others = "--eval.use_async_envs=true"  # LeRobot's default
    first = outcomes(lerobot_eval(monkeypatch, policy, tmp_path / "first", *ENV, others))
    assert first == outcomes(lerobot_eval(monkeypatch, policy, tmp_path / "second", *ENV))
    # The comparison means something only if another seed has other rewards.
    other = outcomes(lerobot_eval(monkeypatch, policy, tmp_path / "other", *ENV, "--seed=7"))
    assert other["sum_rewards"] != first["sum_rewards"]


def test_clouds_that_nobody_reads_change_nothing(tiny, tmp_path, monkeypatch):
    """With the policy's chunk of 3 actions from 2 observations; with another, it refuses to plan without a cloud."""
    long = (*ENV, "--env.episode_length=20")
    evaluate = [
        lerobot_eval(monkeypatch, tiny.teacher, tmp_path / str(n), *long, *given)
        for n, given in enumerate(((), ("--env.n_action_steps=3",)))
    ]
    assert outcomes(evaluate[0]) == outcomes(evaluate[1])
    with pytest.raises(NonFiniteError, match=r"observation.point_cloud.*Nothing was executed"):
        lerobot_eval(monkeypatch, tiny.teacher, tmp_path / "other", *long, "--env.n_action_steps=5")
    with pytest.raises(NonFiniteError, match=r"observation.point_cloud"):
        lerobot_eval(
            monkeypatch, tiny.teacher, tmp_path / "one", *long, "--env.n_action_steps=3", "--env.n_obs_steps=1"
        )
