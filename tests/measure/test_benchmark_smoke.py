"""The smoke suite by the real command: whole, killed again and again, and through submitit."""

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from lerobot_sdm.files import read_json, write_json
from lerobot_sdm.measure.benchmark import Benchmark, make_benchmark
from lerobot_sdm.measure.benchmark_page import task_table
from lerobot_sdm.measure.engines import Engine
from lerobot_sdm.measure.methods import SMOKE_METHODS
from lerobot_sdm.measure.provenance import RESUMING
from lerobot_sdm.measure.run_benchmark import run_benchmark
from lerobot_sdm.measure.scores import measured_by
from lerobot_sdm.measure.summaries import gather
from lerobot_sdm.processes.launcher import SWITCH, find_program

pytest_plugins = ("warm_start",)

TASK = "handle-press"
UNTIMED = ("cell", "protocols", "distance_to_teacher", "distance_to_demonstrations", "hashes", "cloud")
"""What must be the same however often a benchmark was interrupted."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def run(benchmark: Benchmark, engine: Engine, with_expert: bool = False) -> str:
    """Run a benchmark in this process; returns what it told."""
    console = Console(file=io.StringIO(), width=200)
    outcome = run_benchmark(benchmark, engine, console, with_expert)
    assert not outcome.failed, [str(error) for _, error in outcome.failed]
    assert not outcome.skipped
    return console.file.getvalue()


def comparable(root: Path) -> list[dict]:
    """Everything about the cells of a folder but for times."""
    return [{key: cell.get(key) for key in UNTIMED} for cell in gather(root)["cells"]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, warm) -> tuple[Benchmark, float]:
    """The suite without interruption, two cells at a time; and how many seconds it took."""
    benchmark = make_benchmark(tmp_path_factory.mktemp("benchmark") / "whole", "smoke")
    started = time.monotonic()
    run(benchmark, Engine(jobs=2))
    return benchmark, time.monotonic() - started


def test_every_cell_says_what_it_rests_on(whole):
    benchmark, _ = whole
    cells = {cell["method"]: cell for cell in gather(benchmark.root)["cells"]}
    assert tuple(cells) == SMOKE_METHODS
    assert [cell["latency"]["network_evaluations"] for cell in cells.values()] == [10, 1, 1]
    for cell in cells.values():
        assert list(cell["protocols"]) == ["strict"]
        (evaluation,) = cell["protocols"]["strict"]["evaluations"]
        assert evaluation["seeds"] == [100_000, 100_003]
        assert len(evaluation["successes"]) == 4
        assert cell["teacher_latency"]["network_evaluations"] == 10
    student, generator = cells["sdm"], cells["generator"]
    commands = {record["stage"]: record["command"] for record in student["stages"]}
    assert list(commands) == [
        "record",
        "record_held_out",
        "check_data",
        "check_held_out",
        "train_dp3_seed1",
        "check_dp3_seed1",
        "train_sdm_seed1",
        "check_sdm_seed1",
        "evaluate_sdm_seed1",
        "measure_sdm_seed1",
    ]
    assert commands["train_sdm_seed1"].startswith("lerobot-train")
    assert student["hashes"]["dp3"] == generator["hashes"]["dp3"] != student["hashes"]["sdm"]
    assert student["hashes"]["demonstrations"] != student["hashes"]["held_out"]
    assert {record["commit"] for record in student["stages"]} == {student["commit"]}
    assert [step for step, _ in student["trainings"]["sdm"]["loss"]] == [10, 20, 30, 40]
    assert student["distance_to_teacher"]["energy"]["estimate"] != 0
    # Never below zero, by the triangle inequality.
    assert student["distance_to_demonstrations"]["low"] > 0
    assert student["distance_to_demonstrations"] != generator["distance_to_demonstrations"]


def test_intermediate_checkpoints_can_act_and_not_resume(whole):
    """As many as the papers' protocol evaluates; what only resuming needs is left to the last one."""
    folder = whole[0].root / "tasks" / TASK / "dp3_seed1" / "checkpoints"
    checkpoints = [folder / name for name in ("000020", "000040", "000060")]
    assert sorted(path for path in folder.iterdir() if not path.is_symlink()) == checkpoints
    assert all((path / "pretrained_model" / "model.safetensors").exists() for path in checkpoints)
    for name in RESUMING:
        assert [(path / name).exists() for path in checkpoints] == [False, False, True]


