"""What a decision of each policy type costs, with networks of several sizes.

    python examples/benchmarks/policy_types.py --json=policy_types.json --markdown=policy_types.md

Milliseconds from a raw observation to the first action of a new chunk at batch size 1, encoder included, in float32.
All types have the same network, encoder and observations, and take turns, so their ratios hold on a busy machine, too.
Weights are random. `difftori` and `adjoint_matching` are left out: a decision costs what their base's costs, and for
`difftori` the gradients of its reward as well (docs/difftori.md).
"""

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from exported_latency import NETWORKS, POINTS
from random_policies import write_policies
from rich.console import Console
from training import dp3_config

from lerobot_sdm.files import write_json, write_text
from lerobot_sdm.measure import tables
from lerobot_sdm.measure.latency import LatencyByPart, measure_parts
from lerobot_sdm.measure.records import machine, source_commit, versions
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

ROWS: dict[str, tuple[str, dict[str, str]]] = {
    "dp3, 10 steps": ("dp3", {"num_inference_steps": "10"}),
    "dp3, 2 steps": ("dp3", {"num_inference_steps": "2"}),
    "dp3, 1 step": ("dp3", {"num_inference_steps": "1"}),
    "sdm": ("sdm", {}),
    "manicm, 1 step": ("manicm", {"num_inference_steps": "1"}),
    "consistency, 1 step": ("consistency", {}),
    "flow, 1 step": ("flow", {"num_inference_steps": "1"}),
    "meanflow, 1 step": ("meanflow", {"num_inference_steps": "1"}),
    "drift": ("drift", {}),
    "edm": ("edm", {}),
}
"""Name in the table -> policy type and `--policy.*` options; edm takes its own number of steps."""


def measure(network: str, options: argparse.Namespace) -> list[LatencyByPart]:
    """The rows of a network; the first one is the teacher."""
    with tempfile.TemporaryDirectory() as scratch:
        like = dp3_config(device="cpu", points=POINTS.get(network, 512), **NETWORKS[network])
        checkpoints = write_policies(Path(scratch), [kind for kind, _ in ROWS.values()], like)
        specs = [PolicySpec(label, str(checkpoints[kind]), fixed) for label, (kind, fixed) in ROWS.items()]
        policies = [load_from_spec(spec) for spec in specs]
        return measure_parts(policies, options.repeats, options.warmup)


def table(found: dict[str, list[LatencyByPart]]) -> str:
    """One row per type, and the median and 95th percentile for each network."""
    header = ("policy", "network evaluations", *(f"{network}, ms (95%)" for network in found))
    rows = [
        (
            label,
            f"{next(iter(found.values()))[number].network_evaluations:g}",
            *(f"{rows[number].chunk_p50:.1f} ({rows[number].chunk_p95:.1f})" for rows in found.values()),
        )
        for number, label in enumerate(ROWS)
    ]
    return tables.markdown((header, *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["small", "simple", "paper", "mixer"])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {network: measure(network, options) for network in options.networks}
    Console().print(table(found))
    if options.json is not None:
        told = {
            "options": {name: value for name, value in vars(options).items() if name not in ("json", "markdown")},
            "networks": {network: [asdict(row) for row in rows] for network, rows in found.items()},
            "machine": machine(),
            "versions": versions(),
            "commit": source_commit(),
        }
        write_json(options.json, told)
    if options.markdown is not None:
        write_text(options.markdown, table(found))


if __name__ == "__main__":
    main()
