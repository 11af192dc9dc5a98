"""The search of sampling MPC, on problems whose answers are known."""

import numpy as np
import pytest

from lerobot_sdm.errors import InputError
from lerobot_sdm.experts.search import Search, center, improve, line_weights, moved_on

STILL = np.zeros((9, 2))


def away_from(target: np.ndarray):
    """Costs (N,) of plans (N, H, A): mean squared distance to a plan (H, A)."""
    return lambda plans: ((plans - target) ** 2).mean(axis=(1, 2))


def test_lines_through_knots():
    expected = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(line_weights(5, 3), expected)
    np.testing.assert_allclose(line_weights(8, 4).sum(axis=1), 1.0)


def test_plans_move_on_and_hold_their_last_action():
    np.testing.assert_array_equal(moved_on(np.array([[1.0], [2.0], [3.0]]), 2), [[3.0], [3.0], [3.0]])
    np.testing.assert_array_equal(moved_on(np.array([[1.0], [2.0], [3.0]]), 0), [[1.0], [2.0], [3.0]])


def test_elites_count_alike():
    knots = np.array([1.0, 3.0, 100.0]).reshape(3, 1, 1)
    mean, spread = center(knots, np.array([0.0, 1.0, 2.0]), Search(samples=3, elites=2))
    assert (mean.item(), spread.item()) == (2.0, 1.0)


def test_weights_fall_with_the_cost():
    # Standard deviation 1, temperature 0.5: costs 2 apart weigh as 1 to exp(-4).
    knots = np.array([0.0, 1.0]).reshape(2, 1, 1)
    mean, spread = center(knots, np.array([5.0, 7.0]), Search(temperature=0.5))
    share = np.exp(-4) / (1 + np.exp(-4))
    assert mean.item() == pytest.approx(share)
    assert spread.item() == pytest.approx(np.sqrt(share * (1 - share)))


def test_a_broken_prediction_has_no_weight():
    knots = np.array([0.0, 1.0, 50.0]).reshape(3, 1, 1)
    mean, _ = center(knots, np.array([1.0, 1.0, np.inf]), Search(temperature=1.0))
    assert mean.item() == pytest.approx(0.5)


@pytest.mark.parametrize("temperature", [None, 0.2])
def test_where_every_prediction_breaks_the_plan_stays(temperature):
    def broken(plans):
        return np.full(len(plans), np.inf)

    base = np.full((9, 2), 0.4)
    search = Search(horizon=9, rounds=2, temperature=temperature)
    np.testing.assert_array_equal(improve([base], broken, search, np.random.default_rng(0)), base)


@pytest.mark.parametrize("temperature", [None, 0.2])
def test_searching_again_and_again_finds_the_best_plan(temperature):
    target = np.stack([np.linspace(-0.8, 0.8, 9), np.full(9, 0.3)], axis=1)
    evaluate, rng = away_from(target), np.random.default_rng(0)
    search = Search(samples=32, rounds=2, horizon=9, knots=3, least_noise=0.01, temperature=temperature)
    plan, costs = STILL, [away_from(target)(STILL[None])[0]]
    for _ in range(60):
        plan = improve([plan], evaluate, search, rng)
        costs.append(evaluate(plan[None])[0])
    assert (np.diff(costs) <= 1e-12).all()
    assert np.abs(plan - target).max() < 0.05


@pytest.mark.parametrize("temperature", [None, 0.2])
def test_nothing_that_was_tried_is_cheaper_than_what_is_found(temperature):
    """In a bowl the mean of good plans beats them all; between two bowls it does not, and the best plan is taken."""
    tried = []

    def bowl(plans):
        tried.append(plans)
        return ((plans - 0.3) ** 2).mean(axis=(1, 2))

    def bowls(plans):
        tried.append(plans)
        return ((np.abs(plans) - 0.9) ** 2).mean(axis=(1, 2))

    search = Search(samples=64, horizon=9, knots=3, noise=0.5, elites=12, temperature=temperature)
    for evaluate, mean_wins in ((bowl, True), (bowls, False)):
        tried.clear()
        plan = improve([np.zeros((9, 8))], evaluate, search, np.random.default_rng(0))
        drawn, (mean, best) = tried[0], tried[-1]
        assert evaluate(plan[None]).item() <= evaluate(drawn).min() + 1e-12
        np.testing.assert_array_equal(plan, mean if mean_wins else best)


def test_plans_stay_in_the_action_space():
    plan = improve([STILL], away_from(np.full((9, 2), 5.0)), Search(horizon=9, noise=3.0), np.random.default_rng(0))
    assert plan.max() == 1.0
    assert plan.min() >= -1.0


def test_the_cheaper_base_is_taken():
    good = np.full((9, 2), 0.7)
    search = Search(samples=2, horizon=9, noise=1e-6, least_noise=0.0, elites=1)
    for bases in ([STILL, good], [good, STILL]):
        found = improve(bases, away_from(good), search, np.random.default_rng(0))
        np.testing.assert_allclose(found, good, atol=1e-4)


def test_the_seed_decides():
    first, again, other = (
        improve([STILL], away_from(np.ones((9, 2))), Search(horizon=9), np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"samples": 1}, "samples=1"),
        ({"knots": 1}, "knots=1"),
        ({"replan": 0}, "replan=0"),
        ({"replan": 17}, "replan=17"),
        ({"elites": 65}, "elites=65"),
        ({"temperature": 0.0}, "temperature=0.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(options, named):
    with pytest.raises(InputError, match=named):
        Search(**options)
