"""Experts: found by name, bounded, reproducible, and good at their task."""

import numpy as np
import pytest

from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv
from lerobot_sdm.envs.metaworld.tasks import EXTRA_TASKS, METAWORLD_TASKS, all_tasks
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts import Expert, default_expert, expert_class, expert_names, make_expert


@pytest.fixture(scope="module")
def drawer():
    env = MetaWorldPointCloudEnv("drawer-open", num_points=16, terminate_on_success=False)
    yield env
    env.close()


def actions_of(expert, env, seed: int, steps: int = 12, variant: int = 0) -> np.ndarray:
    env.reset(seed=seed)
    expert.reset(env, seed, variant)
    actions = []
    for _ in range(steps):
        actions.append(expert.act(env))
        env.step(actions[-1])
    return np.stack(actions)


@pytest.mark.parametrize("task", all_tasks())
def test_every_task_has_an_expert(task):
    expert = make_expert(default_expert("metaworld_pc", task), task)
    assert expert.task == task
    assert expert.variants >= 1
    assert expert.provenance()["name"] in expert_names()


@pytest.mark.parametrize("task", METAWORLD_TASKS)
def test_scripted_policies_are_those_of_the_task(task):
    policy = make_expert("scripted", task).provenance()["policy"].removeprefix("Sawyer").removesuffix("V3Policy")
    # MetaWorld itself calls this one differently from its task.
    expected = "PegInsertionSide" if task == "peg-insert-side" else task.title().replace("-", "")
    assert policy == expected


def test_clipping_changes_only_what_is_recorded(drawer):
    clipped = actions_of(make_expert("scripted", "drawer-open"), drawer, seed=3, steps=80)
    asked = actions_of(make_expert("scripted", "drawer-open", clip=False), drawer, seed=3, steps=80)
    assert clipped.dtype == np.float32
    assert clipped.shape == (80, 4)
    assert np.abs(asked).max() > 1
    # MetaWorld clips by itself, so both drove the same way.
    np.testing.assert_array_equal(np.clip(asked, -1, 1), clipped)


def test_an_expert_without_a_registered_name_is_named_by_its_class():
    class Nameless(Expert):
        def plan(self, env):
            return np.zeros(4)

    assert Nameless("drawer-open").provenance()["name"].endswith(":" + Nameless.__qualname__)
    assert make_expert("scripted", "drawer-open").provenance()["name"] == "scripted"


def test_noise_follows_the_seed_and_has_the_given_size(drawer):
    noisy = make_expert("scripted", "drawer-open", action_noise=0.1, clip=False)
    first, again, other = (actions_of(noisy, drawer, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # The gripper is asked to stay open at exactly -1, so its spread is the noise's.
    gripper = actions_of(noisy, drawer, seed=3, steps=100)[:, 3]
    assert gripper.mean() == pytest.approx(-1.0, abs=0.04)
    assert gripper.std() == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("task", ["drawer-open", *EXTRA_TASKS])
def test_the_default_expert_solves_its_task_in_every_variant(task):
    env = MetaWorldPointCloudEnv(task, num_points=16)
    expert = make_expert(default_expert("metaworld_pc", task), task)
    driven = []
    for variant in range(expert.variants):
        env.reset(seed=0)
        expert.reset(env, 0, variant)
        path, done = [], False
        while not done:
            path.append(expert.act(env))
            *_, terminated, truncated, info = env.step(path[-1])
            done = terminated or truncated
        assert info["is_success"]
        driven.append(np.stack(path[:20]))
    assert all(not np.array_equal(driven[0], path) for path in driven[1:])
    env.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scriptd", "Did you mean 'scripted'"),
        ("no_such_module:Expert", "no_such_module"),
        ("pathlib:Path", "is not an Expert"),
    ],
)
def test_unknown_experts_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        expert_class(name)


def test_scripted_knows_only_metaworld_tasks():
    with pytest.raises(InputError, match="drawer-open"):
        make_expert("scripted", "drawer-opens")
    with pytest.raises(InputError, match="action_noise"):
        make_expert("scripted", "drawer-open", action_noise=-0.1)
    for name in ("detour", "faucet-turn"):
        make_expert(name, name)
        with pytest.raises(InputError, match=f"--expert={name}, task: 'faucet-open' is not known"):
            make_expert(name, "faucet-open")
