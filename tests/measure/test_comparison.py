"""Policies on the same seeds of an environment that LeRobot has: Push-T, with tiny networks."""

import io
from pathlib import Path

import filelock
import pytest
import torch
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.policies import make_pre_post_processors
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from PIL import Image
from rich.console import Console
from saved_checkpoints import SAVED
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json, write_json
from lerobot_sdm.measure.comparison import Comparison, evaluate_command
from lerobot_sdm.measure.comparison_report import report
from lerobot_sdm.measure.comparison_run import collect_comparison, run_comparison
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.stages import claim_folder
from lerobot_sdm.measure.tables import hardware, markdown
from lerobot_sdm.policies.policy_spec import PolicySpec

pytest_plugins = ("warm_start",)

ENV = "pusht,obs_type=environment_state_agent_pos,episode_length=5"
ONE_TASK = "metaworld_pc,task=reach"
COST = {"median_ms": 2.0, "p95_ms": 3.0, "network_evaluations": 1.0, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """An untrained `diffusion` on keypoints, saved as LeRobot saves it."""
    torch.manual_seed(0)
    config = DiffusionConfig(
        horizon=4,
        n_action_steps=3,
        down_dims=(8, 16),
        n_groups=4,
        diffusion_step_embed_dim=8,
        num_inference_steps=3,
        device="cpu",
        normalization_mapping=dict.fromkeys(("STATE", "ENV", "ACTION"), NormalizationMode.MIN_MAX),
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (2,)),
            "observation.environment_state": PolicyFeature(FeatureType.ENV, (16,)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (2,))},
    )
    sizes = {"observation.state": 2, "observation.environment_state": 16, "action": 2}
    stats = {key: {"min": torch.zeros(size), "max": torch.full((size,), 512.0)} for key, size in sizes.items()}
    folder = tmp_path_factory.mktemp("checkpoint")
    DiffusionPolicy(config).save_pretrained(folder)
    for pipeline in make_pre_post_processors(config, dataset_stats=stats):
        pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def evaluated(folder: Path, rewards: dict[str, list[float]]) -> RunLayout:
    """A folder as `lerobot-eval` leaves it; a reward of 1 is a success."""
    layout = RunLayout(folder)
    for key, values in rewards.items():
        metrics = {"max_rewards": values, "successes": [value == 1 for value in values]}
        write_json(layout.evaluation(key) / "eval_info.json", {"per_task": [{"metrics": metrics}]})
        marker = {"stage": f"evaluate_{key}", "command": "lerobot-eval", "seconds": 1.0, "continued": False}
        write_json(folder / "stages" / f"evaluate_{key}.json", marker | {"finished": "2026-01-01"})
    return layout


def test_numbers(tmp_path):
    """Means, differences seed by seed and success, by hand."""
    layout = evaluated(tmp_path, {"a": [1.0, 0.5, 0.0, 1.0], "b-two": [0.8, 0.5, 0.2, 1.0]})
    policies = (PolicySpec("a", "somewhere"), PolicySpec("b (two)", "elsewhere"))
    results = collect_comparison(Comparison(ENV, policies, episodes=4, seed=7), layout, [COST, COST])
    a, b = results["rows"]
    assert (a["max_reward"]["estimate"], b["max_reward"]["estimate"]) == (0.625, 0.625)
    assert b["max_reward_difference"]["estimate"] == pytest.approx(0, abs=1e-12)
    # Resampling seeds, not rewards: the difference of equal rewards varies by what differs seed by seed alone.
    assert -0.2 <= b["max_reward_difference"]["low"] < 0 < b["max_reward_difference"]["high"] <= 0.2
    assert a["max_reward_difference"] == {"estimate": 0, "low": 0, "high": 0}
    assert (a["success_rate"]["estimate"], b["success_rate"]["estimate"]) == (0.5, 0.25)
    assert b["success_difference"]["estimate"] == -0.25
    assert results["evaluation_seeds"] == [7, 10]
    assert results["reward"] == "coverage"
    assert {"gym-pusht", "pymunk"} <= results["versions"].keys()

    first, _, row_a, row_b = markdown(report(results).rows).splitlines()
    assert first.startswith("| policy | mean max coverage in % | against a |")
    # Of the 256 equally likely resamples of a, 5 have a mean below 0.25 and 19 at most that, and 16 a mean of 1.
    assert row_a == "| a | 62.5 (25.0 to 100.0) |  | 2/4 | 15 to 85% |  | 2.0 (3.0) | 1 |"
    assert row_b.startswith("| b (two) | 62.5 (")
    assert "| 1/4 | 5 to 70% | -25 (" in row_b
    assert report(results).terminal().row_count == 2
    assert "seeds 7 to 10" in report(results).notes


def test_metaworlds_rewards_are_shares_of_the_highest(tmp_path):
    layout = evaluated(tmp_path, {"a": [10.0, 2.5]})
    env = "metaworld_pc,task=hammer"
    results = collect_comparison(Comparison(env, (PolicySpec("a", "somewhere"),), episodes=2), layout, [COST])
    assert results["rows"][0]["max_rewards"] == [1.0, 0.25]
    assert {"mujoco", "metaworld"} < results["versions"].keys()


