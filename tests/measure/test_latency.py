"""Timing decisions and counting network evaluations of real policies."""

import pytest
import torch

from lerobot_sdm.measure.contenders import Contender, load_contender
from lerobot_sdm.measure.latency import count_calls, measure_latency


def test_network_evaluations(tiny):
    """Observed calls equal what each configuration promises: 10, 2, 1, and 1 for the student."""
    policies = [
        load_contender(Contender("ten", str(tiny.teacher))),
        load_contender(Contender("two", str(tiny.teacher), {"num_inference_steps": "2"})),
        load_contender(Contender("one", str(tiny.teacher), {"num_inference_steps": "1"})),
        load_contender(Contender("student", str(tiny.student))),
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
