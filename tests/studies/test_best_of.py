"""The study of the best of several chunks: its copies of a table go on as the table does."""

import numpy as np
import pytest
import torch
from example_scripts import load_script

pytest.importorskip("gym_pusht")


@pytest.fixture(scope="module")
def study():
    return load_script("studies/best_of.py")


def pushed(study, steps):
    """Two tables whose blocks have been pushed toward the middle."""
    tables = study.Tables(2).reset([300_000, 300_001])
    for _ in range(steps):
        tables.step(np.array([env.block.position for env in tables.envs]))
    return tables


def test_copies_go_on_as_the_table_does(study):
    tables = pushed(study, 20)
    copies = study.Tables(6).reset(list(range(6))).copies_of(tables, repeats=3)
    before = tables.closeness.copy()
    for _ in range(3):
        targets = np.array([env.block.position for env in tables.envs]) + 20
        tables.step(targets)
        copies.step(np.repeat(targets, 3, axis=0))
    assert np.abs(tables.closeness - before).min() > 0.005  # blocks moved
    # Contacts are found anew, which differs in the last digits; pressed on for longer, paths part.
    np.testing.assert_allclose(copies.closeness, np.repeat(tables.closeness, 3), atol=1e-3)


class Straight:
    """Chunks as they are, in pixels."""

    @staticmethod
    def postprocess(chunks):
        return chunks


def test_the_simulator_chooses_what_brings_the_block_closest(study):
    tables = pushed(study, 20)
    start = np.array([env.agent.position for env in tables.envs])
    through = np.array([env.block.position for env in tables.envs])
    offered = np.stack([np.repeat(point[:, None], 8, axis=1) for point in (start, through)], axis=1)  # (2, 2, 8, 2)
    chosen = study.by_simulator(Straight(), 4)(tables, {}, torch.tensor(offered))
    gains = []
    for option in range(2):
        copies = study.Tables(2).reset([0, 1]).copies_of(tables, repeats=1)
        for step in range(8):
            copies.step(offered[:, option, step])
        gains.append(copies.closeness)
    assert np.array_equal(chosen, np.argmax(gains, axis=0))
    assert np.ptp(gains, axis=0).min() > 1e-3  # the choice matters
