"""Files in the formats that Adroit's experts read, made here so that the tests need none from elsewhere."""

import itertools
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch


def write_policy(path: Path, sizes: tuple[int, ...], seed: int = 0, activation=torch.tanh) -> torch.nn.Module:
    """Write a policy as `mjrl` pickles it; returns its layers.

    Args:
        path: The file.
        sizes: Widths of observations, hidden layers and actions.
        seed: Of the weights.
        activation: Between the layers.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
    for parameter in layers.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    names = {"mjrl.policies.gaussian_mlp": "MLP", "mjrl.utils.fc_network": "FCNetwork"}
    modules = {name: types.ModuleType(name) for name in ("mjrl", "mjrl.policies", "mjrl.utils", *names)}
    made = {}
    for module, name in names.items():
        made[name] = type(name, (), {"__module__": module})
        setattr(modules[module], name, made[name])
    network, policy = made["FCNetwork"](), made["MLP"]()
    network.__dict__ |= {
        "_modules": {"fc_layers": layers},
        "nonlinearity": activation,
        "in_shift": torch.full((sizes[0],), 0.1),
        "in_scale": torch.full((sizes[0],), 2.0),
        "out_shift": torch.full((sizes[-1],), -0.05),
        "out_scale": torch.full((sizes[-1],), 0.5),
    }
    policy.__dict__ |= {"n": sizes[0], "m": sizes[-1], "model": network}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        path.write_bytes(pickle.dumps(policy, protocol=3))
    return layers


def drive_original(task: str, seed: int, steps: int):
    """A smooth random episode of Gymnasium-Robotics' own environment, as Minari keeps it."""
    import gymnasium as gym
    import gymnasium_robotics
    from minari.data_collector import EpisodeBuffer

    gym.register_envs(gymnasium_robotics)
    env = gym.make(f"AdroitHand{task.capitalize()}-v1")
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    episode = EpisodeBuffer(
        seed=seed, observations=[observation], actions=[], rewards=[], terminations=[], truncations=[]
    )
    action = np.zeros(env.action_space.shape)
    for step in range(steps):
        action = np.clip(0.9 * action + 0.2 * rng.normal(size=action.shape), -1, 1)
        observation, reward, terminated, _, _ = env.step(action)
        episode.observations.append(observation)
        episode.actions.append(action)
        episode.rewards.append(float(reward))
        episode.terminations.append(terminated)
        episode.truncations.append(step == steps - 1)
    return env, episode


def write_minari(folder: Path, name: str, env, episodes: list) -> Path:
    """Write episodes as a local Minari dataset; returns its folder."""
    import minari

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        minari.create_dataset_from_buffers(f"test/{name}", episodes, env=env)
    return folder / "test" / name
