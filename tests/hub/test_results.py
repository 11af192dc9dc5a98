"""Reading evaluation results for cards."""

import json

from lerobot_sdm.hub.results import read_results


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
