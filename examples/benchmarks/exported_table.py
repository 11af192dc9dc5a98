"""Write the results of `exported_success.py` as one table, a row for each task and policy.

    python examples/benchmarks/exported_table.py results/exported
    python examples/benchmarks/exported_table.py results/exported_certificates --certificates

Successes in torch and in each exported graph, with the paired difference's interval in points, and the largest
difference of actions in normalized units. With `--certificates`, what manifests of exported folders certify.
"""

import argparse
from pathlib import Path
from typing import Any

from lerobot_sdm.files import read_json
from lerobot_sdm.measure import tables

GRAPHS = {"onnx-float32": "ONNX", "openvino-float32": "OpenVINO", "onnx-int8": "ONNX, int8"}
"""Folder of an exported policy -> its title."""
TITLES = {"onnx": "ONNX", "openvino": "OpenVINO", "torch": "torch"}
"""Format -> its title."""


def cells(row: dict[str, Any] | None) -> tuple[str, str]:
    """Success and largest difference of one exported graph; its certificate has refused one that is not there."""
    if row is None:
        return "refused", ""
    against = row["difference_to_the_policy"]
    interval = f"{100 * against['low']:+.0f} to {100 * against['high']:+.0f}"
    return f"{sum(row['successes'])} ({interval})", f"{row['largest_action_difference']:.1g}"


def table(files: list[Path]) -> str:
    """All results; the task and policy type of a file are its name, TASK-TYPE.json."""
    lines = [("task", "policy", "torch", *GRAPHS.values(), *(f"difference, {title}" for title in GRAPHS.values()))]
    for file in files:
        rows = {row["label"].rpartition("/")[2]: row for row in read_json(file)["rows"]}
        task, _, kind = file.stem.rpartition("-")
        successes, differences = zip(*(cells(rows.get(name)) for name in GRAPHS), strict=True)
        lines.append((task, f"`{kind}`", str(sum(rows["policy"]["successes"])), *successes, *differences))
    return tables.markdown(lines)


def certificates(files: list[Path]) -> str:
    """What exported folders certify, from copies of their manifests: one row a graph."""
    lines = [("graph", "largest error", "RMS error", "spread of the policy")]
    for manifest in map(read_json, files):
        told = manifest["certificate"]
        errors = (f"{told[name]:.2g}" for name in ("largest_error", "rms_error", "spread_of_the_policy"))
        lines.append((f"{TITLES[manifest['format']]}, {manifest['precision']}", *errors))
    return tables.markdown(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with files TASK-TYPE.json, or manifests")
    parser.add_argument("--certificates", action="store_true", help="the files are manifests of exported folders")
    options = parser.parse_args()
    write = certificates if options.certificates else table
    print(write(sorted(options.folder.glob("*.json"))))


if __name__ == "__main__":
    main()
