"""Every command of the documentation is one that a shell runs and a program understands.

Whether it also does what it says: `examples/maintenance/run_docs.py` runs them all, in small.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

import lerobot_policy_sdm  # noqa: F401 - registers the types

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "maintenance"))

from decoders import DECODERS, decode  # noqa: E402
from docs_commands import FENCE, PROGRAMS, Command, blocks, commands, pages  # noqa: E402
from docs_scale import in_small, reason_to_skip  # noqa: E402

from lerobot_sdm.errors import InputError  # noqa: E402

COMMANDS = list({command.argv: command for page in pages() for command in commands(page)}.values())
ASSETS = "--env.assets_dir=path/to/dexart-release/assets"
LANGUAGES = {"bash", "python", "yaml", ""}


def identifier(command: Command) -> str:
    return f"{Path(command.page).name}:{command.line}:{command.argv[0]}"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch) -> None:
    """A folder with what the commands find in a checkout, and the camera file of the documentation."""
    for name in ("configs", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    ((_, camera),) = blocks((ROOT / "docs" / "depth_cameras.md").read_text(), "yaml")
    (tmp_path / "cameras.yaml").write_text(camera)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))


@pytest.mark.parametrize("command", COMMANDS, ids=identifier)
def test_is_understood(command):
    if ASSETS in command.argv:  # Nothing can stand in for these files; all before them is read.
        with pytest.raises(InputError, match=f"^{ASSETS}: is no folder"):
            decode(command.argv)
    else:
        decode(command.argv)


@pytest.mark.parametrize(
    "argv",
    [
        ("lerobot-train", "--config_path=configs/dp3.yaml", "--policy.horizont=16"),
        ("lerobot-train", "--policy.type=dp3", "--dataset.repo_id=me/x"),  # Would push to the Hub without a name.
        ("lerobot-eval", "--policy.path=outputs/teacher", "--env.type=metaworld_pc", "--env.task=drawer-opne"),
        ("lerobot-rollout", "--policy.path=outputs/teacher", "--robot.type=so101_follower"),
        ("lerobot-sdm", "record", "--env.type=metaworld_pc", "--episode=10"),
        ("lerobot-sdm", "compare", "--env=pusht,task_name=x", "--policy=a", "--output=b"),
        ("lerobot-sdm", "distance", "--teacher=a"),
        ("python", "examples/benchmarks/inference.py", "--repeat-s=3"),
        ("python", "examples/failures.py", "outputs/dp3-37", "disassemble", "--outputs=x.png"),
        ("accelerate", "launch", "lerobot-train", "--config_path=configs/dp3.yaml", "--batch=1"),
        ("pip", "install", "lerobot_policy_sdm[push]"),
        ("hf", "auth", "log-in"),
    ],
    ids=" ".join,
)
def test_what_a_program_does_not_know_is_found(argv):
    """The decoders are no rubber stamps."""
    with pytest.raises((Exception, SystemExit)):
        decode(argv)


def kinds() -> dict[tuple[str, ...], Command]:
    """The first command of each program, verb and script that `run_docs.py` runs."""
    found: dict[tuple[str, ...], Command] = {}
    for command in COMMANDS:
        if reason_to_skip(in_small(command)) is None:
            found.setdefault(
                in_small(command)[:2] if command.argv[0] in ("lerobot-sdm", "python") else command.argv[:1], command
            )
    return found


@pytest.mark.parametrize("command", kinds().values(), ids=identifier)
def test_in_small_it_is_understood_as_well(command):
    """What `run_docs.py` adds to a command does not turn it into a wrong one."""
    decode(in_small(command))


def test_what_cannot_run_has_a_reason():
    reasons = {str(command): reason_to_skip(in_small(command)) for command in COMMANDS}
    assert all(
        "robot" in why for text, why in reasons.items() if text.startswith(("lerobot-rollout", "lerobot-record"))
    )
    assert all("GPU" in why for text, why in reasons.items() if text.startswith("python") and "cuda" in text)
    assert sum(why is None for why in reasons.values()) > len(COMMANDS) / 2


def test_programs_exist():
    used = {command.argv[0] for command in COMMANDS}
    assert used <= set(DECODERS)
    assert set(DECODERS) <= set(PROGRAMS)
    beside = Path(sys.executable).parent
    for program in used - {"pip", "uv"}:  # These two bring the environment about.
        assert shutil.which(program, path=f"{beside}{os.pathsep}{os.environ['PATH']}"), program


def test_shell_blocks_are_marked_as_such():
    """A block in another language, or unmarked, would be left out silently."""
    for page in pages():
        for block in FENCE.finditer(page.read_text()):
            assert block[1] in LANGUAGES, f"{page}: {block[1]}"
            if block[1] != "bash":
                assert not block[2].lstrip().startswith(("lerobot-", "uv ", "pip ", "python ")), f"{page}: {block[2]}"


def test_shell_reading(tmp_path):
    """Loops, variables, comments, continuation lines and quotes mean what they mean to bash."""
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "page.md"
    page.write_text(
        "# Page\n\n```bash\nrun=outputs   # not a command\nfor kind in a b; do\n  lerobot-train --x=$run/$kind \\\n"
        "    --y='1 2'\ndone\n```\n\ntext\n\n```bash\npip install uv && uv run pytest\n"
        "python $(which lerobot-eval) --z=$run\n```\n\n```yaml\nlerobot-train: no\n```\n"
    )
    assert [(command.line, *command.argv) for command in commands(page, tmp_path)] == [
        (4, "lerobot-train", "--x=outputs/a", "--y=1 2"),
        (4, "lerobot-train", "--x=outputs/b", "--y=1 2"),
        (14, "pip", "install", "uv"),
        (14, "uv", "run", "pytest"),
        (14, "python", "lerobot-eval", "--z=outputs"),
    ]
    for wrong in ("lerobot-tarin --x", "lerobot-train --x=$nowhere", "for x in a; do lerobot-train"):
        page.write_text(f"```bash\n{wrong}\n```\n")
        with pytest.raises(ValueError, match=r"docs/page\.md"):
            commands(page, tmp_path)
