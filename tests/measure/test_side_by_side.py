"""Stages beside each other, with real processes: when they may start, what an end of one means, and what is left."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from lerobot_sdm.files import read_json
from lerobot_sdm.measure.commands import CommandFailedError
from lerobot_sdm.measure.estimate import rough_time, seconds_left
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.quickstart import all_stages
from lerobot_sdm.measure.runner import run_stages
from lerobot_sdm.measure.sizes import preset
from lerobot_sdm.measure.stages import Stage, startable

MEET = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
while not other.exists():
    time.sleep(0.02)
print("met", flush=True)
"""
SPAN = """
import pathlib, sys, time
begin = time.monotonic()
time.sleep(0.3)
pathlib.Path(sys.argv[1]).write_text(f"{begin} {time.monotonic()}")
"""
SLEEP = """
import os, pathlib, sys, time
path = pathlib.Path(sys.argv[1])
path.with_suffix(".tmp").write_text(str(os.getpid()))
path.with_suffix(".tmp").rename(path)
time.sleep(60)
"""


def program(name: str, code: str, *arguments: Path, **options) -> Stage:
    return Stage(name, name.title(), arguments[0], (sys.executable, "-c", code, *map(str, arguments)), **options)


def run(stages, root: Path, cores: int) -> str:
    console = Console(file=io.StringIO(), width=200)
    run_stages(stages, root, console, dict(os.environ), cores=cores)
    return console.file.getvalue()


def test_independent_stages_run_at_once(tmp_path):
    """Each waits for the other: in turns they would never end."""
    one, two = tmp_path / "one", tmp_path / "two"
    stages = [program("first", MEET, one, two, needs=()), program("second", MEET, two, one, needs=())]
    told = run(stages, tmp_path, cores=2)
    assert told.index("2/2 Second") < told.index("done")
    # The one that ends while the other runs is called by its name; what follows the last one needs none.
    assert len(re.findall(r"^   done (First|Second) in", told, flags=re.M)) == 1
    assert len(re.findall(r"^   done in", told, flags=re.M)) == 1
    for name in ("first", "second"):
        assert (tmp_path / "logs" / f"{name}.log").read_text().endswith("\nmet\n")
        assert read_json(tmp_path / "stages" / f"{name}.json")["seconds"] >= 0


def test_a_stage_that_runs_alone(tmp_path):
    """However many cores there are, and wherever it stands."""
    names = ("before", "alone", "beside", "after")
    files = {name: tmp_path / name for name in names}
    stages = [program(name, SPAN, file, needs=(), alone=name == "alone") for name, file in files.items()]
    run(stages, tmp_path, cores=8)
    spans = {name: tuple(map(float, file.read_text().split())) for name, file in files.items()}
    begin, end = spans.pop("alone")
    assert all(other_end <= begin or end <= other_begin for other_begin, other_end in spans.values())


def sleepers(root: Path) -> list[Stage]:
    return [program(name, SLEEP, root / name, needs=()) for name in ("one", "two")]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_where_one_fails_the_others_are_ended(tmp_path):
    asleep = sleepers(tmp_path)[0]
    code = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)\nsys.exit('why')"
    failing = program("failing", code, tmp_path / "one", needs=())
    with pytest.raises(CommandFailedError, match=r"exit status 1(.|\n)*why"):
        run([asleep, failing], tmp_path, cores=2)
    assert is_gone(int((tmp_path / "one").read_text()))
    assert not (tmp_path / "stages").exists()


def test_an_interrupt_ends_all(tmp_path):
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import os, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from test_side_by_side import run, sleepers\n"
        "run(sleepers(Path(sys.argv[2])), Path(sys.argv[2]), cores=2)\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    files = [tmp_path / "one", tmp_path / "two"]
    patience = time.monotonic() + 120
    while not all(file.exists() for file in files):
        assert time.monotonic() < patience
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert all(is_gone(int(file.read_text())) for file in files)


def stage(name: str, **options) -> Stage:
    return Stage(name, name, Path(name), ("x",), **options)


