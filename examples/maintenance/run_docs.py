"""Run every command of the documentation, in small, and say which ran, which failed and which cannot run here.

    uv run python examples/maintenance/run_docs.py --output=outputs/docs --data=path/to/data
    uv run python examples/maintenance/run_docs.py --output=outputs/docs --pages README.md docs/adroit.md

Each page has a folder of its own below `--output`, in which its commands run in order; what they read and did not make
themselves comes from the folder of an earlier page. `--data` is searched for the files that readers bring along: the
demonstration stores of DP3 and Diffusion Policy, a checkpoint of the original code, an expert of hand_dapg. Commands
that failed are tried again by the next call; those that ran are not. Needs half an hour of one core.

Programs are forked from this process, which has imported what they need: imports would take longer than the commands.
`quickstart`, `compare` and `benchmark` do the same for the commands that they start themselves.
"""

import argparse
import importlib
import multiprocessing
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from docs_commands import ROOT, Command, blocks, commands, pages
from docs_scale import in_small, reason_to_skip
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from lerobot_sdm.files import read_json, write_json, write_text
from lerobot_sdm.measure.preloaded import EVERYTHING_ELSE, RECORDING
from lerobot_sdm.processes.launcher import find_program
from lerobot_sdm.processes.server import run_program
from lerobot_sdm.processes.threads import passive_waiting

BROUGHT = {
    "metaworld_drawer-open_expert.zarr": "metaworld_drawer-open_expert.zarr",
    "adroit_hammer_expert.zarr": "adroit_hammer_expert.zarr",
    "pusht_cchi_v7_replay.zarr": "pusht_cchi_v7_replay.zarr",
    "pen-v0.pickle": "pen-v0.pickle",
    "latest.ckpt": "simple_dp3_assembly.ckpt",
}
"""Files that readers bring along, as the documentation calls them, and what stands for them in `--data`."""

MADE_BY = re.compile(r"^--(output|output_dir|root|rrd|png|json|plot|out)=|^output_dir:")
NAMED = re.compile(r"\b(?:data|outputs)/[\w./-]+")
FIRST = ("pusht", "README", "convert")
"""Pages from which others take what they read."""

LINKED = ("configs", "examples", "lerobot_sdm", "results/latency_of_decisions")
"""What commands read of the checkout. Not all of `results/`: a page's benchmark writes to it."""

LIMIT = 1800
"""Seconds that a command may take."""


def prepare(folder: Path, data: Path | None) -> None:
    """What a reader finds or brings along: the checkout's files, the camera file of the documentation, data."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        if not (folder / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(ROOT / name)
    ((_, camera),) = blocks((ROOT / "docs" / "depth_cameras.md").read_text(), "yaml")
    (folder / "cameras.yaml").write_text(camera)
    for name, source in BROUGHT.items():
        found = [] if data is None else list(data.rglob(source))
        if found and not (folder / name).exists():
            (folder / name).symlink_to(found[0].resolve())


def borrow(argv: tuple[str, ...], folder: Path, earlier: list[Path]) -> None:
    """Link what a command reads, and no command of this page has made, from the folder of an earlier page."""
    read = [argument for argument in argv if not MADE_BY.match(argument) or argument.startswith("--dataset")]
    for argument in argv:
        if argument.startswith("--config_path="):
            text = (ROOT / argument.partition("=")[2]).read_text()
            read += [line for line in text.splitlines() if not MADE_BY.match(line)]
    for name in NAMED.findall(" ".join(read)):
        for other in earlier:
            if not (folder / name).exists() and (other / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).symlink_to((other / name).resolve())


def missing_file(argv: tuple[str, ...], folder: Path) -> str | None:
    """A file that readers bring along and that is not here."""
    text = " ".join(argv)
    return next((name for name in BROUGHT if name in text and not (folder / name).exists()), None)


def perform(argv: tuple[str, ...], folder: Path, log: Path) -> None:
    """Be a program: in this process, which ends with it.

    Args:
        argv: `python SCRIPT ...`, or a program that an installed package brings.
        folder: Where it runs.
        log: File for all that it prints.
    """
    os.setsid()  # Whatever the program starts can be ended with it.
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)  # Whatever they were in the parent.
    os.chdir(folder)
    program, *arguments = argv
    run_program([sys.executable if program == "python" else find_program(program), *arguments])


def prepare_process(output: Path) -> None:
    """Settings and imports that all programs inherit."""
    cache = str(output.resolve() / "cache")
    defaults = {"OMP_NUM_THREADS": "1", "MUJOCO_GL": "egl", "HF_HUB_OFFLINE": "1", "HF_LEROBOT_HOME": cache}
    os.environ.update({name: os.environ.get(name, value) for name, value in (defaults | passive_waiting()).items()})
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for module in (*RECORDING, *EVERYTHING_ELSE, "zarr"):
        importlib.import_module(module)


def run(command: Command, folder: Path, log: Path, limit: float = LIMIT) -> dict[str, Any]:
    """Run a command in small.

    Args:
        command: What to run.
        folder: Where.
        log: File for all that it prints.
        limit: Seconds after which it is killed, with all that it has started, and counts as failed.

    Returns:
        Its outcome, with the reason if it did not run.
    """
    argv = in_small(command)
    absent = missing_file(argv, folder)
    reason = reason_to_skip(argv) or (absent and f"needs {absent}")
    if reason:
        return {"outcome": "skipped", "reason": reason}
    start = time.perf_counter()
    child = multiprocessing.get_context("fork").Process(target=perform, args=(argv, folder, log))
    child.start()
    try:
        child.join(limit)
        late = child.exitcode is None
    finally:  # Of this process' interruption too, which a group of its own would not notice.
        if child.is_alive():
            os.killpg(child.pid, signal.SIGKILL)
            child.join()
    problem = f"took more than {limit} s" if late else f"exit status {child.exitcode}" if child.exitcode else None
    seconds = round(time.perf_counter() - start, 1)
    outcome = {"outcome": "failed", "reason": problem} if problem else {"outcome": "ran", "reason": None}
    return {**outcome, "seconds": seconds}


def outcomes(output: Path) -> dict[str, dict[str, Any]]:
    """What is known of each command, by its text; that it ran, on whatever page, counts most."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(output.glob("*/commands.json")):
        for text, outcome in read_json(path).items():
            if found.get(text, {}).get("outcome") != "ran":
                found[text] = outcome
    return found


