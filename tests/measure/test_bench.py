"""What a decision costs, part by part, of real policies."""

import json

import pytest
import torch
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.measure.bench import benchmark
from lerobot_sdm.measure.contenders import Contender, load_contender


def test_parts_add_up_and_evaluations_are_counted(tiny):
    policies = [
        load_contender(Contender("ten", str(tiny.teacher))),
        load_contender(Contender("one", str(tiny.teacher), {"num_inference_steps": "1"})),
        load_contender(Contender("student", str(tiny.student), {"inference_precision": "int8"})),
    ]
    rows = benchmark(policies, repeats=5, warmup=1, batch_size=2)
    assert [row.label for row in rows] == ["ten", "one", "student"]
    assert [row.network_evaluations for row in rows] == [10, 1, 1]
    for row in rows:
        assert 0 < row.step_p50 < row.chunk_p50 <= row.chunk_p95
        assert min(row.processors, row.encoder, row.network, row.other) > 0
        assert row.processors + row.encoder + row.network + row.other == pytest.approx(row.chunk_p50, rel=0.3)
        assert row.memory_mb > row.weights_mb
        assert (row.threads, row.device, row.batch_size) == (torch.get_num_threads(), "cpu", 2)
    assert rows[0].network > rows[1].network
    assert rows[0].action_error == 0
    assert rows[1].action_error > 0
    assert rows[2].weights_mb < rows[1].weights_mb


def test_policies_are_left_as_they_were(tiny):
    loaded = load_contender(Contender("ten", str(tiny.teacher)))
    benchmark([loaded], repeats=1, warmup=0)
    assert not loaded.denoiser._forward_hooks
    assert not loaded.denoiser._forward_pre_hooks
    assert "encode" not in vars(loaded.policy.inference_model)


def test_command(tiny, tmp_path):
    output = tmp_path / "bench.json"
    arguments = ["bench", f"--policy={tiny.teacher},label=T", "--repeats=2", f"--output={output}"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "milliseconds, medians" in result.output
    (row,) = json.loads(output.read_text())["rows"]
    assert row["label"] == "T"
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert "exists" in again.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--policy=gone/far/away"], "no folder"),
        (["--policy=gone", "--repeats=0"], "--repeats=0"),
        (["--policy=gone", "--batch-size=0"], "--batch-size=0"),
    ],
)
def test_bad_input(arguments, complaint):
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2
    assert complaint in result.output
