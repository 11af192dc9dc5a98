"""The watch over long evaluations: it runs, and it notices what it is there to notice."""

import dataclasses
import json
from pathlib import Path

import pytest
from example_scripts import load_script

from lerobot_sdm.envs.depth_camera import graphics_failure

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    return load_script("soak.py")


def series(script, rounds: int = 200, **leaks: float) -> list:
    """Samples of a run of rounds of 4 episodes, in which named numbers go up by so much a round; memory is noisy."""
    steady = {"rss_mib": 1500.0, "files": 20, "threads": 5, "processes": 0, "graphics_contexts": 0}
    found = []
    for number in range(rounds):
        values = {name: value + type(value)(leaks.get(name, 0) * number) for name, value in steady.items()}
        values["rss_mib"] += 3.0 * ((number * 7919) % 11 - 5)  # within +-15 MiB, without a trend
        found.append(script.Sample(minutes=number / 4, episodes=4 * (number + 1), contexts_in_use=4, **values))
    return found


def test_a_steady_run_is_left_in_peace(script):
    warm_up = [dataclasses.replace(s, rss_mib=s.rss_mib - 300, files=12) for s in series(script, 40)]
    samples = warm_up + series(script, 160)  # what is opened in the first rounds may stay open
    assert script.complaints(samples, [], max_growth=10) == []
    assert abs(script.growth(samples)) < 5


@pytest.mark.parametrize(
    ("leaks", "words"),
    [
        ({"rss_mib": 0.2}, "memory: grows by"),
        ({"files": 0.02}, "files: "),  # one in fifty rounds
        ({"threads": 0.1}, "threads: "),
        ({"processes": 1}, "processes: "),
        ({"graphics_contexts": 1}, "graphics_contexts: "),
    ],
)
def test_a_leak_is_noticed(script, leaks, words):
    found = script.complaints(series(script, **leaks), [], max_growth=10)
    assert found
    assert all(text.startswith(words) for text in found)


def test_the_slope_is_that_of_the_leak(script):
    """0.2 MiB in each round of 4 episodes are 50 MiB in 1000."""
    assert script.growth(series(script, rss_mib=0.2)) == pytest.approx(50, abs=5)


def test_another_outcome_for_the_same_seed_is_noticed(script):
    assert script.complaints(series(script), ["seed 1: ..."], max_growth=10) == ["outcome: seed 1: ..."]


def test_a_few_rounds(script, tiny, tmp_path):
    env = "metaworld_pc,task=reach,episode_length=6,num_points=16,camera_size=32"
    common = [f"--policy={tiny.student}", f"--env={env}", "--batch-size=2", "--cycle=2", f"--output={tmp_path}"]
    options = script.parse([*common, "--minutes=0", "--min-rounds=8", "--max-growth=100000"])
    result = script.soak(options)
    assert result == json.loads((tmp_path / "soak.json").read_text())
    assert (result["finished"], result["episodes"], result["seeds"]) == (True, 16, 4)
    assert result["complaints"] == []
    in_use = {sample["contexts_in_use"] for sample in result["samples"]}
    assert in_use == ({0} if graphics_failure() else {1})  # Two environments share it.
    script.plot(result, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 10_000
    with pytest.raises(SystemExit):
        script.parse(common)  # what was measured is not overwritten


def test_a_context_that_stays_is_counted(script):
    if failure := graphics_failure():
        pytest.skip(failure)
    from mujoco.egl import GLContext

    context = GLContext(8, 8)
    assert script.live_contexts() == 1
    context.free()
    assert script.live_contexts() == 0
