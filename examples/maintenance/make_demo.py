"""Make the pair that `lerobot-sdm demo` shows, of a finished quickstart.

    uv run python examples/maintenance/make_demo.py outputs/quickstart --output=lerobot_sdm/demo/pair

Teacher and student are written in half precision, each with its processors and with a card that says where it comes
from: commit, commands, hashes, seeds, success.
"""

import argparse
from pathlib import Path

from lerobot_sdm.demo.build import build_pair
from lerobot_sdm.demo.pair import SHIPPED


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