def test_what_may_start():
    stages = [
        stage("record", needs=(), cores=2),
        stage("train", needs=("record",), cores=1),
        stage("held_out", needs=()),
        stage("gpu", needs=(), device="cuda"),
        stage("gpu_too", needs=(), device="cuda"),
        stage("report"),
    ]

    def name(finished: set[str], running: set[str], cores: int) -> str | None:
        found = startable(stages, finished, running, cores)
        return found and found.name

    assert name(set(), set(), cores=1) == "record"  # Alone, a stage may want more cores than there are.
    assert name(set(), {"record"}, cores=2) is None
    assert name(set(), {"record"}, cores=3) == "held_out"
    assert name({"record"}, set(), cores=1) == "train"
    assert name({"record"}, {"train"}, cores=2) == "held_out"
    assert name({"record", "held_out"}, {"train", "gpu"}, cores=9) is None
    assert name({"record", "train", "held_out", "gpu"}, {"gpu_too"}, cores=9) is None
    assert name({"record", "train", "held_out", "gpu", "gpu_too"}, set(), cores=1) == "report"


def sized(name: str, size: float, kind: str, **options) -> Stage:
    return stage(name, size=size, kind=kind, typical=True, **options)


def test_the_rest_is_estimated_from_what_has_run():
    stages = [
        sized("record", 10, "record", needs=()),
        sized("teacher", 100, "train", needs=("record",)),
        sized("expert", 20, "evaluate", needs=()),
        sized("student", 50, "train", needs=("teacher",)),
        sized("row", 40, "evaluate", needs=("teacher",)),
        sized("report", 10, "evaluate"),
    ]
    assert seconds_left(stages, {}, {}, cores=1) is None
    # All take twice their size. One after the other: 100 + 20 + 50 + 40 + 10; or row and expert beside trainings.
    assert seconds_left(stages, {"record": 20.0}, {}, cores=1) == pytest.approx(440)
    assert seconds_left(stages, {"record": 20.0}, {}, cores=2) == pytest.approx(2 * (100 + 50 + 10))
    # The training has run for 50 of 200 seconds.
    assert seconds_left(stages, {"record": 20.0}, {"teacher": 50.0}, cores=2) == pytest.approx(150 + 100 + 20)
    # Trainings turned out to take their size; the row takes what the expert took for its size, half of it.
    finished = {"record": 20.0, "teacher": 100.0, "expert": 10.0}
    assert seconds_left(stages, finished, {}, cores=2) == pytest.approx(50 + 5)
    assert seconds_left(stages, finished, {"student": 80.0}, cores=2) == pytest.approx(20 + 5)  # Late: at any moment.
    assert seconds_left(stages, dict.fromkeys((s.name for s in stages), 1.0), {}, cores=2) is None


def test_no_estimate_without_ground():
    """A stage of a size that is not known; one of a kind that has not run, and is not like others."""
    known = [stage("a", size=1, kind="record"), stage("b", size=1, kind="train")]
    assert seconds_left(known, {"a": 5.0}, {}, cores=1) is None
    assert seconds_left([*known, stage("c", size=3, kind="train")], {"a": 1.0, "b": 5.0}, {}, cores=1) == 15
    assert seconds_left([*known, stage("c")], {"a": 1.0, "b": 5.0}, {}, cores=1) is None
    # What went on from an earlier attempt took another time: 0 says so.
    assert seconds_left([known[0], stage("c", size=3, kind="record")], {"a": 0.0}, {}, cores=1) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "less than a minute"), (50, "about 1 min"), (268, "about 4 min"), (1400, "about 25 min"), (3700, "about 1 h")],
)
def test_rough_time(seconds, text):
    assert rough_time(seconds) == text


@pytest.mark.parametrize("task", [("detour", "metaworld_pc"), ("door", "adroit")])
def test_a_run_waits_for_what_it_reads(task, tmp_path):
    """Every stage needs, in turn, those that make what its command names; and nothing runs beside the timing."""
    stages = {stage.name: stage for stage in all_stages(preset("small", *task), RunLayout(tmp_path))}
    order = list(stages)

    def all_needs(name: str) -> set[str]:
        needs = order[: order.index(name)] if stages[name].needs is None else stages[name].needs
        return set(needs).union(*map(all_needs, needs))

    for name, reader in stages.items():
        for maker in stages.values():
            text = " ".join(reader.command)
            if maker is not reader and f"{maker.produces}/" in f"{text}/".replace(" ", "/ ").replace(",", "/,"):
                assert maker.name in all_needs(name), (name, maker.name)
    assert all_needs("distances") >= {"record_held_out", "train_student", "train_teacher"}
    assert stages["latency"].alone
    assert all_needs("report") == set(order) - {"report"}
    assert all(stage.size > 0 for stage in stages.values())
