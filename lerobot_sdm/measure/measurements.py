"""What success cannot tell: how far a policy's actions are from its teacher's and from demonstrations, and what a
decision costs."""

from dataclasses import asdict
from pathlib import Path

from lerobot_sdm.measure.files import write_json
from lerobot_sdm.measure.methods import TableRow
from lerobot_sdm.measure.plan import RunLayout, dataset_name, policy_of
from lerobot_sdm.measure.settings import RunSettings

SEED = 0


def measure(config: RunSettings, layout: RunLayout, policy: TableRow, teacher: TableRow, output: Path) -> None:
    """Compare a policy's actions with its teacher's and with what was demonstrated, on held-out observations; and time
    the policy and its teacher in turns.

    Cells may run side by side or on different machines: only the teacher, timed at the same moment, makes their
    milliseconds comparable.

    Args:
        config: The task's settings.
        layout: Its folder; both checkpoints and the held-out demonstrations are there.
        policy: Which checkpoint is measured, and how it is run.
        teacher: The same for what it is held against; may be the same.
        output: JSON file to write.
    """
    import torch

    from lerobot_sdm.measure.contenders import load_contender
    from lerobot_sdm.measure.distillation import compare_to_teacher
    from lerobot_sdm.measure.latency import measure_latency
    from lerobot_sdm.measure.observations import demonstrated_chunks, held_out_observations
    from lerobot_sdm.measure.quickstart_results import machine

    torch.set_num_threads(config.threads)
    torch.manual_seed(SEED)  # What policies draw besides their start noise.
    reference, *others = (
        load_contender(policy_of(row, layout), config.device)
        for row in {row.key: row for row in (teacher, policy)}.values()
    )
    where = (dataset_name(config, held_out=True), layout.held_out, reference.config, config.observations)
    observations, demonstrated = held_out_observations(*where), demonstrated_chunks(*where)
    # A teacher's own distance is that to itself under other noise: the first row, the floor.
    *_, row = compare_to_teacher(reference, others, observations, config.samples, SEED, demonstrated=demonstrated)
    steps = [
        {key: value[index : index + 1, -1] for key, value in observations.items()}
        for index in range(config.observations)
    ]
    distances = {name: asdict(value) for name, value in row.summary().items()}
    *_, latency = latencies = measure_latency([reference, *others], steps, config.latency_repeats)
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