def run_page(page: Path, output: Path, data: Path | None) -> None:
    """Run the commands of a page that have not run yet, on this page or another."""
    folder = output / page.stem
    results = folder / "commands.json"
    known = outcomes(output)
    here = read_json(results) if results.exists() else {}
    prepare(folder, data)
    earlier = [path.parent for path in sorted(output.glob("*/commands.json")) if path != results]
    for number, command in enumerate(tqdm(commands(page), desc=command_page(page), unit="command")):
        if known.get(str(command), {}).get("outcome") != "ran":
            borrow(command.argv, folder, earlier)
            here[str(command)] = run(command, folder, folder / f"command-{number}.log")
            write_json(results, here)


def command_page(page: Path) -> str:
    """A page's name relative to the repository."""
    return str(page.relative_to(ROOT))


PAGE = """# Which commands were run

Written by `examples/maintenance/run_docs.py`, which runs every command of the README and of these pages in order, at
reduced size: a few episodes, two training steps, networks of a few thousand parameters (`docs_scale.py` has the options
that it adds). Files that a page reads but does not create come from earlier pages. Pass third-party demonstration
stores and checkpoints with `--data`.

```bash
python examples/maintenance/run_docs.py --output=outputs/docs --data=path/to/data --report=docs/commands.md
```

Tests in `tests/docs/` check that each program's own parser accepts its commands exactly as written, without running
them. This includes commands that need a robot, a GPU or the Hub. `quickstart`, `compare` and `benchmark` are also run,
at reduced size, by `tests/cli/test_quickstart.py`, `tests/measure/test_comparison.py` and
`tests/measure/test_benchmark_smoke.py`. *Not yet* means that the script has not run the command, not that it failed.

"""


def entries(output: Path) -> list[dict[str, Any]]:
    """Every command of every page, with its outcome."""
    known, found = outcomes(output), []
    for command in (command for page in pages() for command in commands(page)):
        outcome = known.get(str(command), {"outcome": "not yet", "reason": "not tried yet"})
        if reason := reason_to_skip(in_small(command)):
            outcome = {"outcome": "skipped", "reason": reason}
        found.append({"page": command.page, "line": command.line, "command": str(command), **outcome})
    return found


def report(found: list[dict[str, Any]]) -> str:
    """The outcome as Markdown: a line for each page, and every command that did not run, with its reason."""
    kinds = ("ran", "skipped", "failed", "not yet")
    lines = [f"| page | commands | {' | '.join(kinds)} |", f"|---|{'---:|' * (len(kinds) + 1)}"]
    for page in [*dict.fromkeys(entry["page"] for entry in found), None]:
        of_page = [entry["outcome"] for entry in found if page in (None, entry["page"])]
        counts = " | ".join(str(of_page.count(kind)) for kind in kinds)
        link = "all" if page is None else f"[{page}]({page[5:] if page.startswith('docs/') else '../' + page})"
        lines.append(f"| {link} | {len(of_page)} | {counts} |")
    lines += ["", "| not run | page, line | why |", "|---|---|---|"]
    for entry in found:
        if entry["outcome"] != "ran":
            shown = entry["command"] if len(entry["command"]) <= 90 else f"{entry['command'][:87]}..."
            lines.append(f"| `{shown.replace('|', '&#124;')}` | {entry['page']}, {entry['line']} | {entry['reason']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="folder that is searched for what readers bring along")
    parser.add_argument("--report", type=Path, help="page to write with the outcome of all commands")
    parser.add_argument(
        "--pages", nargs="*", help="such as README.md docs/adroit.md; all if absent, none without names"
    )
    options = parser.parse_args()
    order = sorted(pages(), key=lambda page: FIRST.index(page.stem) if page.stem in FIRST else len(FIRST))
    chosen = [page for page in order if options.pages is None or command_page(page) in options.pages]
    if chosen:
        prepare_process(options.output)
    for page in chosen:
        run_page(page, options.output, options.data)
    found = entries(options.output)
    if options.report is not None:
        write_text(options.report, PAGE + report(found))
    table = Table("page", "line", "command", "outcome", "seconds", "why")
    for entry in found:
        texts = (entry["page"], entry["line"], entry["command"][:60], entry["outcome"], entry.get("seconds", ""))
        table.add_row(*map(str, texts), entry["reason"])
    Console().print(table)
    if any(entry["outcome"] == "failed" for entry in found):
        parser.exit(1, "Some commands failed; their logs lie beside commands.json.\n")


if __name__ == "__main__":
    main()
