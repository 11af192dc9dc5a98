"""Task names, groups and suites."""

import importlib.resources
import json

import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from lerobot_sdm.envs.metaworld.tasks import (
    DIFFICULTIES,
    EXTRA_TASKS,
    METAWORLD_TASKS,
    SUITES,
    all_tasks,
    difficulty_of,
    resolve_tasks,
    short_name,
    task_groups,
)
from lerobot_sdm.errors import InputError


def test_the_table_is_metaworlds():
    assert {f"{task}-v3" for task in METAWORLD_TASKS} == set(ALL_V3_ENVIRONMENTS)
    assert len(METAWORLD_TASKS) == len(set(METAWORLD_TASKS)) == 50
    assert {name: len(tasks) for name, tasks in DIFFICULTIES.items()} == {
        "easy": 28,
        "medium": 11,
        "hard": 6,
        "very_hard": 5,
    }


def test_difficulties_are_those_lerobot_uses():
    text = importlib.resources.files("lerobot.envs").joinpath("metaworld_config.json").read_text()
    theirs = json.loads(text)["DIFFICULTY_TO_TASKS"]
    for name, tasks in DIFFICULTIES.items():
        assert {f"{task}-v3" for task in tasks} == set(theirs[name])


def test_the_pinned_split_has_its_published_sizes():
    split = SUITES["dp3-37"]
    assert [sum(task in split for task in DIFFICULTIES[name]) for name in DIFFICULTIES] == [21, 4, 4, 5]


def test_extra_tasks_do_not_hide_metaworlds():
    assert not set(EXTRA_TASKS) & set(METAWORLD_TASKS)
    assert all(difficulty_of(task) == "extra" for task in EXTRA_TASKS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drawer-open", ["drawer-open"]),
        ("drawer-open-v3", ["drawer-open"]),
        ("hard", list(DIFFICULTIES["hard"])),
        ("metaworld-50", list(METAWORLD_TASKS)),
        (" reach , drawer-open-v3,reach", ["reach", "drawer-open"]),
        ("assembly,hard", ["assembly", *(t for t in DIFFICULTIES["hard"] if t != "assembly")]),
    ],
)
def test_resolving(text, expected):
    assert resolve_tasks(text) == expected


def test_groups_keep_the_names_they_were_asked_by():
    assert task_groups("smoke,drawer-open-v3") == {
        "smoke": list(SUITES["smoke"]),
        "drawer-open": ["drawer-open"],
    }


def test_every_task_has_a_difficulty():
    assert {difficulty_of(task) for task in METAWORLD_TASKS} == set(DIFFICULTIES)
    assert short_name("push-v3") in all_tasks()


@pytest.mark.parametrize("function", [resolve_tasks, short_name, difficulty_of])
def test_unknown_names_are_answered_with_near_ones(function):
    with pytest.raises(InputError, match=r"'drawr-open' is not known.*drawer-open"):
        function("drawr-open")


@pytest.mark.parametrize("text", ["", " , ", None])
def test_nothing_named(text):
    with pytest.raises(InputError, match="names no task"):
        resolve_tasks(text)