def test_rewards_without_a_bound_give_way_to_success(tmp_path):
    layout = evaluated(tmp_path, {"a": [2000.0, 1.0]})
    env = "adroit,task=door"
    results = collect_comparison(Comparison(env, (PolicySpec("a", "somewhere"),), episodes=2), layout, [COST])
    assert (results["reward"], results["rows"][0]["max_rewards"]) == ("success", [0.0, 1.0])


def test_several_tasks_are_refused_before_anything_is_written(tmp_path, console):
    policy = PolicySpec("a", str(SAVED / "sdm"))
    env = "metaworld_pc,task=smoke,num_points=12,camera_size=24"
    with pytest.raises(InputError, match=r"--env=metaworld_pc,task=smoke.*: stands for \d+ tasks"):
        run_comparison(Comparison(env, (policy,), episodes=2), RunLayout(tmp_path / "out"), console)
    assert not (tmp_path / "out").exists()


def test_only_one_comparison_in_a_folder(tmp_path, console, monkeypatch):
    monkeypatch.setattr("lerobot_sdm.measure.comparison_run.measure_costs", lambda comparison: [COST])
    comparison = Comparison(f"{ONE_TASK},num_points=12,camera_size=24", (PolicySpec("a", str(SAVED / "sdm")),))
    layout = RunLayout(tmp_path / "out")
    claim_folder(layout.root, comparison.protocol())
    with filelock.FileLock(layout.root / ".lock"), pytest.raises(InputError, match="another run is using this folder"):
        run_comparison(comparison, layout, console)


def test_the_hardware_is_that_of_the_device():
    machine = {"gpu": "a GPU", "processor": "a CPU"}
    assert [hardware(device, machine) for device in ("cpu", "cuda", "cuda:1", "mps")] == [
        "a CPU", "a GPU", "a GPU", "a CPU",
    ]  # fmt: skip


def test_command():
    policy = PolicySpec("x", "folder", {"num_inference_steps": "2"})
    command = evaluate_command(Comparison(ENV, (policy,), episodes=30), RunLayout(Path("out")), policy)
    assert command[0] == "lerobot-eval"
    assert {
        "--policy.path=folder",
        "--policy.num_inference_steps=2",
        "--env.type=pusht",
        "--env.obs_type=environment_state_agent_pos",
        "--eval.n_episodes=30",
        "--eval.batch_size=30",
        "--seed=100000",
    } <= set(command)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"env": "pushed"}, "'pushed' is not known"),
        ({"env": "pusht,obs=x"}, "'obs' is not known"),
        ({"env": "pusht,fps"}, "--env=pusht,fps: 'fps' is not FIELD=VALUE"),
        ({"env": "pusht,fps=many"}, "--env=pusht,fps=many"),
        ({"episodes": 0}, "episodes=0"),
        ({"policies": (PolicySpec("a b", "x"), PolicySpec("a-b", "y"))}, "two rows are called 'a-b'"),
        ({"policies": (PolicySpec("*", "x"),)}, "the label '\\*' has no letter or digit"),
    ],
)
def test_bad_input(settings, complaint):
    with pytest.raises(InputError, match=complaint):
        Comparison(**{"env": ENV, "policies": (PolicySpec("a", "x"),)} | settings)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # Two real evaluations, whose imports alone take long on a busy machine.
def test_rows_are_measured_once(checkpoint, tmp_path, console, monkeypatch, warm):
    """By `lerobot-eval` itself; a second call adds a row, and a third has nothing to do but refuses other weights."""
    pytest.importorskip("gym_pusht", reason="needs the extra `pusht`")
    layout = RunLayout(tmp_path / "out")
    three, one = PolicySpec("three", str(checkpoint)), PolicySpec("one", str(checkpoint), {"num_inference_steps": "1"})
    options = {"episodes": 2, "seed": 3, "latency_repeats": 2}
    run_comparison(Comparison(ENV, (three,), **options), layout, console)
    run_comparison(Comparison(ENV, (three, one), **options), layout, console)
    assert console.file.getvalue().count("finished before") == 1

    results = read_json(layout.results)
    rows = {row["key"]: row for row in results["rows"]}
    assert [rows[key]["latency"]["network_evaluations"] for key in ("three", "one")] == [3, 1]
    assert all(len(row["max_rewards"]) == len(row["successes"]) == 2 for row in rows.values())
    # An untrained policy in five steps barely moves the block, so the rewards are those of the two starts.
    assert rows["three"]["max_rewards"] == pytest.approx(rows["one"]["max_rewards"], abs=0.2)
    assert (layout.root / "table.md").read_text() == report(results).markdown()
    with Image.open(layout.root / "rewards.png") as picture:
        assert min(picture.size) > 200

    with pytest.raises(InputError, match=r"episodes=2, and now it is 4"):
        run_comparison(Comparison(ENV, (three,), **options | {"episodes": 4}), layout, console)
    weights = "lerobot_sdm.policies.source.files.fingerprint"
    monkeypatch.setattr(weights, lambda path: "other weights")
    with pytest.raises(InputError, match="evaluate_three"):
        run_comparison(Comparison(ENV, (three,), **options), layout, console)


def test_nothing_is_written_for_a_checkpoint_that_is_none(tmp_path):
    output = tmp_path / "out"
    result = CliRunner().invoke(app, ["compare", f"--env={ENV}", f"--policy={tmp_path}", f"--output={output}"])
    assert result.exit_code == 2
    assert "holds no config.json" in result.output
    assert not output.exists()
