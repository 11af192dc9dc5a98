"""The script that runs the documentation's commands: real programs, borrowed inputs, outcomes that last."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "maintenance"))

import run_docs  # noqa: E402
from docs_commands import Command, commands, pages  # noqa: E402

from lerobot_sdm.files import write_json  # noqa: E402


def test_outcomes_of_real_programs(tmp_path):
    run_docs.prepare(tmp_path, data=None)
    log = tmp_path / "log"
    good = run_docs.run(Command("x", 1, ("lerobot-sdm", "distance", "--help")), tmp_path, log)
    assert good["outcome"] == "ran"
    assert "held-out" in log.read_text().lower()
    bad = run_docs.run(Command("x", 1, ("lerobot-sdm", "view", "nowhere")), tmp_path, log)
    assert (bad["outcome"], bad["reason"]) == ("failed", "exit status 2")
    absent = run_docs.run(Command("x", 1, ("lerobot-sdm", "view", "adroit_hammer_expert.zarr")), tmp_path, log)
    assert (absent["outcome"], absent["reason"]) == ("skipped", "needs adroit_hammer_expert.zarr")


def test_a_command_that_takes_too_long_leaves_nothing_behind(tmp_path):
    """Not even what it has started itself."""
    script = "from subprocess import Popen; from time import sleep\nprint(Popen(['sleep', '300']).pid, flush=True)\n"
    (tmp_path / "late.py").write_text(f"{script}sleep(300)\n")
    late = run_docs.run(Command("x", 1, ("python", "late.py")), tmp_path, tmp_path / "log", limit=8)
    assert (late["outcome"], late["reason"]) == ("failed", "took more than 8 s")
    status = Path("/proc", (tmp_path / "log").read_text().strip(), "status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_inputs_are_borrowed_and_outputs_are_not(tmp_path):
    here, earlier = tmp_path / "here", tmp_path / "earlier"
    here.mkdir()
    for name in ("data/x", "outputs/teacher/last", "outputs/student"):
        (earlier / name).mkdir(parents=True)
    argv = ("lerobot-train", "--dataset.root=data/x", "--policy.teacher_path=outputs/teacher/last")
    run_docs.borrow((*argv, "--output_dir=outputs/student"), here, [earlier])
    assert (here / "data/x").resolve() == earlier / "data/x"
    assert (here / "outputs/teacher/last").resolve() == earlier / "outputs/teacher/last"
    assert not (here / "outputs/student").exists()


def test_report(tmp_path):
    """A command that ran anywhere has run; what cannot run says why; the rest was not tried."""
    first, second = [command for command in commands(ROOT / "README.md") if command.argv[0] == "lerobot-train"][:2]
    write_json(tmp_path / "a" / "commands.json", {str(first): {"outcome": "failed", "reason": "exit status 1"}})
    write_json(tmp_path / "b" / "commands.json", {str(first): {"outcome": "ran", "reason": None}})
    write_json(tmp_path / "c" / "commands.json", {str(second): {"outcome": "failed", "reason": "exit status 1"}})
    found = run_docs.entries(tmp_path)
    assert len(found) == sum(len(commands(page)) for page in pages())
    by_text = {entry["command"]: entry for entry in reversed(found)}  # On the README, if it is there.
    assert by_text[str(first)]["outcome"] == "ran"
    assert by_text[str(second)]["reason"] == "exit status 1"
    assert by_text["pip install uv"]["outcome"] == "skipped"
    assert by_text["uv run lerobot-sdm quickstart"]["outcome"] == "not yet"
    page = run_docs.report(found)
    assert f"| all | {len(found)} |" in page
    assert f"| `pip install uv` | README.md, {by_text['pip install uv']['line']} | changes the environment |" in page
