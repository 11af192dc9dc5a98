"""What a decision of a DP3 teacher and of its one-step student costs, against the plain U-Net with the same weights.

    python examples/benchmarks/inference.py                                  # DP3's network at horizon 4
    python examples/benchmarks/inference.py --horizon=16 --down-dims 128 256 384
    python examples/benchmarks/inference.py --device=cuda --compile --batch-sizes 1 64

`plain` is the same policy with LeRobot's U-Net, which has all kernel taps and computes FiLM anew in every step; the
others are `--policy.inference_precision` of `float32` (exact), `bfloat16` and, on a CPU, `int8`, and on request
compiled. Weights are random. `overhead` is what a decision takes beyond the network's own time: processors, encoder,
queues, sampler.
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalUnet1d
from rich.console import Console
from rich.table import Table
from training import POINTS, dp3_config, sdm_policy

from lerobot_sdm.evaluation.bench import Benchmark, benchmark
from lerobot_sdm.evaluation.contenders import Contender, LoadedPolicy, load_contender
from lerobot_sdm.nets.precision import PRECISIONS
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy
from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors


def write_policies(
    folder: Path, horizon: int, down_dims: tuple[int, ...], device: str, points: int = POINTS
) -> tuple[Path, Path]:
    """Checkpoints of an untrained teacher and of a student that is its copy."""
    config = dp3_config(horizon, down_dims, device, points)
    teacher, student = folder / "teacher", folder / "student"
    policies = {teacher: lambda: DP3Policy(config), student: lambda: sdm_policy(teacher, device)}
    for path, build in policies.items():
        path.mkdir()
        build().save_pretrained(path)
        for pipeline in make_dp3_pre_post_processors(config):
            pipeline.save_pretrained(path)
    return teacher, student


def with_plain_unet(loaded: LoadedPolicy, config: object) -> LoadedPolicy:
    """The same policy with LeRobot's U-Net in the place of its own."""
    model = loaded.policy.inference_model
    unet = DiffusionConditionalUnet1d(config, model.cond_dim).to(loaded.config.device).eval()
    unet.load_state_dict(model.unet.state_dict())
    model.unet = unet
    return loaded


def variants(path: Path, compiled: bool, device: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Names and settings of all that is compared."""
    precisions = [name for name in PRECISIONS if device == "cpu" or name != "int8"]
    yield "plain", {}
    for precision in precisions:
        yield precision, {"inference_precision": precision}
    for precision in precisions if compiled else ():
        yield f"{precision}, compiled", {"inference_precision": precision, "compile_model": "true"}


def rows_of(label: str, path: Path, config: object, options: argparse.Namespace, batch_size: int) -> list[Benchmark]:
    policies = []
    for name, settings in variants(path, options.compile, options.device):
        loaded = load_contender(Contender(f"{label}, {name}", str(path), settings), options.device)
        policies.append(with_plain_unet(loaded, config) if name == "plain" else loaded)
    return benchmark(policies, options.repeats, options.warmup, batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--horizon", type=int, default=4)
    parser.add_argument("--down-dims", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, CUDA graphs on a GPU")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"{platform.machine()}, torch {torch.__version__}, {options.device}, {options.threads} thread(s)")
    print(f"horizon {options.horizon}, down_dims {options.down_dims}; milliseconds, medians")
    config = dp3_config(options.horizon, tuple(options.down_dims), options.device)
    found = []
    names = ("policy", "batch", "NFE", "chunk p50", "p95", "network", "overhead", "times faster", "weights MB", "error")
    table = Table(*names)
    with tempfile.TemporaryDirectory() as scratch:
        teacher, student = write_policies(Path(scratch), options.horizon, tuple(options.down_dims), options.device)
        for batch_size in options.batch_sizes:
            for label, path in (("teacher", teacher), ("student", student)):
                rows = rows_of(label, path, config, options, batch_size)
                found += rows
                for row in rows:
                    table.add_row(
                        row.label,
                        str(batch_size),
                        f"{row.network_evaluations:g}",
                        f"{row.chunk_p50:.2f}",
                        f"{row.chunk_p95:.2f}",
                        f"{row.network:.2f}",
                        f"{100 * (row.chunk_p50 / row.network - 1):.0f}%",
                        f"{rows[0].chunk_p50 / row.chunk_p50:.2f}",
                        f"{row.weights_mb:.0f}",
                        f"{row.action_error:.1g}",
                    )
    Console(width=150).print(table)
    if options.json is not None:
        settings = {name: str(value) for name, value in vars(options).items()}
        options.json.write_text(json.dumps({"options": settings, "rows": [asdict(row) for row in found]}))


if __name__ == "__main__":
    main()
