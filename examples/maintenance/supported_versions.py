"""Whether the lowest and the highest versions that `pyproject.toml` allows do work together.

    python examples/maintenance/supported_versions.py --output=outputs/versions

For each resolution of uv (`lowest-direct`: the oldest of everything that is named in `pyproject.toml`; `highest`), the
package's wheel goes into a fresh environment, and LeRobot's commands there record, train a teacher and a student for
two steps each, and evaluate them. The commands find the package as a plugin, as they do at a user's. Prints a table of
the versions and of what works, and writes it to `versions.md`; the exit status is 1 if anything does not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parents[2]
RESOLUTIONS = ("lowest-direct", "highest")
SHOWN = ("lerobot", "gymnasium", "gymnasium-robotics", "metaworld", "mujoco", "torch", "numpy", "numba", "zarr")
ENV = ("--env.type=metaworld_pc", "--env.task=reach", "--env.num_points=32", "--env.camera_size=48")
TINY = ("--policy.down_dims=[8,16]", "--policy.blocks_per_level=1", "--policy.encoder_hidden_dims=[8,16]",
        "--policy.horizon=4", "--policy.n_action_steps=2", "--policy.use_ema=false")  # fmt: skip


def commands(work: Path) -> dict[str, list[str]]:
    """What is tried, in order; each needs the ones before it."""
    data = ("--dataset.repo_id=local/reach", f"--dataset.root={work / 'data'}")
    train = ["lerobot-train", *data, "--policy.device=cpu", "--policy.push_to_hub=false", "--batch_size=2", "--steps=2",
             "--num_workers=0", "--env_eval_freq=0"]  # fmt: skip
    last = "checkpoints/last/pretrained_model"
    evaluate = ["lerobot-eval", *ENV, "--env.episode_length=4", "--eval.n_episodes=1", "--eval.batch_size=1",
                "--policy.device=cpu", f"--policy.path={work / 'student' / last}"]  # fmt: skip
    return {
        "record": ["lerobot-sdm", "record", *ENV, "--episodes=1", "--repo_id=local/reach", f"--root={work / 'data'}"],
        "train dp3": [*train, "--policy.type=dp3", *TINY, f"--output_dir={work / 'teacher'}"],
        "train sdm": [
            *train,
            "--policy.type=sdm",
            f"--policy.teacher_path={work / 'teacher' / last}",
            "--policy.warmup_steps=1",
            f"--output_dir={work / 'student'}",
        ],
        "evaluate sdm": [*evaluate, f"--output_dir={work / 'evaluation'}"],
    }


def run(command: list[str], environment: dict[str, str] | None = None) -> str | None:
    """Run a command; None if it worked, else the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return None if done.returncode == 0 else (done.stdout + done.stderr)[-3000:]


def check(resolution: str, wheel: Path, work: Path, bar: tqdm) -> tuple[dict[str, str], dict[str, str | None]]:
    """Install, and try everything until something fails.

    Returns:
        Versions by distribution, and what each try said; None for one that worked.
    """
    venv = work / "venv"
    python = venv / "bin" / "python"
    # Of a wheel's dependencies none is direct, and uv would take the newest of each.
    resolve = ["uv", "pip", "compile", "-q", "--python", str(python), f"--resolution={resolution}"]
    install = ["uv", "pip", "install", "-q", "--python", str(python)]
    found: dict[str, str | None] = {}
    steps = {"make environment": ["uv", "venv", "-q", f"--python={sys.executable}", str(venv)]}
    steps["resolve"] = [*resolve, str(ROOT / "pyproject.toml"), f"--output-file={work / 'pinned.txt'}"]
    steps["install"] = [*install, f"--requirements={work / 'pinned.txt'}", str(wheel)]
    steps |= commands(work)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    for name, command in steps.items():
        bar.set_postfix_str(f"{resolution}: {name}")
        found[name] = run(command, environment)
        bar.update()
        if found[name] is not None:
            break
    listed = subprocess.run(
        ["uv", "pip", "list", "--format=json", "--python", str(python)], capture_output=True, text=True, check=False
    )
    versions = {entry["name"]: entry["version"] for entry in json.loads(listed.stdout or "[]")}
    return versions, found


def table(results: dict[str, tuple[dict[str, str], dict[str, str | None]]]) -> str:
    """Versions and outcomes in Markdown, a column for each resolution."""
    lines = [f"| | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    for name in SHOWN:
        lines.append(f"| {name} | {' | '.join(versions.get(name, '-') for versions, _ in results.values())} |")
    for name in dict.fromkeys(name for _, found in results.values() for name in found):
        cells = ["not tried" if name not in found else "works" if found[name] is None else "FAILS"
                 for _, found in results.values()]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", nargs="+", default=[*RESOLUTIONS], choices=RESOLUTIONS)
    parser.add_argument("--output", type=Path, default=Path("outputs/versions"))
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        if complaint := run(
            ["uv", "build", "-q", "--wheel", f"--python={sys.executable}", f"--out-dir={scratch}", str(ROOT)]
        ):
            raise SystemExit(complaint)
        (wheel,) = Path(scratch).glob("*.whl")
        with tqdm(total=len(options.resolutions) * (3 + len(commands(Path(scratch)))), desc="Versions") as bar:
            for resolution in options.resolutions:
                work = Path(scratch) / resolution
                work.mkdir()
                results[resolution] = check(resolution, wheel, work, bar)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "versions.md").write_text(table(results))
    print(table(results))
    complaints = [
        f"{resolution}, {name}:\n{text}"
        for resolution, (_, found) in results.items()
        for name, text in found.items()
        if text
    ]
    raise SystemExit("\n\n".join(complaints) or 0)


if __name__ == "__main__":
    main()
