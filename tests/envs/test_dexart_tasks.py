"""DexArt's tasks without any engine: contact states, progress, success, reward, and the mapping of actions."""

from dataclasses import replace

import numpy as np
import pytest

from lerobot_sdm.envs.dexart.control import arm_velocity, finger_actions, finger_targets
from lerobot_sdm.envs.dexart.state import HandleRange, Measured
from lerobot_sdm.envs.dexart.tasks import DEXART_TASKS, RULE_SETS
from lerobot_sdm.envs.dexart.views import noisy_sample, observer

LID = HandleRange(left=0.4, middle=1.6)
AWAY = Measured(
    qpos=np.zeros(22), qvel=np.zeros(22), palm_position=np.zeros(3), palm_rotation=np.eye(3),
    palm_velocity=np.zeros(3), palm_spin=np.zeros(3), handle=np.array([0.3, 0, 0]), angle=0.6, height=0.0,
    fingers=0, palm_touches=False, arm_touches=False, base_touched=False, tracking_error=0.0,
)  # fmt: skip
HELD = replace(AWAY, handle=np.array([0.05, 0, 0]), fingers=3, palm_touches=True)


def make(name: str, rules: str = "dp3"):
    return DEXART_TASKS[name](RULE_SETS[rules], RULE_SETS[rules].horizon[name])


@pytest.mark.parametrize(
    ("task", "measured", "state"),
    [
        ("laptop", AWAY, 1),
        ("laptop", replace(HELD, palm_touches=False), 2),
        ("laptop", replace(HELD, fingers=1), 2),
        ("laptop", HELD, 3),
        ("toilet", replace(HELD, palm_touches=False, fingers=2), 3),
        ("toilet", replace(HELD, handle=np.array([0.15, 0, 0])), 1),
        ("bucket", replace(HELD, fingers=2, angle=1.6), 2),
        ("bucket", replace(HELD, angle=0.9), 2),
        ("bucket", replace(HELD, angle=1.1), 3),
    ],
)
def test_contact_states(task, measured, state):
    assert make(task).state(measured, LID) == state


def test_progress():
    # 1 - |q - 1.6| / (1.2 - 0.2): 0 at the start, 0.2 rad beyond left; symmetric around the middle.
    laptop = make("laptop")
    assert laptop.start_angle(LID) == pytest.approx(0.6)
    assert [laptop.progress(replace(HELD, angle=q), LID) for q in (0.6, 1.1, 1.6, 1.7)] == pytest.approx(
        [0, 0.5, 1, 0.9]
    )
    assert make("toilet").start_angle(LID) == pytest.approx(0.65)
    assert make("faucet").progress(replace(HELD, angle=-1.3), LID) == 1.3
    assert make("bucket").progress(replace(HELD, angle=1.0), LID) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("task", "measured", "dp3", "dexart"),
    [
        ("laptop", replace(HELD, angle=1.45), True, False),
        ("laptop", replace(HELD, angle=1.58), True, True),
        ("laptop", replace(HELD, angle=1.58, fingers=0), False, False),
        ("faucet", replace(HELD, angle=1.3), True, False),
        ("faucet", replace(HELD, angle=1.6), True, True),
        ("toilet", replace(HELD, angle=1.5), False, False),
        ("toilet", replace(HELD, angle=1.57), True, True),
        # A bucket counts however it is held.
        ("bucket", replace(AWAY, angle=1.5, height=0.2), True, False),
        ("bucket", replace(AWAY, angle=1.5, height=0.3), True, True),
    ],
)
def test_success_by_both_rule_sets(task, measured, dp3, dexart):
    assert make(task).succeeds(measured, LID) is dp3
    assert make(task, "dexart").succeeds(measured, LID) is dexart


def test_only_dp3_ends_a_bucket_early():
    high = replace(HELD, angle=1.6, height=0.31)
    assert make("bucket").ends_early(high, LID)
    assert not make("bucket").ends_early(replace(high, height=0.29), LID)
    assert not make("bucket", "dexart").ends_early(high, LID)


def test_rewards_by_hand():
    laptop = make("laptop")
    assert laptop.reward(AWAY, AWAY, LID, 1, False) == pytest.approx(-0.1 * 0.3)
    assert laptop.reward(AWAY, replace(AWAY, angle=0.5), LID, 1, False) == pytest.approx(-0.03 - 0.5 * 0.1)
    opened = replace(HELD, angle=1.5)
    assert laptop.reward(HELD, opened, LID, 50, False) == pytest.approx(0.2 + 0.9)
    assert laptop.reward(HELD, opened, LID, 50, True) == pytest.approx(0.2 + 0.9 + 200 * 1.2 * 0.9)
    # 0.01 * (0.01 * 22 * 1 + 1000 * 0.01^2); speeds count up to 1.
    costly = replace(AWAY, qvel=np.full(22, 5.0), tracking_error=0.01)
    assert laptop.reward(AWAY, costly, LID, 1, False) == pytest.approx(-0.03 - 0.01 * (0.22 + 0.1))


def test_agent_pos():
    assert make("laptop").agent_pos(HELD, 125).shape == (32,)
    seen = make("bucket").agent_pos(replace(HELD, palm_rotation=np.diag([1.0, 1, 1])[[2, 1, 0]]), 50)
    assert seen.shape == (33,)
    assert tuple(seen[-2:]) == (1.0, 0.5)


def test_actions():
    # Far from singularities, lambda^2 = 0.0025 costs 1 / (1 + 0.0025) of the speed.
    np.testing.assert_allclose(arm_velocity(np.arange(6) / 10, np.eye(6)), np.arange(6) / 10 / 1.0025)
    # A direction that no joint moves gives no speed, not an infinite one.
    flat = np.diag([0.0, 1, 1, 1, 1, 1])
    assert arm_velocity(np.array([1.0, 0, 0, 0, 0, 0]), flat)[0] == 0
    low, high = np.full(16, -0.5), np.full(16, 1.5)
    assert finger_targets(np.r_[np.zeros(6), -np.ones(16)], low, high) == pytest.approx(low)
    angles = np.linspace(-0.5, 1.5, 16)
    assert finger_targets(np.r_[np.zeros(6), finger_actions(angles, low, high)], low, high) == pytest.approx(angles)


def test_cameras():
    position, axes = observer(DEXART_TASKS["laptop"])
    np.testing.assert_allclose(position, [0, 1, 0.5])
    # Right, up and backward in the world: it looks along -y.
    np.testing.assert_allclose(axes, [[-1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-12)
    _, axes = observer(DEXART_TASKS["faucet"])
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_sampling():
    points, rng = np.arange(30, dtype=np.float32).reshape(10, 3) + 1, np.random.default_rng(0)
    chosen = noisy_sample(points, 6, 0.0, "random", rng)
    assert len(np.unique(chosen, axis=0)) == 6
    short = noisy_sample(points, 13, 0.0, "random", rng)
    assert (short[10:] == short[0]).all()
    assert (noisy_sample(points[:0], 4, 0.1, "fps", rng) == 0).all()
    np.testing.assert_array_equal(noisy_sample(points, 1, 0.0, "fps", rng), points[:1])
