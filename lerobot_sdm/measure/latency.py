"""Measure the cost of one decision: wall-clock time, in total or by part, network evaluations, and memory."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lerobot_sdm.nets.precision import packed_bytes
from lerobot_sdm.policies.loaded_policy import LoadedPolicy

Observation = dict[str, Tensor]


@dataclass
class CallCounter:
    """Number of forward calls of a module while it is watched."""

    calls: int = 0


@contextmanager
def count_calls(module: nn.Module) -> Iterator[CallCounter]:
    """Count a module's forward calls with a hook, so that evaluations are measured, not assumed."""
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
    """Cost of one action chunk at batch size 1: milliseconds from a raw observation to the chunk's first action."""

    label: str
    median_ms: float
    p95_ms: float
    network_evaluations: float
    chunks: int
    threads: int
    device: str


@dataclass(frozen=True)
class LatencyByPart:
    """Cost of a policy at a batch size: medians unless stated otherwise, times in milliseconds.

    Args:
        label: Of the policy.
        network_evaluations: Per chunk.
        chunk_p50, chunk_p95: From a raw observation to the first action of a new chunk.
        processors, encoder, network, other: Its parts; `other` is queues and sampling around the network.
        step_p50, step_p95: One control step, of which one in `n_action_steps` plans.
        rate_hz: Control steps per second if nothing else took time.
        weights_mb: Of the weights used for inference.
        memory_mb: Of the process (CPU), or the peak allocation (GPU).
        action_error: Largest difference from the first policy's normalized actions, given the same observations and
            start noise; None if the two are not comparable.
    """

    label: str
    batch_size: int
    network_evaluations: float
    chunk_p50: float
    chunk_p95: float
    processors: float
    encoder: float
    network: float
    other: float
    step_p50: float
    step_p95: float
    rate_hz: float
    weights_mb: float
    memory_mb: float
    action_error: float | None
    threads: int
    device: str


def measure_latency(
    policies: Sequence[LoadedPolicy], observations: Sequence[Observation], repeats: int = 30, warmup: int = 3
) -> list[Latency]:
    """Time how long each policy takes from a raw observation to the first action of a new chunk.

    Args:
        policies: What to time.
        observations: Raw single-step inputs (1, ...) as an environment returns them; used in turn.
        repeats: Timed chunks for each policy.
        warmup: Untimed chunks for each policy before that.
    """
    timed = _in_turns(policies, lambda _, turn: observations[turn % len(observations)], repeats, warmup)
    return [
        Latency(
            label=loaded.spec.label,
            median_ms=_percentile([chunk.steps[0] for chunk in chunks], 50),
            p95_ms=_percentile([chunk.steps[0] for chunk in chunks], 95),
            network_evaluations=float(np.mean([chunk.evaluations for chunk in chunks])),
            chunks=repeats,
            threads=torch.get_num_threads(),
            device=str(loaded.config.device),
        )
        for loaded, chunks in zip(policies, timed, strict=True)
    ]


def measure_parts(
    policies: Sequence[LoadedPolicy], repeats: int = 30, warmup: int = 5, batch_size: int = 1, seed: int = 0
) -> list[LatencyByPart]:
    """Time the parts of each policy's decisions, and all control steps, on random observations.

    Args:
        policies: What to time; the first is the reference of `action_error`.
        repeats: Timed chunks for each policy.
        warmup: Untimed chunks before that.
        batch_size: Environments in a batch.
        seed: Of the observations.
    """

    def observe(loaded: LoadedPolicy, turn: int) -> Observation:
        return _random_observation(loaded, batch_size, seed + turn)

    timed = _in_turns(policies, observe, repeats, warmup, parts=True)
    wanted = _actions(policies[0], batch_size, seed)
    rows = []
    for loaded, chunks in zip(policies, timed, strict=True):
        found = _actions(loaded, batch_size, seed)
        error = float((found - wanted).abs().max()) if found.shape == wanted.shape else None
        rows.append(_by_part(loaded, chunks, batch_size, error))
    return rows


@dataclass
class _Chunk:
    """Seconds of one chunk's control steps, and of the parts of the first, which plans."""

    steps: list[float] = field(default_factory=list)
    processors: float = 0.0
    encoder: float = 0.0  # Like `network`, 0 where parts are not timed.
    network: float = 0.0
    evaluations: int = 0  # How many times the network was called.


def _in_turns(
    policies: Sequence[LoadedPolicy],
    observe: Callable[[LoadedPolicy, int], Observation],
    repeats: int,
    warmup: int,
    parts: bool = False,
) -> list[list[_Chunk]]:
    """Time chunks of each policy. Policies take turns, so that a busy machine slows all of them alike."""
    timed: list[list[_Chunk]] = [[] for _ in policies]
    for turn in range(warmup + repeats):
        for loaded, kept in zip(policies, timed, strict=True):
            chunk = _time_chunk(loaded, observe(loaded, turn), parts)
            if turn >= warmup:
                kept.append(chunk)
    return timed