def test_page_and_pictures(whole):
    root = whole[0].root
    assert "untrained student" in (root / "results.md").read_text()
    assert [summary["tasks"] for summary in read_json(root / "results.json")["summaries"]] == [[TASK]]
    for name in ("success_by_difficulty.png", "success_against_latency.png", "learning_curves.png"):
        assert (root / name).stat().st_size > 10_000


def test_finished_cells_are_not_run_again(whole):
    benchmark, _ = whole
    files = sorted((benchmark.root / "cells").iterdir())
    before = [path.stat().st_mtime_ns for path in files]
    assert "3 finished before" in run(benchmark, Engine())
    assert [path.stat().st_mtime_ns for path in files] == before


def test_the_expert_acts_in_the_same_episodes_once(whole):
    benchmark, _ = whole
    assert f"expert of {TASK} (1 of 1)" in run(benchmark, Engine(), with_expert=True)
    assert "expert of" not in run(benchmark, Engine(), with_expert=True)
    # What another expert did says nothing about the one that demonstrates.
    file = benchmark.root / "experts" / f"{TASK}.json"
    write_json(file, read_json(file) | {"expert": "mpc"})
    assert "expert of" in run(benchmark, Engine(), with_expert=True)
    (summary,) = gather(benchmark.root)["summaries"]
    found = gather(benchmark.root)["experts"][TASK]
    assert found["evaluations"] == [{"seeds": [100_000, 100_003], "successes": [True] * 4}]
    assert found["expert"] == "scripted"
    assert summary["expert"]["all"]["estimate"] == 1
    assert "| the expert |" in (benchmark.root / "results.md").read_text()


def commands_started(output: Path) -> int:
    """How many commands the logs of a benchmark's task tell of."""
    logs = (output / "tasks" / TASK / "logs").glob("*.log")
    return sum(line.startswith("$ ") for log in logs for line in log.read_text(errors="replace").splitlines())


def test_killed_at_random_and_continued(whole, tmp_path):
    """The driver alone or everything with it, at three moments; the table is that of the run that no one disturbed."""
    undisturbed, _ = whole
    chance, killed = random.Random(0), 0
    output = tmp_path / "killed"
    command = [find_program("lerobot-sdm"), "benchmark", "--suite=smoke", "--jobs=2", f"--output={output}"]
    # A warm process of its own, so that a kill of everything is one.
    own = {name: value for name, value in os.environ.items() if name != SWITCH}
    for everything in (False, True, False):
        wanted = commands_started(output) + chance.randint(1, 2)
        environment = own if everything else dict(os.environ)
        process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
        # Imports take longer than many a command, and machines differ: progress is counted, not time.
        while commands_started(output) < wanted and process.poll() is None:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 1))
        if process.poll() is not None:
            break
        killed += 1
        if everything:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
    assert killed >= 3
    last = subprocess.run(command, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stdout + last.stderr
    assert comparable(output) == comparable(undisturbed.root)
    first, second = (measured_by(gather(root)["cells"], "strict") for root in (output, undisturbed.root))
    assert task_table(first, {}) == task_table(second, {})


def test_a_protocol_and_a_method_are_added(whole, tmp_path):
    """Trainings and evaluations that are there are not made again; a cell gets its second protocol."""
    undisturbed, _ = whole
    output = tmp_path / "more"
    shutil.copytree(undisturbed.root, output, symlinks=True)
    folder = output / "tasks" / TASK
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "stages").glob("*.json")}
    kept = {cell["method"]: cell for cell in gather(output)["cells"]}
    more = make_benchmark(
        output,
        "smoke",
        methods=("dp3-10", "regression", "sdm"),
        protocols=("strict", "paper"),
        paper_methods=("sdm",),
    )
    assert "3 cells, 1 finished before" in run(more, Engine())
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "stages").glob("*.json")}
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == [
        "check_regression_seed1.json",
        "evaluate_regression_seed1.json",
        *(f"evaluate_sdm_seed1_step{step}.json" for step in (13, 26, 39)),
        "measure_regression_seed1.json",
        "train_regression_seed1.json",
    ]
    cells = {cell["method"]: cell for cell in gather(output)["cells"]}
    assert cells["dp3-10"] == kept["dp3-10"]
    both = cells["sdm"]["protocols"]
    assert both["strict"] == kept["sdm"]["protocols"]["strict"]
    assert [item["step"] for item in both["paper"]["evaluations"]] == [13, 26, 39]
    assert [item["seeds"] for item in both["paper"]["evaluations"]] == [[100_000 + i, 100_001 + i] for i in (0, 2, 4)]
    assert {name: cells["sdm"][name] for name in ("hashes", "distance_to_teacher")} == {
        name: kept["sdm"][name] for name in ("hashes", "distance_to_teacher")
    }
    # The same network and start as sdm, and nothing learned from the demonstrations.
    assert cells["regression"]["trainings"]["regression"]["policy"]["recipe"] == "regression"
    log = (folder / "logs" / "train_regression_seed1.log").read_text()
    assert "regression_loss" in log
    assert "data_loss" not in log
    assert "data_loss" in (folder / "logs" / "train_sdm_seed1.log").read_text()


