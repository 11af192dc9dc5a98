"""Rates and differences, by hand."""

import pytest
from benchmark_cells import made_cell

from lerobot_sdm.measure.scores import difference, measured_by, pooled, score


def episodes(text: str) -> list[bool]:
    return [letter == "x" for letter in text]


def test_a_rate_of_all_episodes_has_wilsons_interval():
    found = score([episodes("xxx.")], best=0)
    # Wilson (1927) for 3 of 4: (0.75 + z²/8 ± z sqrt(0.75 * 0.25 / 4 + z²/64)) / (1 + z²/4), z = 1.96.
    assert found == pytest.approx({"estimate": 0.75, "low": 0.3006, "high": 0.9544}, abs=1e-4)


def test_the_highest_rates_have_none():
    # Rates 1/4, 4/4, 2/4, 3/4: the two highest are 1 and 3/4.
    assert score([episodes(text) for text in ("x...", "xxxx", "xx..", "xxx.")], best=2) == {"estimate": 0.875}


def test_pooling_tasks_and_seeds():
    cells = [
        made_cell("reach", "easy", "sdm", "xxxx", seed=0),
        made_cell("push", "hard", "sdm", "xx..", seed=0),
        made_cell("reach", "easy", "sdm", "xxx.", seed=1),
        made_cell("push", "hard", "sdm", "x...", seed=1),
    ]
    assert measured_by(cells, "paper") == []
    cells = measured_by(cells, "strict")
    found = pooled(cells)
    # 10 of 16 episodes; the seeds' means over tasks are 3/4 and 1/2, whose sample deviation is 1/(4 sqrt 2).
    assert found["estimate"] == 0.625
    assert found["seed_sd"] == pytest.approx(0.1768, abs=1e-4)
    assert found["low"] < 0.625 < found["high"]
    assert "seed_sd" not in pooled(cells[:2])


def test_differences_are_of_pairs():
    students = [made_cell("reach", "easy", "sdm", "xx.."), made_cell("push", "hard", "sdm", "x...")]
    teachers = [made_cell("reach", "easy", "dp3-10", "xxx."), made_cell("push", "hard", "dp3-10", "....")]
    # 3 of 8 against 3 of 8, one pair each way.
    found = difference(measured_by(students, "strict"), measured_by(teachers, "strict"))
    assert found["estimate"] == 0
    assert found["low"] == pytest.approx(-found["high"])
    assert 0 < found["high"] < 0.5
