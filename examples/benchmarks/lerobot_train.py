"""Samples per second of LeRobot's own training command, and how long it waits for data.

    python examples/benchmarks/lerobot_train.py                       # dp3 at Simple DP3's size, synthetic data
    python examples/benchmarks/lerobot_train.py --processes 1 2 --threads=1
    python examples/benchmarks/lerobot_train.py --root=data/hammer --device=cuda

Runs `lerobot-train`, by `accelerate launch` for several processes, and reads the times that it logs for a step's update
(`updt_s`) and for waiting on the loader (`data_s`). The batch size is that of each process.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from data_loading import write_synthetic
from rich.console import Console
from rich.table import Table

SIMPLE = ("--policy.down_dims=[128,256,384]",)
LOGGED = re.compile(r"updt_s:([\d.]+) data_s:([\d.]+)")


def train(root: Path, output: Path, processes: int, options: argparse.Namespace) -> list[tuple[float, float]]:
    """Seconds of update and of waiting, for each logged stretch of steps."""
    scripts = Path(sys.executable).parent
    command = [str(scripts / "lerobot-train")]
    if processes > 1:
        launcher = ["launch", "--multi_gpu", f"--num_processes={processes}", "--num_machines=1", "--mixed_precision=no"]
        command = [str(scripts / "accelerate"), *launcher, "--dynamo_backend=no", "--main_process_port=0", *command]
    command += [
        "--dataset.repo_id=local/benchmark", f"--dataset.root={root}", "--policy.type=dp3", *SIMPLE,
        "--policy.horizon=16", "--policy.n_action_steps=8", f"--policy.device={options.device}",
        "--policy.push_to_hub=false", f"--batch_size={options.batch_size}", f"--steps={options.steps}",
        f"--log_freq={options.log_freq}", "--save_checkpoint=false", "--wandb.enable=false", f"--output_dir={output}",
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    times = [(float(update), float(data)) for update, data in LOGGED.findall(done.stdout + done.stderr)]
    return times[1:]  # the first stretch holds what happens once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a dataset; a synthetic one where it is left out")
    parser.add_argument("--processes", type=int, nargs="+", default=[1])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2, help="of each process")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--log-freq", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.steps < 2 * options.log_freq:
        parser.error(f"--steps={options.steps}: at least two stretches of --log-freq={options.log_freq} are needed")
    table = Table("processes", "threads each", "batch each", "step, s", "of it waiting for data", "samples per second")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        root = options.root
        if root is None:
            root = Path(scratch) / "data"
            write_synthetic(root)
        for processes in options.processes:
            update, data = np.median(train(root, Path(scratch) / f"run{processes}", processes, options), axis=0)
            step = float(update + data)
            rows.append({"processes": processes, "step_s": step, "waiting": float(data) / step})
            rate = processes * options.batch_size / step
            cells = (processes, options.threads, options.batch_size)
            table.add_row(*map(str, cells), f"{step:.3f}", f"{data / step:.1%}", f"{rate:.0f}")
    Console(width=120).print(table)
    if options.json is not None:
        settings = {name: str(value) for name, value in vars(options).items()}
        options.json.write_text(json.dumps({"options": settings, "rows": rows}))


if __name__ == "__main__":
    main()
