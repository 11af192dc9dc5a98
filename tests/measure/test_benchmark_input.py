"""What the command line refuses, before anything is written."""

import shutil
import sys

import filelock
import pytest
from benchmark_cells import made_cell, write_cells
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.files import read_json, write_json
from lerobot_sdm.measure.benchmark import make_benchmark
from lerobot_sdm.measure.stages import claim_folder

LOCAL_JOBS = ("--engine=submitit", "--submitit-cluster=local")


def call(*arguments: str):
    return CliRunner().invoke(app, ["benchmark", *arguments])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--suite: is missing"),
        (["--suite=dp3-38"], "Did you mean 'dp3-37'"),
        (["--suite=dp3-37", "--methods=sdm,dp4-10"], "'dp4-10' is not known"),
        (["--suite=dp3-37", "--tasks=basketball"], "'basketball' is not known"),
        (["--suite=dp3-37", "--tasks=,"], "--tasks=,: names nothing"),
        (["--suite=dp3-37", "--size=smal"], "Did you mean 'small'"),
        (["--suite=dp3-37", "--protocol=strict,papr"], "Did you mean 'paper'"),
        (["--suite=dp3-37", "--paper-methods=sdm"], "--paper-methods=sdm: needs --protocol=strict,paper"),
        (["--suite=dp3-37", "--env-view=dp4"], "--env-view: 'dp4' is not known. Did you mean 'dp3'"),
        (["--suite=dp3-37", "--env-view=workspace", "--data=x"], "show the view 'dp3'. Drop --env-view"),
        (["--suite=dp3-37", "--episodes=50"], "needs at least 100"),
        (["--suite=smoke", "--seeds=one"], "--seeds=one: not a list of integers"),
        (["--suite=smoke", "--jobs=0"], "--jobs=0"),
        (["--suite=smoke", "--engine=slurm"], "--engine: 'slurm' is not known"),
        (["--suite=smoke", "--engine=submitit", "--submitit-cluster=pbs"], "'pbs' is not known"),
        (["--suite=smoke", "--engine=submitit", "--submitit-parameter=gpu"], "not of the form KEY=VALUE"),
        (["--suite=smoke", "--engine=submitit", "--submitit-parameter=gpu=[1"], "'[1' cannot be read as YAML"),
        (["--suite=smoke", *LOCAL_JOBS, "--submitit-parameter=timeout=5"], "submitit does not take it"),
        (["--suite=smoke", "--submitit-parameter=timeout_min=5"], "needs --engine=submitit"),
        (["--suite=smoke", "--gpus=0,1"], "--gpus=0,1: needs --device=cuda"),
        (["--suite=smoke", "--device=cuda", "--gpus=,"], "--gpus=,: names nothing"),
        (["--suite=smoke", "--device=cuda", *LOCAL_JOBS, "--gpus=0"], "--gpus=0: needs --engine=local"),
        (["--suite=smoke", "--data=nowhere"], "holds no metaworld_handle-press_expert.zarr"),
        (["--suite=smoke", "--experts=nowhere"], "--experts=nowhere: no such folder"),
        (["--suite=dp3-37", "--experts=."], "--experts=.: holds no hammer-v0.pickle"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, arguments, complaint):
    output = tmp_path / "out"
    result = call(f"--output={output}", *arguments)
    assert result.exit_code == 2
    assert complaint in result.output
    assert not output.exists()


def test_a_missing_engine(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)  # As if it were not installed.
    output = tmp_path / "out"
    result = call("--suite=smoke", "--engine=submitit", f"--output={output}")
    assert result.exit_code == 2
    assert "--extra benchmark" in result.output
    assert not output.exists()


@pytest.mark.skipif(shutil.which("srun") is not None, reason="here is a cluster")
def test_an_engine_that_cannot_be_reached(tmp_path):
    output = tmp_path / "out"
    result = call("--suite=smoke", "--engine=submitit", f"--output={output}")
    assert result.exit_code == 2
    assert "--submitit-cluster=slurm: cannot be reached from here" in result.output
    assert not output.exists()


def test_a_folder_of_another_suite(tmp_path):
    claim_folder(tmp_path / "out", make_benchmark(tmp_path / "out", "dp3-37").settings())
    before = (tmp_path / "out" / "settings.json").read_text()
    result = call("--suite=metaworld-50", f"--output={tmp_path / 'out'}")
    assert result.exit_code == 2
    assert "suite='dp3-37', and now it is 'metaworld-50'" in result.output
    assert (tmp_path / "out" / "settings.json").read_text() == before


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    result = call("--suite=smoke", f"--output={tmp_path}")
    assert result.exit_code == 2
    assert "not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_at_once(tmp_path):
    output = tmp_path / "out"
    claim_folder(output, make_benchmark(output, "smoke").settings())
    with filelock.FileLock(output / ".lock"):
        result = call("--suite=smoke", f"--output={output}")
    assert result.exit_code == 2
    assert "another run is using this folder" in result.output
    assert sorted(path.name for path in output.iterdir()) == [".lock", "settings.json"]


def test_a_cell_that_was_measured_otherwise(tmp_path):
    output = tmp_path / "out"
    benchmark = make_benchmark(output, "smoke")
    cell = made_cell("handle-press", "easy", "sdm", "x...")
    cell["protocols"]["strict"]["fingerprint"] = "another"
    write_cells(output, [cell])
    write_json(output / "settings.json", benchmark.settings())
    result = call("--suite=smoke", f"--output={output}")
    assert result.exit_code == 2
    assert "handle-press.sdm.seed1 was measured by other commands" in result.output
    assert not (output / "plan.json").exists()


def test_rendering_alone(tmp_path):
    root = write_cells(tmp_path / "out", [made_cell("reach", "easy", "dp3-10", "xxxx")])
    result = call(f"--render={root}")
    assert result.exit_code == 0
    assert [summary["tasks"] for summary in read_json(root / "results.json")["summaries"]] == [["reach"]]
    assert call(f"--render={tmp_path / 'absent'}").exit_code == 2


def test_dry_run_shows_everything_and_writes_nothing(tmp_path):
    output = tmp_path / "out"
    result = call("--suite=smoke", "--dry-run", f"--output={output}")
    assert result.exit_code == 0
    assert [line for line in result.output.splitlines() if line.endswith(".seed1")] == [
        "# handle-press.dp3-10.seed1",
        "# handle-press.generator.seed1",
        "# handle-press.sdm.seed1",
    ]
    assert result.output.count("lerobot-train") == 2
    assert result.output.count("lerobot-eval") == 3
    assert not output.exists()
