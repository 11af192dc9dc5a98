"""Measure what success rates do not show: the expert, action distances, and decision costs.

Plans consist of these functions and must import fast, so each function imports what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json, write_json
from lerobot_sdm.measure.methods import ROWS, TableRow
from lerobot_sdm.measure.plan import RunLayout, dataset_name, policy_of
from lerobot_sdm.measure.settings import Flags, RunSettings

if TYPE_CHECKING:
    from lerobot.envs.configs import EnvConfig
    from torch import Tensor

    from lerobot_sdm.policies.loaded_policy import LoadedPolicy

SEED = 0


def measure_expert(config: RunSettings, layout: RunLayout) -> None:
    """Run the expert on the evaluation episodes and write the outcomes."""
    by_rule = {name: expert_outcomes(config, rule) for name, rule in config.other_rules.items()}
    found = {"seeds": list(config.eval_seeds), "successes": expert_outcomes(config), "other_rules": by_rule}
    write_json(layout.expert, found)


def check_held_out(config: RunSettings, layout: RunLayout) -> None:
    """Check, before hours of training, that the held-out demonstrations have as many frames as will be compared.

    Raises:
        InputError: They have fewer.
    """
    from lerobot_sdm.datasets.damage import INFO

    frames = read_json(layout.held_out / INFO)["total_frames"]
    if frames < config.observations:
        raise InputError(
            f"--observations={config.observations}: the {config.held_out_episodes} held-out demonstrations have only "
            f"{frames} frames. Give at most that, or a larger --held-out-episodes, with another --output."
        )
    write_json(layout.held_out / "frames.json", {"frames": frames})


def expert_outcomes(config: RunSettings, rule: Flags | None = None) -> list[bool]:
    """Whether the expert that records a run's demonstrations succeeds, for each evaluation episode."""
    from lerobot_sdm.measure.expert import expert_successes

    options = {"action_noise": config.record["action_noise"]} if "action_noise" in config.record else {}
    if "expert_path" in config.record:
        options["path"] = Path(config.record["expert_path"])
    environment = environment_config(config, rule)
    return expert_successes(environment, config.eval_seeds, config.record.get("expert"), tqdm, **options)


def environment_config(config: RunSettings, rule: Flags | None = None) -> EnvConfig:
    """LeRobot's configuration of a run's environment, with one of its other rules if given."""
    return FAMILIES[config.env_type].configuration(task=config.task, **config.env | (rule or {}))


def measure_latencies(config: RunSettings, layout: RunLayout) -> None:
    """Time all rows of a quickstart in one process and write the result."""
    from lerobot_sdm.measure.latency import measure_latency
    from lerobot_sdm.measure.observations import held_out_observations

    policies = load_rows(config, layout, ROWS)
    observations = held_out_observations(*held_out(config, layout, policies[0]))
    rows = measure_latency(policies, newest_steps(observations), config.latency_repeats)
    write_json(layout.latency, [asdict(row) for row in rows])


def load_rows(config: RunSettings, layout: RunLayout, rows: Iterable[TableRow]) -> list[LoadedPolicy]:
    """Load the rows' policies on the run's device, and set torch to the run's threads."""
    import torch

    from lerobot_sdm.policies.loaded_policy import load_from_spec

    torch.set_num_threads(config.threads)
    torch.manual_seed(SEED)  # For what policies draw in addition to their start noise.
    return [load_from_spec(policy_of(row, layout), config.device) for row in rows]


def held_out(config: RunSettings, layout: RunLayout, policy: LoadedPolicy) -> tuple[Any, ...]:
    """Location of a run's held-out demonstrations, for `held_out_observations` and `demonstrated_chunks`."""
    return dataset_name(config, held_out=True), layout.held_out, policy.config, config.observations


def newest_steps(histories: dict[str, Tensor]) -> Sequence[dict[str, Tensor]]:
    """The newest step of each history, as environments return it: (K, n_obs_steps, ...) -> K times (1, ...)."""
    count = len(next(iter(histories.values())))
    return [{key: value[index : index + 1, -1] for key, value in histories.items()} for index in range(count)]


def measure_method(config: RunSettings, layout: RunLayout, policy: TableRow, teacher: TableRow, output: Path) -> None:
    """Compare a policy's actions with its teacher's and with the demonstrations on held-out observations, and time
    policy and teacher in turns.

    Cells may run in parallel or on different machines: only the teacher, timed at the same moment, makes their
    milliseconds comparable. `teacher` may be the policy itself.
    """
    from lerobot_sdm.measure.distillation import compare_to_teacher
    from lerobot_sdm.measure.latency import measure_latency
    from lerobot_sdm.measure.observations import demonstrated_chunks, held_out_observations
    from lerobot_sdm.measure.records import machine

    reference, *others = load_rows(config, layout, {row.key: row for row in (teacher, policy)}.values())
    where = held_out(config, layout, reference)
    observations, demonstrated = held_out_observations(*where), demonstrated_chunks(*where)
    # A teacher's own distance is to itself under different noise: the first row, the floor.
    *_, row = compare_to_teacher(reference, others, observations, config.samples, SEED, demonstrated=demonstrated)
    distances = {name: asdict(value) for name, value in row.summary().items()}
    *_, latency = latencies = measure_latency([reference, *others], newest_steps(observations), config.latency_repeats)
    write_json(
        output,
        {
            "distance_to_demonstrations": distances.pop("demonstrations"),
            "distance_to_teacher": distances,
            "latency": asdict(latency),
            "teacher_latency": asdict(latencies[0]),
            "machine": machine(),
        },
    )
