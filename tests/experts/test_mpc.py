"""Sampling MPC: costs by hand, whole episodes, seeds, guides, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from adroit_files import write_policy

from lerobot_sdm.datasets.record import RecordConfig, record
from lerobot_sdm.datasets.write import PROVENANCE
from lerobot_sdm.envs.adroit.configuration import AdroitPointCloudEnvConfig
from lerobot_sdm.envs.adroit.env import AdroitPointCloudEnv
from lerobot_sdm.envs.adroit.tasks import HAND_TASKS
from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts import default_expert, make_expert
from lerobot_sdm.experts.dapg import load_policy
from lerobot_sdm.experts.mpc_costs import TASK_COSTS, task_cost
from lerobot_sdm.experts.prediction import prediction_class
from lerobot_sdm.experts.search import Search, improve
from lerobot_sdm.measure.expert import expert_episodes, expert_successes

BLIND = {"num_points": 1, "camera_size": 1, "renderer": "raycast"}
QUICK = Search(samples=4, horizon=4, knots=2, elites=2, replan=2)
PUBLIC = Path(__file__).parents[2] / "../shared/data/dapg/pen-v0.pickle"
needs_public = pytest.mark.skipif(not PUBLIC.exists(), reason="needs the public policies in ../shared/data/dapg")


def driven(expert, env, seed: int, steps: int) -> np.ndarray:
    expert.start(env, seed)
    expert.reset(env, seed)
    actions = []
    for _ in range(steps):
        actions.append(expert.act(env))
        env.step(actions[-1])
    return np.stack(actions)


@pytest.mark.parametrize("task", HAND_TASKS)
def test_every_adroit_task_has_it_as_its_default(task):
    assert default_expert("adroit", task) == "mpc"
    expert = make_expert("mpc", task, search=QUICK, threads=1)
    env = AdroitPointCloudEnv(task, **BLIND)
    actions = driven(expert, env, seed=2, steps=3)
    assert actions.shape == (3, *env.action_space.shape)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1.0
    told = expert.provenance()
    assert told["search"]["samples"] == 4
    assert told["cost"] == dict(TASK_COSTS[f"adroit/{task}"].weights)
    env.close()


def test_an_episode_depends_on_its_seed_alone():
    env = AdroitPointCloudEnv("pen", **BLIND)
    first = driven(make_expert("mpc", "pen", search=QUICK, threads=1), env, seed=4, steps=5)
    used = make_expert("mpc", "pen", search=QUICK, threads=2)
    other = driven(used, env, seed=5, steps=3)
    np.testing.assert_array_equal(driven(used, env, seed=4, steps=5), first)
    assert not np.array_equal(other, first[:3])
    # A new scene after `close` is followed, too.
    env.close()
    np.testing.assert_array_equal(driven(used, env, seed=4, steps=5), first)
    env.close()


def test_it_solves_a_metaworld_task():
    env = MetaWorldPointCloudEnv("drawer-open", **BLIND)
    expert = make_expert("mpc", "drawer-open")
    expert.start(env, 0)
    expert.reset(env, 0)
    success = over = False
    while not over:
        *_, terminated, truncated, info = env.step(expert.act(env))
        success, over = info["is_success"], terminated or truncated
    assert success
    env.close()


def test_it_makes_a_demonstration_without_any_file():
    """Measured on 25 seeds: docs/notes/adroit_study.md."""
    (episode,) = expert_episodes(AdroitPointCloudEnvConfig(task="hammer", renderer="raycast"), [101], "mpc")
    assert episode.success
    assert episode.success_steps >= AdroitPointCloudEnvConfig.min_success_steps


@needs_public
def test_it_does_what_it_is_guided_to_do():
    config = AdroitPointCloudEnvConfig(task="pen", renderer="raycast")
    assert all(expert_successes(config, [103, 106], "mpc", path=PUBLIC))


def at(*position: float) -> np.ndarray:
    return np.array([[position]])


def test_costs_of_the_door_by_hand():
    def priced(hinge: float, latch: float) -> dict[str, float]:
        measured = {
            "qpos": np.r_[np.zeros(28), hinge, latch].reshape(1, 1, -1),
            "qvel": np.full((1, 1, 30), 2.0),
            "palm": at(0, 0, 0),
            "handle": at(0.3, 0.4, 0),
        }
        return {name: term.item() for name, term in TASK_COSTS["adroit/door"].terms(measured).items()}

    assert priced(0.0, 0.8) == pytest.approx({"reach": 0.5, "latch": 1.0, "hinge": 1.57, "speed": 120.0})
    # Once the door moves, the latch may snap back.
    assert priced(0.2, 0.0)["latch"] == 0.0
    assert priced(1.57, 1.8)["hinge"] == 0.0


def test_a_hand_that_drives_the_nail_itself_pays_for_it():
    far = dict.fromkeys(["ff finger", "mf finger", "rf finger", "lf finger", "th finger"], at(0, 0, 0.5))
    measured = far | {
        "qpos": np.zeros((1, 1, 33)),
        "qvel": np.zeros((1, 1, 33)),
        "palm": at(0, 0, 0.2),
        "hammer": at(0, 0, 0.5),
        "head": at(0, 0, 0.02),
        "nail": at(0, 0.1, 0.2),
        "goal": at(0, 0.11, 0.2),
    }
    terms = TASK_COSTS["adroit/hammer"].terms(measured)
    found = {name: terms[name].item() for name in ("reach", "grasp", "lift", "nail", "bare")}
    assert found == pytest.approx({"reach": 0.3, "grasp": 0.0, "lift": 0.08, "nail": 0.01, "bare": 0.05})


def test_costs_of_the_pen_by_hand():
    measured = {
        "qpos": np.zeros((1, 1, 30)),
        "qvel": np.r_[np.full(24, 9.0), 1.0, 0.0, 0.0, 0.0, 2.0, 0.0].reshape(1, 1, -1),
        "pen": at(0, 0.1, 0.1),
        "palm": at(0, 0, 0.1),
        "top": at(1, 0, 0),
        "bottom": at(-1, 0, 0),
        "target_top": at(0, 0, 3),
        "target_bottom": at(0, 0, 1),
    }
    found = {name: term.item() for name, term in TASK_COSTS["adroit/pen"].terms(measured).items()}
    expected = {"turn": np.sqrt(2), "stay": 0.1, "leave": 0.035, "fall": 0.11, "fly": 1.0, "spin": 4.0}
    assert found == pytest.approx(expected)


def test_a_plan_whose_prediction_broke_costs_more_than_any():
    cost = TASK_COSTS["adroit/relocate"]
    measured = {"qvel": np.zeros((2, 3, 36)), "palm": np.zeros((2, 3, 3)), "ball": np.zeros((2, 3, 3))}
    measured["target"] = np.zeros((2, 3, 3))
    measured["ball"][1, 2] = np.nan
    priced = cost(measured)
    # The ball lies at the target on the table: three steps of 0.1 m below where it should be lifted to.
    assert priced[0] == pytest.approx(3 * 0.1 * cost.weights["lift"])
    assert priced[1] == np.inf


def test_a_pen_is_settled_within_eleven_degrees_and_in_the_hand():
    def settled(degrees: float, away: float) -> bool:
        angle = np.radians(degrees)
        points = {"top": at(0, np.sin(angle), np.cos(angle)), "bottom": at(0, 0, 0)}
        points |= {"target_top": at(0, 0, 2), "target_bottom": at(0, 0, 1), "pen": at(0, away, 0.2)}
        still = {"qpos": np.zeros((1, 1, 30)), "qvel": np.zeros((1, 1, 30)), "palm": at(0, 0, 0.2)}
        return TASK_COSTS["adroit/pen"].settled(points | still).item()

    assert [settled(11, 0.05), settled(12, 0.05), settled(0, 0.07)] == [True, False, False]


def test_a_door_is_settled_beyond_every_goal():
    hinges = np.array([1.34, 1.39, 1.41])
    qpos = np.concatenate([np.zeros((3, 28)), hinges[:, None], np.zeros((3, 1))], axis=1)
    np.testing.assert_array_equal(TASK_COSTS["adroit/door"].settled({"qpos": qpos}), [False, False, True])


@pytest.mark.parametrize(("nothing_left", "searches"), [(True, 3), (False, 5)])
def test_a_plan_that_leaves_nothing_to_do_is_executed_to_its_half(monkeypatch, nothing_left, searches):
    def settled(measured):
        return np.full(measured["qpos"].shape[:-1], nothing_left)

    def counted(*arguments):
        plans.append(improve(*arguments))
        return plans[-1]

    plans = []
    monkeypatch.setitem(TASK_COSTS, "adroit/pen", replace(TASK_COSTS["adroit/pen"], settled=settled))
    monkeypatch.setattr("lerobot_sdm.experts.mpc.improve", counted)
    env = AdroitPointCloudEnv("pen", **BLIND)
    expert = make_expert("mpc", "pen", search=replace(QUICK, horizon=8), threads=1)
    actions = driven(expert, env, seed=1, steps=9)
    assert len(plans) == searches
    each = 4 if nothing_left else 2
    executed = np.concatenate([plan[:each] for plan in plans])[:9]
    np.testing.assert_array_equal(actions, executed.astype(np.float32))
    env.close()


def test_a_policy_guides_the_search(tmp_path):
    write_policy(tmp_path / "pen.pickle", (45, 8, 24))
    env = AdroitPointCloudEnv("pen", **BLIND)
    alone = driven(make_expert("dapg", "pen", path=tmp_path / "pen.pickle"), env, seed=1, steps=4)
    # Without noise, what the policy would do is what the search finds: now, or foreseen one step ago.
    silent = replace(QUICK, noise=0.0, least_noise=0.0, replan=1)
    guided = make_expert("mpc", "pen", path=tmp_path / "pen.pickle", search=silent, threads=1)
    np.testing.assert_allclose(driven(guided, env, seed=1, steps=4), alone, atol=1e-6)
    assert guided.provenance()["guide"]["file"] == "pen.pickle"
    # What the policy would do is foreseen for the whole horizon.
    env.reset(seed=1)
    foreseen = prediction_class(env)(env, {}, 1).follow_policy(load_policy(tmp_path / "pen.pickle"), 4)
    np.testing.assert_allclose(foreseen, alone, atol=1e-6)
    env.close()


def test_guides_that_do_not_fit_are_refused(tmp_path):
    write_policy(tmp_path / "door.pickle", (39, 8, 28))
    with pytest.raises(InputError, match="pen has 45 and 24"):
        make_expert("mpc", "pen", path=tmp_path / "door.pickle")
    write_policy(tmp_path / "hammer.pickle", (46, 8, 26))
    guided = make_expert("mpc", "hammer", path=tmp_path / "hammer.pickle")
    env = MetaWorldPointCloudEnv("hammer", **BLIND)
    with pytest.raises(InputError, match="is for Adroit tasks"):
        guided.start(env, 0)
    with pytest.raises(InputError, match=r"^--expert-path: .* is for Adroit tasks, not for drawer-open"):
        make_expert("mpc", "drawer-open", path=tmp_path / "hammer.pickle")


def test_tasks_without_a_cost_are_refused_before_anything_is_simulated():
    expert = make_expert("mpc", "drawer-close")
    with pytest.raises(InputError, match=r"'drawer-close' is not known.*drawer-open"):
        expert.start(MetaWorldPointCloudEnv("drawer-close", **BLIND), 0)
    with pytest.raises(InputError, match="door"):
        task_cost("adroit", "dor")


def test_it_records_without_any_file(tmp_path):
    env = AdroitPointCloudEnvConfig(task="door", num_points=8, camera_size=8, renderer="raycast", episode_length=2)
    root = record(RecordConfig(env=env, episodes=1, keep="all", root=tmp_path / "door"))
    told = json.loads((root / PROVENANCE).read_text())["expert"]
    assert told["name"] == "mpc"
    assert Search(**told["search"]) == TASK_COSTS["adroit/door"].search