def test_a_teacher_whose_training_is_gone_is_made_again(whole, tmp_path):
    """Bit for bit, so that the new row stands beside the old ones."""
    undisturbed, _ = whole
    output = tmp_path / "cells-alone"
    shutil.copytree(undisturbed.root, output, ignore=shutil.ignore_patterns("tasks", "logs"))
    run(make_benchmark(output, "smoke", methods=("dp3-10", "dp3-1", "sdm")), Engine())
    cells = {cell["method"]: cell for cell in gather(output)["cells"]}
    assert cells["dp3-1"]["hashes"]["dp3"] == cells["sdm"]["hashes"]["dp3"]
    assert not (output / "tasks" / TASK / "sdm_seed1").exists()
    assert comparable(undisturbed.root) == [cell for cell in comparable(output) if "dp3-1." not in cell["cell"]]


def test_submitit_runs_the_same_cells(whole, tmp_path):
    """A folder that has moved, with two cells unfinished, is finished by jobs of submitit's local executor."""
    pytest.importorskip("submitit", reason="needs the extra `benchmark`")
    undisturbed, _ = whole
    output = tmp_path / "moved"
    shutil.copytree(undisturbed.root, output, symlinks=True)
    folder = output / "tasks" / TASK
    for method in ("generator", "sdm"):
        (output / "cells" / f"{TASK}.{method}.seed1.json").unlink()
        (folder / "stages" / f"measure_{method}_seed1.json").unlink()
        (folder / "measurements" / f"{method}_seed1.json").unlink()
    (folder / "stages" / "evaluate_sdm_seed1.json").unlink()
    shutil.rmtree(folder / "evaluation" / "sdm_seed1")

    engine = Engine("submitit", jobs=2, cluster="local", parameters={"timeout_min": 30})
    told = run(make_benchmark(output, "smoke"), engine)
    assert "1 finished before" in told
    assert len(list((output / "submitit").glob("*_submitted.pkl"))) == 2
    assert comparable(output) == comparable(undisturbed.root)


def test_a_worker_without_parent_ends(tmp_path):
    """With its command, though only the parent was killed: nothing goes on in the background."""
    script = (
        "import sys; from pathlib import Path\n"
        "from test_benchmark_smoke import sleep_in_a_command\n"
        "from lerobot_sdm.measure.engines import Engine\n"
        "if __name__ == '__main__':\n"
        "    with Engine().started(Path(sys.argv[1])) as submit:\n"
        "        submit(sleep_in_a_command, Path(sys.argv[1])).result()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    (tmp_path / "parent.py").write_text(script)
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", str(tmp_path)], env=environment)
    pids = tmp_path / "pids"
    deadline = time.monotonic() + 600
    while not pids.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    worker, sleeper = map(int, pids.read_text().split())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while alive(worker) or alive(sleeper):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def sleep_in_a_command(folder: Path) -> None:
    """What the worker does: run a command that notes both process ids and then sleeps."""
    from lerobot_sdm.measure.runner import run_stages
    from lerobot_sdm.measure.stages import Stage

    code = (
        "import os, pathlib, sys, time; p = pathlib.Path(sys.argv[1]); t = p.with_suffix('.tmp')\n"
        "t.write_text(f'{os.getppid()} {os.getpid()}'); t.rename(p); time.sleep(300)"
    )
    stage = Stage("sleep", "Sleep", folder / "made", (sys.executable, "-c", code, str(folder / "pids")))
    run_stages([stage], folder, Console(file=io.StringIO()), dict(os.environ))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
