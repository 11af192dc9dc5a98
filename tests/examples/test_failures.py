"""The script that shows where a benchmark's policies fail: its numbers and panels, by hand."""

import numpy as np
from example_scripts import load_script

failures = load_script("failures.py")

DEMONSTRATIONS = np.array([[0.0, 0, 0, 0, 0, 0], [0.1, 0.2, 0, 0, 0, 0]])
EPISODES = np.array([[0.05, 0.1, 0, 0, 0, 0], [0.1, 0.23, 0, 0, 0, 0], [0.14, 0.2, 0, 0, 0, 0]])


def test_numbers():
    """The second start is 3 cm from a demonstration and the third 4 cm, both outside the box; the first is inside."""
    told = failures.report(EPISODES, DEMONSTRATIONS, np.array([0.0, 0.6, 1.0]), np.array([False, False, True]))
    assert told == [
        "2 of 3 episodes are failed by most methods, 1 by all.",
        "failed by most: median distance of the start to the nearest demonstration 3.5 cm",
        "others: median distance of the start to the nearest demonstration 11.2 cm",
        "outside the box of the demonstrations: 2 of 2 starts are failed by most methods",
        "inside: 0 of 1 starts are failed by most methods",
        "the expert fails 1 episodes, 1 of them among those",
    ]


def test_only_what_varies_is_drawn():
    (title, columns), *others = failures.panels(EPISODES, DEMONSTRATIONS)
    assert (title, columns, others) == ("object, from above: x and y in cm", [0, 1], [])
    higher = EPISODES + np.array([0, 0, 0, 0, 0, 0.2])
    assert [columns for _, columns in failures.panels(higher, DEMONSTRATIONS)] == [[0, 1], [3, 5]]
