"""How close a policy's action distribution is to its teacher's, observation by observation.

Success rates cannot tell a student from its teacher if every way of sampling succeeds. This can: it draws many
action chunks from start noise on held-out observations, and compares the two sets of chunks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from lerobot.utils.constants import ACTION
from torch import Tensor

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.distances import distance_to_point, energy_distance, paired_rms, spread
from lerobot_sdm.measure.observations import Demonstrated
from lerobot_sdm.measure.statistics import Interval, bootstrap_mean
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, same_action_units
from lerobot_sdm.processors.sizes import check_sizes, shapes_of

FLOOR = "teacher again, other noise"


@dataclass(frozen=True)
class DistillationRow:
    """One policy against the teacher. Distances in normalized action units over the executed chunk."""

    label: str
    energy: list[float]  # energy distance to the teacher, one value per observation
    spread: list[float]  # standard deviation over start noise, one value per observation
    map_rms: list[float]  # RMS difference to the teacher from the same start noise
    demonstrations: list[float] = field(default_factory=list)  # distance to the demonstrations, if given

    def summary(self) -> dict[str, Interval]:
        """Mean over observations with a bootstrap interval, for each available measure."""
        return {name: bootstrap_mean(values) for name, values in self._measures().items()}

    def as_json(self) -> dict[str, Any]:
        """Label, summaries and every single value."""
        return {
            "label": self.label,
            **{name: asdict(interval) for name, interval in self.summary().items()},
            "per_observation": self._measures(),
        }

    def _measures(self) -> dict[str, list[float]]:
        names = ("energy", "spread", "map_rms", "demonstrations")
        return {name: values for name in names if (values := getattr(self, name))}


def compare_to_teacher(
    teacher: LoadedPolicy,
    policies: Sequence[LoadedPolicy],
    observations: dict[str, Tensor],
    samples: int = 64,
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    demonstrated: Demonstrated | None = None,
) -> list[DistillationRow]:
    """Compare policies with their teacher, and with demonstrations, on given observations.

    The first row compares the teacher with itself under independent noise: the floor, zero on average.

    Args:
        teacher: The reference, sampled as its config says (ten steps unless overridden).
        policies: Policies with the teacher's action shape and normalization.
        observations: Raw inputs (K, n_obs_steps, ...), see `held_out_observations`.
        samples: Start-noise samples M per observation and policy, at least 2.
        seed: Seed of all start noise.
        progress: Wraps the loop over observations, for a progress bar.
        demonstrated: Demonstrated actions there, see `demonstrated_chunks`; None to skip that comparison.

    Returns:
        One row for the floor and one for each policy, in order.

    Raises:
        InputError: If a policy's actions cannot be compared with the teacher's.
    """
    if samples < 2:
        raise InputError(f"--samples={samples}: the distance needs at least 2 samples per observation. Give 2 or more.")
    for policy in policies:
        _check_comparable(teacher, policy)

    count = len(next(iter(observations.values())))
    labels = [FLOOR, *(item.spec.label for item in policies)]
    rows = [DistillationRow(label, [], [], []) for label in labels]
    for index in progress(range(count)):
        observation = {key: value[index : index + 1] for key, value in observations.items()}
        noise = start_noise(teacher, samples, (seed, index, 0))
        reference = draw_chunks(teacher, observation, noise)
        for row, loaded in zip(rows, (teacher, *policies), strict=True):
            # Every policy gets the same second noise, so that their distances are comparable.
            drawn = draw_chunks(loaded, observation, start_noise(loaded, samples, (seed, index, 1)))
            same_noise = reference if loaded is teacher else draw_chunks(loaded, observation, noise)
            row.energy.append(energy_distance(drawn, reference).item())
            row.spread.append(spread(drawn).item())
            row.map_rms.append(paired_rms(same_noise, reference).item())
            if demonstrated is not None:
                row.demonstrations.append(_distance_to_demonstration(loaded, observation, drawn, demonstrated[index]))
    return rows


def _distance_to_demonstration(
    loaded: LoadedPolicy, observation: dict[str, Tensor], drawn: Tensor, demonstrated: tuple[Tensor, Tensor]
) -> float:
    """Distance of action samples to the demonstrated chunk, up to the end of its episode.

    Args:
        observation: Raw inputs (1, n_obs_steps, ...).
        drawn: The policy's samples there (1, M, n_action_steps * A), normalized.
        demonstrated: Raw actions (n_action_steps, A), and a mask (n_action_steps,) of those within the episode.
    """
    actions, given = demonstrated
    chunk = loaded.preprocess(observation | {ACTION: actions.unsqueeze(0)})[ACTION].cpu()
    kept = given.unsqueeze(1).expand_as(actions).flatten()
    return distance_to_point(drawn[..., kept], chunk.flatten(1)[:, kept]).item()


def start_noise(loaded: LoadedPolicy, samples: int, key: tuple[int, int, int]) -> Tensor:
    """Standard normal start noise (M, horizon, A) in a policy's shapes that depends only on the key: seed, observation,
    and which of the draws for that observation."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
    size = loaded.config.action_feature.shape[0]
    return torch.randn(samples, loaded.config.horizon, size, generator=generator)


@torch.inference_mode()
def draw_chunks(loaded: LoadedPolicy, observation: dict[str, Tensor], noise: Tensor) -> Tensor:
    """Executed action chunks for one observation, flattened.

    Args:
        observation: Raw inputs (1, n_obs_steps, ...).
        noise: Start noise (M, horizon, A).

    Returns:
        (1, M, n_action_steps * A) on the CPU, in normalized units.
    """
    batch = loaded.preprocess(observation)
    if not isinstance(loaded.policy, ChunkPolicy):  # LeRobot's policies take as much noise as observations.
        batch = {
            key: value.expand(len(noise), *value.shape[1:]) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }
    loaded.policy.reset()  # With empty queues, the policy uses the batch's own observation steps.
    chunks = loaded.policy.predict_action_chunk(batch, noise=noise.to(loaded.config.device))
    return chunks.flatten(1).unsqueeze(0).cpu()


def _check_comparable(teacher: LoadedPolicy, policy: LoadedPolicy) -> None:
    label = policy.spec.label
    check_sizes(
        shapes_of(policy.config.output_features),
        shapes_of(teacher.config.output_features),
        f"the policy '{label}'",
        f"the teacher at {teacher.spec.path}",
        "Compare policies of the same robot.",
        complete=True,
    )
    for key in ("horizon", "n_obs_steps", "n_action_steps"):
        ours, theirs = getattr(policy.config, key), getattr(teacher.config, key)
        if ours != theirs:
            raise InputError(
                f"--policy '{label}': {key} is {ours}, but the teacher's is {theirs}. "
                "Only policies that act in the same chunks can be compared."
            )
    if not same_action_units(teacher, policy):
        raise InputError(
            f"--policy '{label}': its action normalization differs from the teacher's. "
            "Compare policies that were trained on the same dataset."
        )
