"""The script that shows where a benchmark's policies fail: its numbers and panels, by hand."""

import numpy as np
import pytest
from benchmark_cells import SETTINGS, made_cell
from example_scripts import load_script

from lerobot_sdm.errors import InputError

failures = load_script("failures.py")

DEMONSTRATIONS = np.array([[0.0, 0, 0, 0, 0, 0], [10, 20, 0, 0, 0, 0]])
EPISODES = np.array([[5.0, 10, 0, 0, 0, 0], [10, 23, 0, 0, 0, 0], [14, 20, 0, 0, 0, 0]])
ARM = failures.POSITIONS["metaworld_pc"]


def test_numbers():
    """The second start is 3 cm from a demonstration and the third 4 cm, both outside the box; the first is inside."""
    told = failures.report(EPISODES, DEMONSTRATIONS, np.array([0.0, 0.6, 1.0]), np.array([False, False, True]))
    assert told == [
        "2 of 3 episodes are failed by most methods, 1 by all.",
        "failed by most: median distance of the start to the nearest demonstration 3.5 cm",
        "others: median distance of the start to the nearest demonstration 11.2 cm",
        "outside the box of the demonstrations: 2 of 2 starts are failed by most methods",
        "inside: 0 of 1 starts are failed by most methods",
        "the expert fails 1 episodes, 1 of them among those",
    ]


def test_only_what_varies_is_drawn():
    (title, columns), *others = failures.panels(ARM, EPISODES, DEMONSTRATIONS)
    assert (title, columns, others) == ("object, from above: x and y in cm", [0, 1], [])
    higher = EPISODES + np.array([0, 0, 0, 0, 0, 20])
    assert [columns for _, columns in failures.panels(ARM, higher, DEMONSTRATIONS)] == [[0, 1], [3, 5]]


@pytest.mark.parametrize(("task", "what"), [("reach", "goal"), ("adroit-hammer", "nail"), ("adroit-door", "handle")])
def test_starts_are_where_the_simulator_has_them(task, what):
    """By the simulator's own bodies and sites, in centimeters."""
    env, positions = failures.opened({"settings": SETTINGS}, task)
    first = 3 * list(positions).index(what)
    found = failures.starts(env, positions, [3])[0, first : first + 3]
    base = env.unwrapped
    sites = {"nail": "S_target", "handle": "S_handle"}
    there = base.data.site(sites[what]).xpos if what in sites else base.simulator._target_pos
    np.testing.assert_allclose(found, 100 * there, atol=1e-6)
    env.close()


def test_the_direction_of_a_pen_is_its_goals():
    env, positions = failures.opened({"settings": SETTINGS}, "adroit-pen")
    found = failures.starts(env, positions, [3])[0]
    top, bottom = (env.unwrapped.data.site(f"target_{end}").xpos for end in ("top", "bottom"))
    np.testing.assert_allclose(found, 100 * (top - bottom) / np.linalg.norm(top - bottom), atol=0.5)
    env.close()
    ((title, _), *_) = failures.panels(positions, np.array([[0.0, 0, 100], [60, 0, 80]]), np.array([[0.0, 0, 100]]))
    assert title == "direction, from above: x and y in % of its length"


def test_other_tasks_are_refused():
    with pytest.raises(InputError, match="TASK=dexart-faucet: is not a task of MetaWorld or Adroit"):
        failures.opened({"settings": SETTINGS | {"suite": "sdm-57"}}, "dexart-faucet")


def test_the_view_is_the_folders():
    env, _ = failures.opened({"settings": SETTINGS | {"view": "dp3"}}, "reach")
    assert env.observation_space["point_cloud"].shape == (512, 3)
    env.close()


def test_a_method_counts_once_however_many_seeds_it_has():
    cells = [made_cell("reach", "easy", method, "xx..", seed) for method in ("dp3-10", "sdm") for seed in (1, 2)]
    cells += [made_cell("reach", "easy", "drift", "xxxx ....", protocol="paper")]
    seeds, fails, expert = failures.failures({"cells": cells, "experts": {}}, "reach", seed=2)
    assert seeds == [100_000, 100_001, 100_002, 100_003]
    assert fails.tolist() == [[False, False, True, True]] * 2
    assert expert is None
    with pytest.raises(InputError, match="no cell of --seed=3"):
        failures.failures({"cells": cells, "experts": {}}, "reach", seed=3)
