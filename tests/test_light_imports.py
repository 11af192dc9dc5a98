"""What is imported for what: heavy modules only where they are used. Counted in modules, which no machine changes."""

import json
import subprocess
import sys

import pytest

from lerobot_sdm.cli.main import VERBS

BEGIN = """
import json, sys
HEAVY = {"torch", "lerobot", "diffusers", "transformers", "datasets"}
HEAVY |= {"metaworld", "mujoco", "numba", "scipy", "matplotlib", "pandas"}
def heavy():
    return sorted(HEAVY & {name.partition(".")[0] for name in sys.modules})
"""

ENVIRONMENTS = """
import lerobot_sdm
print(json.dumps({"modules": len(sys.modules), "after import": heavy()}))
import gymnasium
for name in ("MetaWorld-drawer-open", "Adroit-hammer", "DexArt-laptop"):
    env = gymnasium.make(f"lerobot_sdm/{name}-v0", num_points=64, camera_size=16, renderer="raycast")
    observation, _ = env.reset(seed=0)
    env.close()
    print(json.dumps({"env": name, "points": len(observation["point_cloud"]), "after reset": heavy()}))
"""

COMMANDS = """
import os
from typer.testing import CliRunner
from lerobot_sdm.cli.main import app
for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, arguments)
    print(json.dumps({"code": done.exit_code, "said": done.output, "heavy": heavy()}))
"""

ENV = ("--env.type=metaworld_pc", "--env.task=drawer-open")
ROLLOUT = ("collect-rollouts", "--policy.path=someone/policy", *ENV)
BAD_OPTIONS = {
    ("record", *ENV, "--epsiodes=2"): "--epsiodes=2",
    ("record", *ENV, "--episodes=many"): "many",
    ("record", *ENV, "--episodes", "0"): "--episodes=0",
    ("record", *ENV, "--keep=som"): "any",
    ("record", *ENV, "--root=."): "--root=.",
    ("record", *ENV, "--env.num-points=-5"): "num_points=-5",
    ("record", *ENV, "--env.cmaera=corner"): "--env.cmaera",
    ("record", *ENV, "--env.camera=corner9"): "corner",
    ("record", *ENV, "--expert=scritped"): "scripted",
    ("record", "--env.type=adroit", "--env.task=hamer"): "hammer",
    ("record", "--env.type=dexart", "--env.objects=unsen"): "unseen",
    ("record", "--env.type=pusht"): "has no expert",
    ("record", "--episodes=2"): "--env.type",
    (*ROLLOUT, "--seed=100000"): "overlap",
    (*ROLLOUT, "--env.renderer=cuda"): "egl",
    ("collect-rollouts", "--policy.path=/nowhere", *ENV): "/nowhere",
    ("quickstart", "--task=drawer-opn"): "drawer-open",
    ("quickstart", "--env-type=adriot"): "adroit",
    ("quickstart", "--size=huge"): "small",
    ("quickstart", "--episodes=-1"): "episodes=-1",
    ("quickstart", "--task=detour", "--episodes=3"): "multiple of 2",
    ("quickstart", "--expert=scritped"): "scripted",
    ("benchmark", "--suite=dp3-73"): "dp3-37",
    ("benchmark", "--suite=smoke", "--seeds=one"): "--seeds=one",
    ("compare", "--env=metaworld_pc,task=drawer-opn", "--policy=a/b", "--output=out"): "drawer-open",
    ("compare", "--env=metaworld_pc,tsak=drawer-open", "--policy=a/b", "--output=out"): "'task'",
    ("compare", "--env=pusht", "--policy=/nowhere", "--output=out"): "/nowhere",
    ("demo", "--episodes=0"): "--episodes=0",
    ("demo", "--pair=/nowhere"): "--pair=/nowhere",
    ("latency", "--policy=a/b", "--repeats=0"): "--repeats=0",
    ("latency", "--policy=/nowhere"): "/nowhere",
    ("distance", "--teacher=a/b", "--policy=/nowhere", "--dataset.repo_id=a/b"): "/nowhere",
    ("convert", "store.zarr", "--root=."): "--root=.",
    ("import-checkpoint", "nowhere.ckpt", "--output=out"): "nowhere.ckpt",
    ("export-base", "folder", "--output=."): "--output=.",
    ("export", "folder", "--output=out"): "--dataset.repo_id",
    ("export", "a/b", "--output=out", "--dataset.repo_id=a/b", "--format=onxn"): "onnx",
    ("export", "--verify=/nowhere"): "/nowhere",
    ("reward-error", "--reward=folder", "--output=pyproject.toml"): "--output=",
    ("serve", "--port=0"): "--port=0",
    ("serve", "--prot=8080"): "--prot",
    ("serve", "--inference-latency=-1"): "--inference_latency=-1",
    ("view", "somewhere", "--moments=0"): "--moments=0",
    ("publish", "somewhere"): "repo-id",
}
"""Arguments -> what the error says."""


def lines_of(code: str, *arguments: str) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_environments_need_no_torch():
    imported, *made = lines_of(ENVIRONMENTS)
    assert imported["after import"] == []
    # 355 when this was written, of which Gymnasium brings 306; torch and LeRobot would bring 2600.
    assert imported["modules"] < 500
    assert [env["points"] for env in made] == [64, 64, 64]
    assert not {"torch", "lerobot", "diffusers", "transformers"} & set(made[-1]["after reset"])


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, ...], dict]:
    """What came of each command, all in one process: what one imports shows in those that follow, help comes first."""
    helps = [("--help",), *((verb, "--help") for verb in VERBS)]
    unknown = [(verb, *needed, "--no-such-option=1") for verb, needed in {"quickstart": (), "view": ("x",)}.items()]
    asked = [*helps, *unknown, *BAD_OPTIONS]
    return dict(zip(asked, lines_of(COMMANDS, json.dumps(asked)), strict=True))


def test_help_needs_nothing_heavy(outcomes):
    shown = {asked: outcome for asked, outcome in outcomes.items() if "--help" in asked}
    assert {asked: outcome["code"] for asked, outcome in shown.items()} == dict.fromkeys(shown, 0)
    assert {asked: outcome["heavy"] for asked, outcome in shown.items() if outcome["heavy"]} == {}
    for verb in VERBS:
        assert len(outcomes[verb, "--help"]["said"]) > 300, verb


def test_errors_in_options_need_no_torch(outcomes):
    refused = {asked: outcome for asked, outcome in outcomes.items() if "--help" not in asked}
    assert {asked: outcome["code"] for asked, outcome in refused.items()} == dict.fromkeys(refused, 2)
    assert {asked: out["said"] for asked, out in refused.items() if BAD_OPTIONS.get(asked, "") not in out["said"]} == {}
    heavy = [asked for asked, outcome in refused.items() if {"torch", "lerobot"} & set(outcome["heavy"])]
    assert heavy[:1] == []  # The first is the one that imported it.
