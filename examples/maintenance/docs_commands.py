"""The commands of the documentation, as a shell would run them.

The code blocks of a page are run by bash itself, with stand-ins in the place of all programs that only write down how
they were called. So loops, variables, quotes and comments mean here what they mean to a reader's shell.
"""

import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAMS = (
    *("lerobot-sdm", "lerobot-train", "lerobot-eval", "lerobot-record", "lerobot-rollout", "lerobot-edit-dataset"),
    *("python", "pytest", "pip", "uv", "hf", "accelerate", "rerun"),
)
"""All that the documentation may call. Anything else is an error: a typo, or a program that a reader may not have."""

BASH = "/bin/bash"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
STAND_IN = f"""#!{BASH}
{{ printf '%s\\0' "$LINE" "${{0##*/}}" "$@"; printf '\\36\\0'; }} >> "$CALLS"
"""
PRELUDE = 'which() { echo "$1"; }\n'


@dataclass(frozen=True)
class Command:
    """One call of a program.

    Args:
        page: File of the documentation, relative to the repository.
        line: Line of the code block that it stands in.
        argv: The program and its arguments.
    """

    page: str
    line: int
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.argv)


def pages(root: Path = ROOT) -> list[Path]:
    """The README first, since other pages use what it makes, then the pages of `docs/` and of `docs/notes/` by name."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted((root / "docs" / "notes").glob("*.md"))]


def blocks(text: str, language: str) -> list[tuple[int, str]]:
    """The fenced code blocks of a page in a language, each with the line that it begins on."""
    found = FENCE.finditer(text)
    return [(text.count("\n", 0, block.start()) + 2, block[2]) for block in found if block[1] == language]


def commands(page: Path, root: Path = ROOT) -> list[Command]:
    """Every call of a program in a page's bash blocks, in order.

    Raises:
        ValueError: A block fails: a program that is none of `PROGRAMS`, a variable that is not set, a syntax error.
    """
    name = str(page.relative_to(root))
    script = PRELUDE + "\n".join(f"LINE={line}\n{code}" for line, code in blocks(page.read_text(), "bash"))
    with tempfile.TemporaryDirectory() as scratch:
        calls, programs = Path(scratch) / "calls", Path(scratch) / "programs"
        programs.mkdir()
        calls.touch()
        for program in PROGRAMS:
            (programs / program).write_text(STAND_IN)
            (programs / program).chmod(0o755)
        done = subprocess.run(
            [BASH, "--noprofile", "--norc", "-a", "-e", "-u", "-c", script],
            env={"PATH": str(programs), "CALLS": str(calls)},
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(f"{name}: {done.stderr.strip()}")
        records = [record.strip("\0").split("\0") for record in calls.read_text().split("\36\0") if record]
    return [Command(name, int(line), tuple(argv)) for line, *argv in records]
