"""Runs in a process of its own, which sees the test's Hub as the only one: commands, then loading what they uploaded.

Reads a JSON list of steps from its input and writes a JSON list of outcomes as the last line of its output.
"""

import json
import os
import sys
from typing import Any

import torch
from typer.testing import CliRunner


def command(args: list[str], token: str | None = None) -> dict[str, Any]:
    """`lerobot-sdm ...`."""
    from lerobot_sdm.cli.main import app

    before = os.environ.get("HF_TOKEN")
    if token is not None:
        os.environ["HF_TOKEN"] = token
    result = CliRunner().invoke(app, args)
    os.environ["HF_TOKEN"] = before
    return {"code": result.exit_code, "output": result.output, "error": repr(result.exception)}


def train(args: list[str]) -> dict[str, Any]:
    """`lerobot-train ...`."""
    from lerobot.scripts.lerobot_train import main

    sys.argv = ["lerobot-train", *args]
    main()
    return {"code": 0}


def push(folder: str, repo_id: str) -> dict[str, Any]:
    """LeRobot's own method, on a policy loaded from a folder."""
    from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy

    return {"url": str(DP3Policy.from_pretrained(folder).push_to_hub(repo_id))}


def load_policy(repo_id: str) -> dict[str, Any]:
    """A policy and its processors from the Hub, as lerobot-eval loads them; one action on a fixed observation."""
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    config = PreTrainedConfig.from_pretrained(repo_id)
    config.pretrained_path = repo_id
    policy = get_policy_class(config.type).from_pretrained(repo_id, config=config).eval()
    pre, post = make_pre_post_processors(config, pretrained_path=repo_id)
    torch.manual_seed(0)
    observation = {"observation.state": torch.rand(9), "observation.point_cloud": torch.rand(12, 3)}
    return {"type": config.type, "action": post(policy.select_action(pre(observation)))[0].tolist()}


def load_dataset(repo_id: str) -> dict[str, Any]:
    """A dataset from the Hub."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset(repo_id, video_backend="pyav")
    return {"frames": len(dataset), "cloud": dataset[3]["observation.point_cloud"].tolist()}


def main() -> None:
    import lerobot_policy_sdm  # noqa: F401  (registers the policy types)

    actions = {f.__name__: f for f in (command, train, push, load_policy, load_dataset)}
    outcomes = [actions[step.pop("do")](**step) for step in json.load(sys.stdin)]
    print(f"\n{json.dumps(outcomes)}")


if __name__ == "__main__":
    main()