def _time_chunk(loaded: LoadedPolicy, observation: Observation, parts: bool) -> _Chunk:
    """Time a chunk from empty queues: only its first control step, or that step's parts and all other steps."""
    chunk = _Chunk()
    loaded.policy.reset()
    for step in range(loaded.config.n_action_steps if parts else 1):
        _synchronize(loaded)
        with torch.inference_mode(), _watched(loaded, chunk, parts) if step == 0 else nullcontext():
            start = time.perf_counter()
            batch = loaded.preprocess(dict(observation))
            # Synchronizing a GPU between the parts slows it down, so only on request.
            preprocessed = _now(loaded) if parts else start
            action = loaded.policy.select_action(batch)
            acted = _now(loaded) if parts else start
            loaded.postprocess(action)
            end = _now(loaded)
        chunk.steps.append(end - start)
        if step == 0:
            chunk.processors = preprocessed - start + end - acted
    return chunk


@contextmanager
def _watched(loaded: LoadedPolicy, chunk: _Chunk, parts: bool) -> Iterator[None]:
    """Count the network's evaluations in one decision and, on request, time the encoder and the network."""
    with count_calls(loaded.denoiser) as counter, _timed_parts(loaded, chunk) if parts else nullcontext():
        yield
    chunk.evaluations = counter.calls


@contextmanager
def _timed_parts(loaded: LoadedPolicy, chunk: _Chunk) -> Iterator[None]:
    starts: list[float] = []

    def begin(*_: object) -> None:
        starts.append(_now(loaded))

    def end_of(part: str) -> Callable[..., None]:
        def end(*_: object) -> None:
            setattr(chunk, part, getattr(chunk, part) + _now(loaded) - starts.pop())

        return end

    handles = [
        loaded.denoiser.register_forward_pre_hook(begin),
        loaded.denoiser.register_forward_hook(end_of("network")),
    ]
    owner, name = _encoding(loaded)
    encode, end_encoding = getattr(owner, name), end_of("encoder")

    def timed(*args, **kwargs):
        begin()
        result = encode(*args, **kwargs)
        end_encoding()
        return result

    setattr(owner, name, timed)
    try:
        yield
    finally:
        delattr(owner, name)  # Uncovers the class's own method again.
        for handle in handles:
            handle.remove()


def _by_part(loaded: LoadedPolicy, timed: Sequence[_Chunk], batch_size: int, error: float | None) -> LatencyByPart:
    chunks = np.array([chunk.steps[0] for chunk in timed])
    steps = np.array([step for chunk in timed for step in chunk.steps])
    parts = {name: np.array([getattr(c, name) for c in timed]) for name in ("processors", "encoder", "network")}
    parts["other"] = chunks - sum(parts.values())
    device = torch.device(loaded.config.device)
    on_gpu = device.type == "cuda"
    return LatencyByPart(
        label=loaded.spec.label,
        batch_size=batch_size,
        network_evaluations=float(np.mean([chunk.evaluations for chunk in timed])),
        chunk_p50=_percentile(chunks, 50),
        chunk_p95=_percentile(chunks, 95),
        **{name: _percentile(seconds, 50) for name, seconds in parts.items()},
        step_p50=_percentile(steps, 50),
        step_p95=_percentile(steps, 95),
        rate_hz=1 / float(np.mean(steps)),
        weights_mb=weights_size(loaded) / 1e6,
        memory_mb=(torch.cuda.max_memory_allocated(device) if on_gpu else psutil.Process().memory_info().rss) / 1e6,
        action_error=error,
        threads=torch.get_num_threads(),
        device=str(device),
    )


def _random_observation(loaded: LoadedPolicy, batch_size: int, seed: int) -> Observation:
    """A raw observation of one time step, each entry (B, ...), uniform in 0 to 1 like images."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {key: feature.shape for key, feature in loaded.config.input_features.items()}
    return {key: torch.rand(batch_size, *shape, generator=generator) for key, shape in shapes.items()}


def _actions(loaded: LoadedPolicy, batch_size: int, seed: int) -> Tensor:
    """(B, n_action_steps, A) normalized, from a fixed observation and start noise."""
    loaded.policy.reset()
    torch.manual_seed(seed)  # Some policies draw numbers besides their start noise.
    config = loaded.config
    shape = batch_size, config.horizon, config.action_feature.shape[0]
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(config.device)
    with torch.inference_mode():
        batch = loaded.preprocess(_random_observation(loaded, batch_size, seed))
        loaded.policy.select_action(batch, noise=noise)  # Fills the observation queue.
        return loaded.policy.predict_action_chunk(batch, noise=noise).float().cpu()


def weights_size(loaded: LoadedPolicy) -> int:
    """Bytes of the weights used for inference."""
    tensors = [*loaded.policy.parameters(), *loaded.policy.buffers()]
    return sum(tensor.nbytes for tensor in tensors) + packed_bytes(loaded.policy)


def _encoding(loaded: LoadedPolicy) -> tuple[object, str]:
    """The object whose method encodes observations, and the method's name."""
    if loaded.config.type == "diffusion":
        return loaded.policy.diffusion, "_prepare_global_conditioning"
    return loaded.policy.inference_model, "encode_frames"


def _now(loaded: LoadedPolicy) -> float:
    """Time in seconds, once a policy's device has finished all work."""
    _synchronize(loaded)
    return time.perf_counter()


def _synchronize(loaded: LoadedPolicy) -> None:
    device = torch.device(loaded.config.device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _percentile(seconds: Sequence[float] | NDArray, percent: float) -> float:
    """A percentile in milliseconds."""
    return float(np.percentile(1000 * np.asarray(seconds), percent))
