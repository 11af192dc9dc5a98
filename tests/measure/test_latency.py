"""What decisions of real policies cost, whole and part by part; network evaluations are counted."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.measure import latency
from lerobot_sdm.measure.latency import count_calls, measure_latency, measure_parts
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec


def test_network_evaluations(tiny):
    """Observed calls equal what each configuration promises: 10, 2, 1, and 1 for the student."""
    policies = [
        load_from_spec(PolicySpec("ten", str(tiny.teacher))),
        load_from_spec(PolicySpec("two", str(tiny.teacher), {"num_inference_steps": "2"})),
        load_from_spec(PolicySpec("one", str(tiny.teacher), {"num_inference_steps": "1"})),
        load_from_spec(PolicySpec("student", str(tiny.student))),
    ]
    observation = {"observation.state": torch.zeros(1, 9), "observation.point_cloud": torch.zeros(1, 16, 3)}
    rows = measure_latency(policies, [observation], repeats=4, warmup=1)
    assert [row.label for row in rows] == ["ten", "two", "one", "student"]
    assert [row.network_evaluations for row in rows] == [10, 2, 1, 1]
    for row in rows:
        assert 0 < row.median_ms <= row.p95_ms
        assert row.chunks == 4
        assert row.threads == torch.get_num_threads()
    assert rows[0].median_ms > rows[3].median_ms


def test_counter_stops_with_its_block():
    module = torch.nn.Identity()
    with count_calls(module) as counter:
        module(1)
        module(2)
    module(3)
    assert counter.calls == 2


def test_counter_leaves_after_an_error():
    module = torch.nn.Identity()
    with pytest.raises(RuntimeError, match="boom"), count_calls(module):
        raise RuntimeError("boom")
    assert not module._forward_hooks


def test_parts_are_timed_and_evaluations_counted(tiny):
    policies = [
        load_from_spec(PolicySpec("ten", str(tiny.teacher))),
        load_from_spec(PolicySpec("one", str(tiny.teacher), {"num_inference_steps": "1"})),
        load_from_spec(PolicySpec("student", str(tiny.student), {"inference_precision": "int8"})),
    ]
    rows = measure_parts(policies, repeats=5, warmup=1, batch_size=2)
    assert [row.label for row in rows] == ["ten", "one", "student"]
    assert [row.network_evaluations for row in rows] == [10, 1, 1]
    for row in rows:
        assert 0 < row.step_p50 < row.chunk_p50 <= row.chunk_p95
        assert min(row.processors, row.encoder, row.network, row.other) > 0
        assert max(row.processors, row.encoder, row.network, row.other) < row.chunk_p50
        assert row.memory_mb > row.weights_mb
        assert (row.threads, row.device, row.batch_size) == (torch.get_num_threads(), "cpu", 2)
    assert rows[0].network > rows[1].network
    assert rows[0].action_error == 0
    assert rows[1].action_error > 0
    assert rows[2].weights_mb < rows[1].weights_mb


def test_parts_add_up(tiny, monkeypatch):
    """By a clock that each look puts one second on: a busy machine would stretch one part or another."""
    looks = itertools.count()
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: float(next(looks))))
    (row,) = measure_parts([load_from_spec(PolicySpec("three", str(tiny.teacher), {"num_inference_steps": "3"}))])
    # Start, preprocessed, acted, end; begin and end of the encoder and of each of three evaluations lie between.
    assert row.chunk_p50 == row.chunk_p95 == 1000 * (3 + 2 + 2 * 3)
    assert row.processors == 2000
    assert (row.encoder, row.network) == (1000, 3000)
    assert row.processors + row.encoder + row.network + row.other == row.chunk_p50


def test_policies_are_left_as_they_were(tiny):
    loaded = load_from_spec(PolicySpec("ten", str(tiny.teacher)))
    measure_parts([loaded], repeats=1, warmup=0)
    assert not loaded.denoiser._forward_hooks
    assert not loaded.denoiser._forward_pre_hooks
    assert "encode" not in vars(loaded.policy.inference_model)


def test_command(tiny, tmp_path):
    output = tmp_path / "latency.json"
    arguments = ["latency", f"--policy={tiny.teacher},label=T", "--repeats=2", f"--output={output}"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "milliseconds; medians" in result.output
    (row,) = json.loads(output.read_text())["rows"]
    assert row["label"] == "T"
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert "exists" in again.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--policy=gone/far/away"], "neither a folder nor"),
        (["--policy=gone", "--repeats=0"], "--repeats=0"),
        (["--policy=gone", "--batch-size=0"], "--batch-size=0"),
    ],
)
def test_bad_input(arguments, complaint):
    result = CliRunner().invoke(app, ["latency", *arguments])
    assert result.exit_code == 2
    assert complaint in result.output


def test_the_old_name_of_the_command():
    """It works, says in one line what it is called now, and is not listed."""
    result = CliRunner().invoke(app, ["bench", "--policy=gone", "--repeats=0"])
    assert result.exit_code == 2
    assert "--repeats=0" in result.output
    assert "`lerobot-sdm bench` is now `lerobot-sdm latency`" in result.stderr.splitlines()[0]
    listed = CliRunner().invoke(app, ["--help"]).output
    assert " latency " in listed
    assert " bench " not in listed
