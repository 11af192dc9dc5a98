"""How many control periods a robot stands still while a policy plans: from measured times, as a table in Markdown.

    python examples/deployment/deadlines.py paper.json simple.json --cloud-ms=7 --fps 30 80

Reads what `examples/benchmarks/inference.py` wrote, one file for each network. A plan takes the measured median, plus
the time to make a cloud of depth images (`examples/benchmarks/depth_clouds.py`).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from control_loop import missed_periods

from lerobot_sdm.files import read_json
from lerobot_sdm.measure import tables

NANOSECONDS = 1e6
"""In a millisecond."""


def table(networks: Mapping[str, Sequence[Mapping[str, Any]]], cloud_ms: float, rates: Sequence[float]) -> str:
    """One row for each measured policy.

    Args:
        networks: Name -> rows, each with `label` and `chunk_p50`, in milliseconds.
        rates: Control periods in a second.
    """
    rows = [("network", "policy", "plans in, ms", *(f"periods missed at {rate:g} Hz" for rate in rates))]
    for network, found in networks.items():
        for row in found:
            decision = int(NANOSECONDS * (row["chunk_p50"] + cloud_ms))
            missed = (missed_periods(decision, int(1e3 * NANOSECONDS / rate)) for rate in rates)
            rows.append((network, row["label"], f"{row['chunk_p50']:.1f} + {cloud_ms:.0f}", *map(str, missed)))
    return tables.markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="written by inference.py --json")
    parser.add_argument("--cloud-ms", type=float, default=0.0)
    parser.add_argument("--fps", type=float, nargs="+", default=[30.0, 80.0])
    options = parser.parse_args()
    networks = {file.stem: read_json(file)["rows"] for file in options.files}
    print(table(networks, options.cloud_ms, options.fps), end="")


if __name__ == "__main__":
    main()
