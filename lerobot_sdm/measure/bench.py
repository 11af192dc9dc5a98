"""Where the time of a decision goes: processors, encoder, network; for each chunk of actions and each control step."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from lerobot_sdm.measure.contenders import LoadedPolicy
from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.nets.precision import packed_bytes


@dataclass
class Episode:
    """Seconds of one chunk's control steps.

    Args:
        steps: Each control step, the first of which plans.
        processors: Pre- and postprocessing in the first.
        encoder: Encoding of observations in the first.
        network: All network evaluations in the first.
        evaluations: How many there were.
    """

    steps: list[float] = field(default_factory=list)
    processors: float = 0.0
    encoder: float = 0.0
    network: float = 0.0
    evaluations: int = 0


@dataclass(frozen=True)
class Benchmark:
    """Cost of a policy at a batch size, medians unless said otherwise; all times in milliseconds.

    Args:
        label: Of the policy.
        network_evaluations: For each chunk.
        chunk_p50, chunk_p95: From a raw observation to the first action of a new chunk.
        processors, encoder, network, other: What that consists of; `other` is queues and sampling around the network.
        step_p50, step_p95: One control step, of which one in `n_action_steps` plans.
        rate_hz: Control steps per second if nothing else took time.
        weights_mb: Of the weights that act.
        memory_mb: Of the process (CPU), or the most that was allocated (GPU).
        action_error: Largest difference from the first policy's normalised actions, given the same observations and
            start noise; None where the two do not compare.
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


def random_observation(loaded: LoadedPolicy, batch_size: int, seed: int) -> dict[str, Tensor]:
    """A raw observation of one time step, each entry (B, ...), uniform in 0 to 1 as pictures are."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {key: feature.shape for key, feature in loaded.config.input_features.items()}
    return {key: torch.rand(batch_size, *shape, generator=generator) for key, shape in shapes.items()}


def benchmark(
    policies: Sequence[LoadedPolicy], repeats: int = 30, warmup: int = 5, batch_size: int = 1, seed: int = 0
) -> list[Benchmark]:
    """Time policies, in turns, so that a busy moment of the machine hits all of them alike.

    Args:
        policies: What to time; the first is the reference of `action_error`.
        repeats: Timed chunks for each policy.
        warmup: Untimed chunks before that.
        batch_size: Environments that act together.
        seed: Of the observations.
    """
    episodes: list[list[Episode]] = [[] for _ in policies]
    for turn in range(warmup + repeats):
        for loaded, kept in zip(policies, episodes, strict=True):
            episode = _time_chunk(loaded, random_observation(loaded, batch_size, seed + turn))
            if turn >= warmup:
                kept.append(episode)
    wanted = _actions(policies[0], batch_size, seed)
    rows = []
    for loaded, kept in zip(policies, episodes, strict=True):
        found = _actions(loaded, batch_size, seed)
        error = float((found - wanted).abs().max()) if found.shape == wanted.shape else None
        rows.append(_summary(loaded, kept, batch_size, error))
    return rows


def _summary(loaded: LoadedPolicy, episodes: list[Episode], batch_size: int, error: float | None) -> Benchmark:
    chunks = _milliseconds([episode.steps[0] for episode in episodes])
    steps = _milliseconds([step for episode in episodes for step in episode.steps])
    parts = {name: _milliseconds([getattr(e, name) for e in episodes]) for name in ("processors", "encoder", "network")}
    others = chunks - sum(parts.values())
    device = torch.device(loaded.config.device)
    on_gpu = device.type == "cuda"
    return Benchmark(
        label=loaded.contender.label,
        batch_size=batch_size,
        network_evaluations=float(np.mean([episode.evaluations for episode in episodes])),
        chunk_p50=float(np.median(chunks)),
        chunk_p95=float(np.percentile(chunks, 95)),
        **{name: float(np.median(values)) for name, values in parts.items()},
        other=float(np.median(others)),
        step_p50=float(np.median(steps)),
        step_p95=float(np.percentile(steps, 95)),
        rate_hz=1000 / float(np.mean(steps)),
        weights_mb=weights_size(loaded) / 1e6,
        memory_mb=(torch.cuda.max_memory_allocated(device) if on_gpu else psutil.Process().memory_info().rss) / 1e6,
        action_error=error,
        threads=torch.get_num_threads(),
        device=str(device),
    )


def weights_size(loaded: LoadedPolicy) -> int:
    """Bytes of the weights that act."""
    tensors = [*loaded.policy.parameters(), *loaded.policy.buffers()]
    return sum(tensor.nbytes for tensor in tensors) + packed_bytes(loaded.policy)


def _time_chunk(loaded: LoadedPolicy, observation: dict[str, Tensor]) -> Episode:
    """All control steps of one chunk, from empty queues on."""
    episode = Episode()
    loaded.policy.reset()
    for step in range(loaded.config.n_action_steps):
        _synchronize(loaded)
        with torch.inference_mode(), _split(loaded, episode) if step == 0 else nullcontext():
            start = time.perf_counter()
            batch = loaded.preprocess(dict(observation))
            _synchronize(loaded)
            preprocessed = time.perf_counter()
            action = loaded.policy.select_action(batch)
            _synchronize(loaded)
            acted = time.perf_counter()
            loaded.postprocess(action)
            end = time.perf_counter()
        episode.steps.append(end - start)
        if step == 0:
            episode.processors = preprocessed - start + end - acted
    return episode


@contextmanager
def _split(loaded: LoadedPolicy, episode: Episode) -> Iterator[None]:
    """Time the encoder and the network of one decision."""
    starts: list[float] = []

    def begin(*_: object) -> None:
        _synchronize(loaded)
        starts.append(time.perf_counter())

    def end_of(part: str):
        def end(*_: object) -> None:
            _synchronize(loaded)
            setattr(episode, part, getattr(episode, part) + time.perf_counter() - starts.pop())

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
        with count_calls(loaded.denoiser) as counter:
            yield
        episode.evaluations = counter.calls
    finally:
        delattr(owner, name)  # the class's own method shows again
        for handle in handles:
            handle.remove()


def _actions(loaded: LoadedPolicy, batch_size: int, seed: int) -> Tensor:
    """(B, n_action_steps, A) normalised, from a fixed observation and start noise."""
    loaded.policy.reset()
    config = loaded.config
    shape = batch_size, config.horizon, config.action_feature.shape[0]
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(config.device)
    with torch.inference_mode():
        batch = loaded.preprocess(random_observation(loaded, batch_size, seed))
        loaded.policy.select_action(batch, noise=noise)  # fills the queue of observations
        return loaded.policy.predict_action_chunk(batch, noise=noise).float().cpu()


def _encoding(loaded: LoadedPolicy) -> tuple[object, str]:
    """Whose method encodes observations, and its name."""
    if loaded.config.type == "diffusion":
        return loaded.policy.diffusion, "_prepare_global_conditioning"
    return loaded.policy.inference_model, "encode_frames"


def _synchronize(loaded: LoadedPolicy) -> None:
    if torch.device(loaded.config.device).type == "cuda":
        torch.cuda.synchronize()


def _milliseconds(seconds: Sequence[float]) -> NDArray[np.float64]:
    return 1000 * np.array(seconds)
