"""Make the pair that `lerobot-sdm demo` shows, of a finished quickstart.

    uv run python examples/maintenance/make_demo.py outputs/quickstart --output=lerobot_sdm/demo/pair

Teacher and student are written in half precision, each with its processors and with a card that says where it comes
from: commit, commands, hashes, seeds, success.
"""

import argparse
import shutil
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file

from lerobot_sdm.cards.privacy import CONFIG_FILE, TRAIN_CONFIG_FILE, private_passages
from lerobot_sdm.demo.pair import FACTS_FILE, RUNS, SHIPPED
from lerobot_sdm.errors import InputError, refuse_existing
from lerobot_sdm.files import new_folder, read_json, write_json
from lerobot_sdm.hub.results import read_results
from lerobot_sdm.hub.staging import Order, policy_files, read_policy_config, stage_policy, trained_steps
from lerobot_sdm.measure.cell import data_hash, weights_hash
from lerobot_sdm.measure.methods import SHOWN
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.records import source_commit
from lerobot_sdm.policies.source.files import WEIGHTS_FILE
from lerobot_sdm.safe_files.weights import read_weights

MOST_BYTES = 4 * 2**20
"""Size limit, since the pair ships in the repository and the wheel: two networks of a million weights just fit."""


def build_pair(run: Path, output: Path) -> Path:
    """Write a teacher-student pair.

    Args:
        run: Folder of a finished quickstart.
        output: Folder to create, atomically.

    Returns:
        The folder.

    Raises:
        InputError: The run is not finished, or its policies are too large or do not fit into half precision.
    """
    refuse_existing("--output", output)
    layout = RunLayout(run)
    if not layout.results.is_file():
        raise InputError(f"{run}: holds no results.json. Give the folder of a finished `lerobot-sdm quickstart`.")
    results = read_json(layout.results)
    provenance = _provenance(layout, results)
    with new_folder(output) as unfinished:
        for name in RUNS:
            (unfinished / name).mkdir()
            _store(layout.checkpoint(name), unfinished / name, f"{output.name}/{name}", layout.results, provenance)
        write_json(unfinished / FACTS_FILE, _facts(results, provenance))
        if found := list(private_passages(unfinished)):
            raise InputError(f"{run}: private data would be stored: {'; '.join(found[:5])}. Remove it, and try again.")
        size = sum(file.stat().st_size for file in unfinished.rglob("*") if file.is_file())
        if size > MOST_BYTES:
            raise InputError(
                f"{run}: the pair takes {size:,} bytes, but at most {MOST_BYTES:,} are allowed. Train smaller "
                "networks: `lerobot-sdm quickstart --size=small`."
            )
    return output


def _facts(results: dict[str, Any], provenance: dict[str, Any]) -> dict[str, Any]:
    """What `demo.pair.Pair` holds besides its folder."""
    settings = results["settings"]
    return {
        "env_type": settings["env_type"],
        "task": settings["task"],
        "env": settings["env"],
        "first_seed": results["evaluation_seeds"][0],
        "measured": {
            row["key"]: (sum(row["successes"]), len(row["successes"])) for row in results["rows"] if row["key"] in SHOWN
        },
        "provenance": provenance,
    }


def _store(checkpoint: Path, target: Path, name: str, results: Path, provenance: dict[str, Any]) -> None:
    """Write one policy as it would be published, but in half precision."""
    kind = read_policy_config(checkpoint)["type"]
    with TemporaryDirectory(prefix="pair-") as scratch:
        halved = Path(scratch)
        for file in set(policy_files(checkpoint)) - {TRAIN_CONFIG_FILE}:  # The card says it more briefly.
            shutil.copyfile(checkpoint / file, halved / file)
        save_file(_half(checkpoint / WEIGHTS_FILE), halved / WEIGHTS_FILE)
        evaluations = read_results(results, kind, None, trained_steps(checkpoint))
        stage_policy(Order(halved, name, license="mit", evaluations=evaluations), target)
    write_json(target / CONFIG_FILE, read_json(target / CONFIG_FILE) | {"repo_id": None})  # It is not on the Hub.
    card = target / "README.md"
    card.write_text(f"{card.read_text(encoding='utf-8')}\n{_provenance_text(provenance)}", encoding="utf-8")


def _half(file: Path) -> dict[str, torch.Tensor]:
    """Convert weights to half precision; integers stay as they are.

    Raises:
        InputError: A weight is too large for half precision.
    """
    stored = {}
    for name, value in read_weights(file).items():
        stored[name] = value.half() if value.is_floating_point() else value
        if value.is_floating_point() and not bool(stored[name].isfinite().all()):
            raise InputError(f"{file}: '{name}' holds values above 65504, the largest in half precision.")
    return stored


def _provenance(layout: RunLayout, results: dict[str, Any]) -> dict[str, Any]:
    """Where the policies come from: commit, commands, hashes, seeds."""
    settings = results["settings"]
    commands = {record["stage"]: record["command"] for record in results["stages"]}
    return {
        "commit": source_commit() or f"none, version {version('lerobot_policy_sdm')}",
        "commands": {stage: commands[stage] for stage in ("record", "train_teacher", "train_student")},
        "dataset_sha256": data_hash(layout.demonstrations),
        "float32_weights_sha256": {name: weights_hash(layout, name) for name in RUNS},
        "seeds": {
            "demonstrations": settings["demo_seed"],
            "training": settings["train_seed"],
            "evaluation": results["evaluation_seeds"],
        },
        "versions": results["versions"],
    }


def _provenance_text(provenance: dict[str, Any]) -> str:
    commands = "\n".join(provenance["commands"].values())
    hashes = ", ".join(f"{name} `{digest}`" for name, digest in provenance["float32_weights_sha256"].items())
    seeds = provenance["seeds"]
    first, last = seeds["evaluation"]
    return f"""## Provenance

Weights are stored in half precision and loaded as float32. The evaluation used the original float32 weights.

- Commit: `{provenance["commit"]}`.
- SHA-256 of the demonstrations: `{provenance["dataset_sha256"]}`.
- SHA-256 of the weights in float32: {hashes}.
- Seeds: demonstrations from {seeds["demonstrations"]}, training {seeds["training"]}, evaluation {first} to {last}.

Commands, run in the folder of the run:

```bash
{commands}
```
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="Folder of a finished `lerobot-sdm quickstart`.")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="Folder to create; the shipped pair's if absent.")
    options = parser.parse_args()
    folder = build_pair(options.run, options.output)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()
