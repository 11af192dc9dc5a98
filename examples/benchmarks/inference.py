"""What a decision costs: a DP3 teacher, its one-step student, a consistency policy with one and with three steps.

    python examples/benchmarks/inference.py                                  # DP3's network at horizon 4
    python examples/benchmarks/inference.py --horizon=16 --down-dims 128 256 384
    python examples/benchmarks/inference.py --device=cuda --compile default reduce-overhead --batch-sizes 1 64

A variant is the same policy with LeRobot's U-Net, which has all kernel taps and computes FiLM anew in every step, or
with `--policy.inference_precision` of `float32` (exact), `bfloat16` and, on a CPU, `int8`, and on request compiled;
`reduce-overhead` is with CUDA graphs. Weights are random. "Beyond the network" is what a decision takes besides the
network's own time: processors, encoder, queues, sampler. "Floor" is the milliseconds that reading the weights once for
each evaluation takes at the bandwidth of this machine's memory, which is measured first. Each variant is compared with
the first of its policy.
"""

import argparse
import itertools
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalUnet1d
from random_policies import write_policies
from rich.console import Console
from training import dp3_config

from lerobot_sdm.files import write_json, write_text
from lerobot_sdm.measure import tables
from lerobot_sdm.measure.latency import LatencyByPart, measure_parts
from lerobot_sdm.measure.records import machine, source_commit, versions
from lerobot_sdm.nets.precision import PRECISIONS
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

PLAIN = ("teacher", "student")
"""Whose network LeRobot has, too."""
PLAIN_UNET = "LeRobot's U-Net"
"""The variant of these with LeRobot's network."""
HIDDEN = ("batch size", "95%", "network", "floor")
"""Columns that the docs leave out."""


def bandwidth(device: str) -> float:
    """Bytes per millisecond that can be read from memory."""
    values = torch.ones(2**28, device=device)  # Zeros might be pages that were never written, and take no memory.
    times = []
    for _ in range(5):
        start = time.perf_counter()
        values.sum().item()
        times.append(time.perf_counter() - start)
    return values.nbytes / (1000 * min(times))


def with_plain_unet(loaded: LoadedPolicy, config: object) -> LoadedPolicy:
    """The same policy with LeRobot's U-Net in the place of its own."""
    model = loaded.policy.inference_model
    unet = DiffusionConditionalUnet1d(config, model.cond_dim).to(loaded.config.device).eval()
    unet.load_state_dict(model.unet.state_dict())
    model.unet = unet
    return loaded


def variants(modes: list[str], device: str, plain: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Names and settings of all that is compared."""
    precisions = [name for name in PRECISIONS if device == "cpu" or name != "int8"]
    if plain:
        yield PLAIN_UNET, {}
    for precision in precisions:
        yield precision, {"inference_precision": precision}
    for precision, mode in itertools.product([name for name in precisions if name != "int8"], modes):
        settings = {"inference_precision": precision, "compile_model": "true", "compile_mode": mode}
        yield f"{precision}, {mode}", settings


def rows_of(label: str, path: Path, fixed: dict, options: argparse.Namespace, batch_size: int) -> list[LatencyByPart]:
    """All variants of a policy; for the plain one the U-Net's arguments are those of a DP3 network."""
    policies = []
    for name, settings in variants(options.compile, options.device, plain=label in PLAIN):
        spec = PolicySpec(f"{label}; {name}", str(path), {**fixed, **settings})
        loaded = load_from_spec(spec, options.device)
        policies.append(with_plain_unet(loaded, options.config) if name == PLAIN_UNET else loaded)
    return measure_parts(policies, options.repeats, options.warmup, batch_size)


def table(rows: list[LatencyByPart], bytes_per_ms: float) -> list[tuple[str, ...]]:
    """One row per variant, compared with the first of its policy at the same batch size; the header first."""
    header = ("policy", "batch size", "network evaluations", "ms per chunk", "95%", "network", "floor")
    found = [(*header, "times as fast", "beyond the network", "weights, MB", "largest action error")]
    first: dict[tuple[str, int], LatencyByPart] = {}
    for row in rows:
        reference = first.setdefault((policy_of(row.label), row.batch_size), row)
        found.append(
            (
                row.label,
                str(row.batch_size),
                f"{row.network_evaluations:g}",
                f"{row.chunk_p50:.1f}",
                f"{row.chunk_p95:.1f}",
                f"{row.network:.1f}",
                f"{1e6 * row.weights_mb * row.network_evaluations / bytes_per_ms:.1f}",
                f"{reference.chunk_p50 / row.chunk_p50:.2f}",
                f"{row.chunk_p50 / row.network - 1:.0%}",
                f"{row.weights_mb:.0f}",
                "" if row is reference else f"{row.action_error:.1g}",
            )
        )
    return found


def document(rows: list[LatencyByPart], bytes_per_ms: float) -> str:
    """The columns of the table that the docs show, in Markdown."""
    return tables.markdown(tables.without(table(rows, bytes_per_ms), *HIDDEN))


def policy_of(label: str) -> str:
    """The policy of a row's label, without its variant."""
    return label.rpartition("; ")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--horizon", type=int, default=4)
    parser.add_argument("--down-dims", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", nargs="*", default=[], metavar="MODE", help="also compiled in these modes")
    parser.add_argument("--only", nargs="+", default=["teacher", "student", "consistency"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    told = {name: value for name, value in vars(options).items() if name not in ("json", "markdown")}
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    torch._dynamo.config.recompile_limit = 1000  # every policy here compiles the same code for its own sizes
    print(f"{platform.machine()}, torch {torch.__version__}, {options.device}, {options.threads} thread(s)")
    print(f"horizon {options.horizon}, down_dims {options.down_dims}; milliseconds, medians")
    options.config = dp3_config(options.horizon, options.device, down_dims=tuple(options.down_dims))
    speed = bandwidth(options.device)
    print(f"memory: {speed / 1e6:.1f} GB/s")
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        found_at = write_policies(Path(scratch), ("dp3", "sdm", "consistency"), options.config)
        policies = [
            ("teacher", found_at["dp3"], {}),
            ("student", found_at["sdm"], {}),
            ("consistency", found_at["consistency"], {}),
            ("consistency, 3 steps", found_at["consistency"], {"chaining_times": "[27,54]"}),
        ]
        chosen = [policy for policy in policies if policy[0].split(",")[0] in options.only]
        for batch_size, (label, path, fixed) in itertools.product(options.batch_sizes, chosen):
            found += rows_of(label, path, fixed, options, batch_size)
    Console(width=150).print(tables.Report("", table(found, speed), "").terminal())
    if options.json is not None:
        measured = {"options": told, "bytes_per_ms": speed, "rows": [asdict(row) for row in found]}
        about = {"machine": machine(), "versions": versions(), "commit": source_commit()}
        write_json(options.json, measured | about)
    if options.markdown is not None:
        write_text(options.markdown, document(found, speed))


if __name__ == "__main__":
    main()
