"""How exact an exported graph is: its actions against the policy's own, from the same observations and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lerobot_sdm.export.graph import NOISE, GivenNoise, PolicyGraph
from lerobot_sdm.measure.distances import spread
from lerobot_sdm.policies.loaded_policy import LoadedPolicy
from lerobot_sdm.processors.incoming import with_vector_axes


def gather(
    loaded: LoadedPolicy, graph: PolicyGraph, observations: dict[str, Tensor], samples: int, seed: int
) -> tuple[dict[str, Any], float]:
    """Let the policy itself plan from observations of a dataset.

    Args:
        loaded: The policy.
        graph: Its graph, whose inputs are wanted.
        observations: Raw inputs (K, n_obs_steps, ...), as stored.
        samples: Chunks for each observation, of which the first is kept; the others are for the spread.
        seed: Of the noise.

    Returns:
        The evidence that `runtime.Policy.verify` reads: inputs of the graph (K, ...) and `action`, the policy's own
        actions (K, n_action_steps, A) in the robot's units. And what an error is to be compared with: the standard
        deviation of the policy's actions over the noise, in normalized units.
    """
    noise = start_noise(graph, samples, len(next(iter(observations.values()))), seed)
    raw, spreads = [], []
    for index in range(len(noise)):
        batch = {key: value[index : index + 1] for key, value in observations.items()}
        normalized = chunks(loaded, batch, noise[index])
        raw.append(loaded.postprocess(normalized[:1].clone()).cpu().numpy())
        if samples > 1:
            spreads.append(spread(normalized.flatten(1).unsqueeze(0)).item())
    inputs = graph_inputs(loaded, graph, observations)
    evidence = {**inputs, NOISE: noise[:, 0].numpy(), "action": np.concatenate(raw)}
    return evidence, float(np.mean(spreads or [0.0]))


@torch.inference_mode()
def chunks(loaded: LoadedPolicy, observation: dict[str, Tensor], noise: Tensor) -> Tensor:
    """The policy's own normalized actions (M, n_action_steps, A) for a raw observation (1, n_obs_steps, ...) and noise
    (M, J, horizon, A)."""
    loaded.policy.reset()  # With empty queues, the policy uses the batch's own observation steps.
    with GivenNoise(noise):
        return loaded.policy.predict_action_chunk(loaded.preprocess(observation), noise=noise[:, 0]).cpu()


def graph_inputs(loaded: LoadedPolicy, graph: PolicyGraph, observations: dict[str, Tensor]) -> dict[str, Any]:
    """Stored observations as the graph takes them: the policy's names and channels, float32."""
    before = loaded.preprocess[: graph.place]  # type: ignore[index]
    seen = before(dict(observations))
    seen = with_vector_axes(seen, loaded.config.input_features)
    return {key: seen[key].float().numpy() for key in graph.keys}


def start_noise(graph: PolicyGraph, samples: int, count: int, seed: int) -> Tensor:
    """Standard normal noise (count, samples, J, horizon, A)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, samples, *graph.shapes(1)[NOISE][1:], generator=generator)


def action_scale(loaded: LoadedPolicy) -> tuple[list[float], list[float]]:
    """Size of a normalized unit of each action, and the action at normalized 0; the normalizers are affine."""
    size = loaded.config.action_feature.shape[0]
    low, middle, high = (loaded.postprocess(torch.full((1, size), value))[0].double() for value in (-1.0, 0.0, 1.0))
    return ((high - low) / 2).tolist(), middle.tolist()


def split(observations: dict[str, Tensor], kept: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Divide observations (K, ...) into `kept` evenly spaced ones, for the certificate, and all others."""
    count = len(next(iter(observations.values())))
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.linspace(0, count - 1, kept).round().long()] = True
    return tuple({key: value[mask] for key, value in observations.items()} for mask in (chosen, ~chosen))  # type: ignore[return-value]
