"""What one decision costs: wall-clock time and network evaluations for each action chunk."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lerobot_sdm.measure.contenders import LoadedPolicy


@dataclass
class CallCounter:
    """Number of forward calls of a module while it is watched."""

    calls: int = 0


@contextmanager
def count_calls(module: nn.Module) -> Iterator[CallCounter]:
    """Count the forward calls of a module with a hook: evaluations are observed, not claimed."""
    counter = CallCounter()

    def hook(*_: object) -> None:
        counter.calls += 1

    handle = module.register_forward_hook(hook)
    try:
        yield counter
    finally:
        handle.remove()


@dataclass(frozen=True)
class Latency:
    """Cost of one action chunk: processors, encoder and network, at batch size 1."""

    label: str
    median_ms: float
    p95_ms: float
    network_evaluations: float
    chunks: int
    threads: int
    device: str


def measure_latency(
    policies: Sequence[LoadedPolicy],
    observations: Sequence[dict[str, Tensor]],
    repeats: int = 30,
    warmup: int = 3,
) -> list[Latency]:
    """Time how long each policy takes from a raw observation to the first action of a new chunk.

    The policies take turns, so that a busy moment of the machine hits all of them alike.

    Args:
        policies: What to time.
        observations: Raw single-step inputs (1, ...) as an environment gives them; used in turn.
        repeats: Timed chunks for each policy.
        warmup: Untimed chunks for each policy before that.

    Returns:
        One entry for each policy, in order.
    """
    times: list[list[float]] = [[] for _ in policies]
    calls = [0] * len(policies)
    for turn in range(warmup + repeats):
        observation = observations[turn % len(observations)]
        for index, loaded in enumerate(policies):
            with count_calls(loaded.denoiser) as counter:
                milliseconds = _time_chunk(loaded, observation)
            if turn >= warmup:
                times[index].append(milliseconds)
                calls[index] += counter.calls
    return [
        Latency(
            label=loaded.contender.label,
            median_ms=float(np.median(times[index])),
            p95_ms=float(np.percentile(times[index], 95)),
            network_evaluations=calls[index] / repeats,
            chunks=repeats,
            threads=torch.get_num_threads(),
            device=str(loaded.config.device),
        )
        for index, loaded in enumerate(policies)
    ]


def _time_chunk(loaded: LoadedPolicy, observation: dict[str, Tensor]) -> float:
    """Milliseconds for one decision with empty queues."""
    loaded.policy.reset()
    _synchronize(loaded)
    start = time.perf_counter()
    with torch.inference_mode():
        action = loaded.policy.select_action(loaded.preprocess(dict(observation)))
    loaded.postprocess(action)
    _synchronize(loaded)
    return (time.perf_counter() - start) * 1000


def _synchronize(loaded: LoadedPolicy) -> None:
    if torch.device(loaded.config.device).type == "cuda":
        torch.cuda.synchronize()
