"""Reading evaluation results for cards."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import draccus
import pytest
from lerobot.envs.configs import EnvConfig

import lerobot_policy_sdm  # noqa: F401 - registers the environment types
from lerobot_sdm.cards.model_card import CardFacts, model_card
from lerobot_sdm.errors import InputError
from lerobot_sdm.hub.results import read_results

FOLDER = Path(__file__).parents[2] / "results"
QUICKSTARTS = [
    file
    for file in sorted(FOLDER.glob("*/results.json"))
    if {"rows", "settings"} <= json.loads(file.read_text()).keys()
]


@dataclass
class Options:
    """Those of `lerobot-eval` that a card gives for the environment."""

    env: EnvConfig


def environment(card: str) -> EnvConfig:
    """The environment that the evaluation command on a card names, as `lerobot-eval` builds it."""
    command = card.partition("lerobot-eval ")[2].partition("\n\n")[0].replace("\\\n", " ")
    return draccus.parse(Options, args=[word for word in shlex.split(command) if word.startswith("--env.")]).env


def test_the_tasks_of_a_group_are_one_row(tmp_path):
    """`lerobot-eval` names the group, not the task: rows of single tasks could not be told apart."""
    tasks = [("easy", [True, True]), ("easy", [True, False]), ("reach", [False])]
    file = tmp_path / "eval_info.json"
    file.write_text(
        json.dumps({"per_task": [{"task_group": name, "metrics": {"successes": won}} for name, won in tasks]})
    )
    easy, reach = read_results(file, "dp3", "metaworld_pc")
    assert (easy.task, easy.successes, easy.episodes) == ("easy", 3, 4)
    assert (reach.task, reach.successes, reach.episodes) == ("reach", 0, 1)


@pytest.mark.parametrize("file", QUICKSTARTS, ids=lambda file: file.parent.name)
def test_the_command_on_a_card_evaluates_in_the_environment_of_the_results(file):
    settings = json.loads(file.read_text())["settings"]
    card = str(model_card(CardFacts("me/x", {"type": "sdm"}, evaluations=read_results(file, "sdm", None))))
    env = environment(card)
    assert (env.type, env.task) == (settings["env_type"], settings["task"])
    for name, value in settings["env"].items():
        assert getattr(env, name) == value


def test_folders_of_this_machine_do_not_reach_the_command(tmp_path):
    results = json.loads((FOLDER / "dexart-laptop" / "results.json").read_text())
    results["settings"]["env"]["assets_dir"] = "/home/ada/dexart-assets"
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    (evaluation,) = read_results(file, "sdm", None)
    assert evaluation.env["assets_dir"] == "dexart-assets"


def without(results: dict[str, Any], *place: str) -> dict[str, Any]:
    """The results without one entry; of the rows, that of the student."""
    inner = next(row for row in results["rows"] if row["key"] == "student") if place[0] == "row" else results
    for key in place[1:-1] if place[0] == "row" else place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return results


@pytest.mark.parametrize(
    "place",
    [
        *(("task",), ("evaluation_seeds",), ("machine",), ("settings", "env_type"), ("settings", "env")),
        *(("row", "successes"), ("row", "success_rate"), ("row", "success_rate", "low"), ("row", "key")),
    ],
    ids=".".join,
)
def test_results_that_lack_an_entry(tmp_path, place):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(without(json.loads((FOLDER / "drawer-open" / "results.json").read_text()), *place)))
    with pytest.raises(InputError, match=f"^--results={re.escape(str(file))}: an entry is missing or damaged .KeyErr"):
        read_results(file, "sdm", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"per_task": []}, "has no episodes"),
        ({"per_task": [{"task_group": "reach", "metrics": {"successes": []}}]}, "has no episodes"),
        ({"per_task": [{"task_group": "reach"}]}, "an entry is missing or damaged"),
        ({"per_task": 3}, "an entry is missing or damaged"),
        ({"per_task": [{"task_group": "reach", "metrics": {"successes": ["yes"]}}]}, "an entry is missing or damaged"),
        ({"rows": 3, "settings": {}}, "an entry is missing or damaged"),
    ],
)
def test_results_of_nothing(tmp_path, content, message):
    file = tmp_path / "eval_info.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"^--results={re.escape(str(file))}: {message}"):
        read_results(file, "sdm", "metaworld_pc")


def test_a_row_without_episodes(tmp_path):
    results = json.loads((FOLDER / "drawer-open" / "results.json").read_text())
    next(row for row in results["rows"] if row["key"] == "student")["successes"] = []
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    with pytest.raises(InputError, match="has no episodes"):
        read_results(file, "sdm", None)
