"""The suites are what the benchmarks' papers and their code say."""

import pytest

import lerobot_policy_sdm  # noqa: F401 - registers the environment types
from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.suites import LEVELS, SUITES, interleaved, suite_tasks

# The task files of FlowPolicy's repository, grouped as LeRobot's `metaworld_config.json` groups MetaWorld's tasks.
DP3_37 = {
    "adroit": "hammer door pen",
    "easy": "button-press-wall button-press dial-turn door-close door-open door-unlock drawer-close faucet-close "
    "faucet-open handle-press handle-pull lever-pull peg-unplug-side plate-slide plate-slide-back "
    "plate-slide-back-side plate-slide-side reach reach-wall window-close window-open",
    "medium": "coffee-pull hammer peg-insert-side soccer",
    "hard": "assembly hand-insert pick-place push",
    "very_hard": "disassemble pick-place-wall shelf-place stick-pull stick-push",
}


def by_level(suite: str) -> dict[str, set[str]]:
    return {
        level: {task.task for task in SUITES[suite] if task.level == level}
        for level in LEVELS
        if any(task.level == level for task in SUITES[suite])
    }


def test_the_37_tasks():
    assert by_level("dp3-37") == {level: set(names.split()) for level, names in DP3_37.items()}


@pytest.mark.parametrize(
    ("suite", "sizes"),
    [
        ("dp3-37", {"adroit": 3, "easy": 21, "medium": 4, "hard": 4, "very_hard": 5}),
        ("sdm-57", {"adroit": 3, "dexart": 4, "easy": 28, "medium": 11, "hard": 6, "very_hard": 5}),
        ("metaworld-50", {"easy": 28, "medium": 11, "hard": 6, "very_hard": 5}),
        ("adroit-3", {"adroit": 3}),
        ("dexart-4", {"dexart": 4}),
        ("two-ways", {"extra": 2}),
        ("smoke", {"easy": 1}),
    ],
)
def test_sizes(suite, sizes):
    assert {level: len(tasks) for level, tasks in by_level(suite).items()} == sizes
    names = [task.name for task in SUITES[suite]]
    assert len(names) == len(set(names)) == sum(sizes.values())


@pytest.mark.parametrize("suite", SUITES)
def test_every_task_exists(suite):
    """As an environment of LeRobot's, by its own configuration."""
    from lerobot.envs.configs import EnvConfig

    for task in SUITES[suite]:
        assert EnvConfig.get_choice_class(task.env_type)(task=task.task).task_names() == [task.task]


@pytest.mark.parametrize("suite", SUITES)
def test_every_beginning_is_a_fair_sample(suite):
    """Of each level as many tasks as its share of the suite, to less than one task, wherever one stops."""
    tasks = SUITES[suite]
    order = interleaved(tasks)
    assert sorted(task.name for task in order) == sorted(task.name for task in tasks)
    for count in range(1, len(tasks)):
        for level in LEVELS:
            share = count * sum(task.level == level for task in tasks) / len(tasks)
            assert abs(sum(task.level == level for task in order[:count]) - share) < 1


def test_tasks_of_a_level_keep_their_order():
    order = interleaved(SUITES["dp3-37"])
    assert [task.task for task in order if task.level == "very_hard"] == sorted(DP3_37["very_hard"].split())
    assert [task.level for task in order[:6]] == ["easy", "very_hard", "easy", "medium", "easy", "hard"]


def test_some_tasks_of_a_suite():
    tasks = suite_tasks("dp3-37", ("hammer", "adroit-hammer"))
    assert [(task.env_type, task.task) for task in tasks] == [("adroit", "hammer"), ("metaworld_pc", "hammer")]
    with pytest.raises(InputError, match=r"--tasks of suite dp3-37: 'basketball' is not known"):
        suite_tasks("dp3-37", ("basketball",))
