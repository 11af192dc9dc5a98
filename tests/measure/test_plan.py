"""Commands of a run: they must parse as what they are meant to say, without running them."""

from dataclasses import replace
from pathlib import Path

import draccus
import pytest

import lerobot_policy_sdm  # noqa: F401 - registers the policy types
from lerobot_sdm.errors import InputError
from lerobot_sdm.measure import plan
from lerobot_sdm.measure.methods import ROWS, RUNS
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.quickstart import all_stages
from lerobot_sdm.measure.settings import DEFAULT_CHUNK, RunSettings, Training
from lerobot_sdm.measure.sizes import QUICKSTART_SIZES, preset
from lerobot_sdm.specs import flag_text, flags

LAYOUT = RunLayout(Path("out"))


def command(config: RunSettings, stage: str) -> tuple[str, ...]:
    (found,) = [item.command for item in all_stages(config, LAYOUT) if item.name == stage]
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, "null"), ([64, 128], "[64,128]"), (((-1, 0.5), (1, 2)), "[[-1,0.5],[1,2]]"), ("x", "x")],
)
def test_flag_text(value, text):
    assert flag_text(value) == text
    assert flags({"crop": value}, "env.") == [f"--env.crop={text}"]


@pytest.mark.parametrize("size", QUICKSTART_SIZES)
def test_record_command_parses(size):
    from lerobot_sdm.cli.record import parse

    config = preset(size, "drawer-open")
    program, verb, *arguments = command(config, "record_held_out")
    assert (program, verb) == ("lerobot-sdm", "record")
    parsed = parse(arguments)
    assert parsed.env.task == "drawer-open"
    assert parsed.env.cloud_options().num_points == {"small": 160}.get(size, 512)
    assert parsed.episodes == config.held_out_episodes
    assert parsed.seed == config.held_out_seed
    assert parsed.root == LAYOUT.held_out


@pytest.mark.parametrize("size", QUICKSTART_SIZES)
def test_teacher_command_parses(size):
    from lerobot.configs.train import TrainPipelineConfig

    config = preset(size, "drawer-open")
    program, *arguments = command(config, "train_teacher")
    assert program == "lerobot-train"
    parsed = draccus.parse(TrainPipelineConfig, args=arguments)
    assert parsed.policy.type == "dp3"
    assert parsed.policy.push_to_hub is False
    assert parsed.steps == config.teacher.steps
    assert parsed.batch_size == config.teacher.batch_size
    for name, value in config.teacher.policy.items():
        assert flag_text(getattr(parsed.policy, name)) == flag_text(value)
    assert Path(parsed.dataset.root) == LAYOUT.demonstrations
    assert parsed.output_dir == LAYOUT.training("teacher")


def test_student_learns_from_this_run():
    student = command(preset("small", "drawer-open"), "train_student")
    assert f"--policy.teacher_path={LAYOUT.checkpoint('teacher')}" in student
    assert "--policy.type=sdm" in student


def test_rows_share_seeds_and_environment():
    """All evaluations are one command but for the policy and where the result goes."""
    config = replace(preset("small", "drawer-open"), eval_episodes=7)
    commands = [plan.evaluate_command(config, LAYOUT, row) for row in ROWS]
    shared = {
        tuple(part for part in command if not part.startswith(("--policy.", "--output_dir"))) for command in commands
    }
    assert len(shared) == 1
    (common,) = shared
    assert {"--seed=100000", "--eval.n_episodes=7", "--eval.batch_size=7", "--env.task=drawer-open"} <= set(common)
    assert len({command[-1] for command in commands}) == len(ROWS)


@pytest.mark.parametrize("task", ["drawer-open", "detour"])
def test_evaluations_make_the_clouds_that_policies_read(task):
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.configs.train import TrainPipelineConfig

    config = preset("small", task)
    _, *arguments = command(config, "train_teacher")
    policy = draccus.parse(TrainPipelineConfig, args=arguments).policy
    evaluation = plan.evaluate_command(config, LAYOUT, ROWS[0])
    for name in DEFAULT_CHUNK:
        assert f"--env.{name}={getattr(policy, name)}" in evaluation
    # The defaults of everything that is not made from another policy; the others take its.
    for run in RUNS.values():
        if run.source is None:
            defaults = PreTrainedConfig.get_choice_class(run.policy)()
            assert {name: getattr(defaults, name) for name in DEFAULT_CHUNK} == DEFAULT_CHUNK, run.policy


def test_rules_differ_in_the_environment_alone():
    config = preset("small", "door", "adroit")
    (row,) = [row for row in ROWS if row.key == "student"]
    plain, ever = (plan.evaluate_command(config, LAYOUT, row, rule) for rule in (None, "ever"))
    assert set(ever) - set(plain) == {
        "--env.success_rule=dp3_ever",
        f"--output_dir={LAYOUT.evaluation('student', 'ever')}",
    }
    assert "--env.type=adroit" in plain
    assert plan.dataset_name(config) == "local/adroit-door"  # MetaWorld has doors and hammers, too


@pytest.mark.parametrize("size", QUICKSTART_SIZES)
def test_dexart_is_evaluated_on_objects_that_no_demonstration_shows(size):
    from lerobot_sdm.cli.record import parse

    config = preset(size, "faucet", "dexart")
    (row,) = [row for row in ROWS if row.key == "student"]
    plain, unseen = (plan.evaluate_command(config, LAYOUT, row, rule) for rule in (None, "unseen"))
    assert set(unseen) - set(plain) == {
        "--env.objects=unseen",
        f"--output_dir={LAYOUT.evaluation('student', 'unseen')}",
    }
    for stage in ("record", "record_held_out"):
        _, _, *arguments = command(config, stage)
        recorded = parse(arguments).env
        assert recorded.objects == "seen"
        assert recorded.features["point_cloud"].shape == (96 + {"small": 256}.get(size, 512), 3)


@pytest.mark.parametrize("size", QUICKSTART_SIZES)
def test_dexarts_teachers_see_more_of_their_many_demonstrations(size):
    other, dexart = preset(size, "reach").teacher, preset(size, "laptop", "dexart").teacher
    assert (dexart.steps, dexart.batch_size) == (5 * other.steps // 2, other.batch_size // 2)
    assert dexart.steps % dexart.save_freq == 0


@pytest.mark.parametrize("size", QUICKSTART_SIZES)
def test_dexarts_students_follow_their_teachers_more_than_scattered_demonstrations(size):
    other, dexart = preset(size, "reach").student, preset(size, "laptop", "dexart").student
    assert dexart.policy == other.policy | {"data_weight": 0.05}


def test_rows_cover_the_free_baselines():
    overrides = {row.key: (row.run, row.overrides.get("num_inference_steps")) for row in ROWS}
    assert overrides == {
        "teacher_10": ("teacher", "10"),
        "teacher_2": ("teacher", "2"),
        "teacher_1": ("teacher", "1"),
        "generator": ("teacher", "1"),
        "regression": ("regression", None),
        "student": ("student", None),
    }


def test_distance_command_names_every_row():
    from lerobot_sdm.policies.policy_spec import PolicySpec

    distances = command(preset("small", "drawer-open"), "distances")
    texts = [part.partition("=")[2] for part in distances if part.startswith(("--teacher=", "--policy="))]
    entries = [PolicySpec.parse(text) for text in texts]
    assert [entry.label for entry in entries] == [row.key for row in ROWS]
    assert entries[2].overrides == {"num_inference_steps": "1"}
    assert f"--dataset.root={LAYOUT.held_out}" in distances


def test_training_continues_only_from_a_checkpoint(tmp_path):
    layout = RunLayout(tmp_path)
    assert plan.continue_training_command(layout, "teacher") is None
    train_config = layout.checkpoint("teacher") / "train_config.json"
    train_config.parent.mkdir(parents=True)
    train_config.write_text("{}")
    resumed = plan.continue_training_command(layout, "teacher")
    assert resumed[:2] == ("lerobot-train", "--resume=true")
    assert f"--config_path={train_config}" in resumed


def test_a_training_killed_while_it_replaced_the_link_goes_on_from_its_newest_checkpoint(tmp_path):
    layout = RunLayout(tmp_path)
    checkpoints = layout.training("teacher") / "checkpoints"
    for step in ("000010", "000020"):
        # A single one without the link may be half-written.
        assert plan.continue_training_command(layout, "teacher") is None
        (checkpoints / step / "pretrained_model").mkdir(parents=True)
        (checkpoints / step / "pretrained_model" / "train_config.json").write_text("{}")
    assert plan.continue_training_command(layout, "teacher") is not None
    assert (checkpoints / "last").resolve() == checkpoints / "000020"


def test_seed_ranges_must_not_meet():
    training = Training(1, 1, 1)
    with pytest.raises(InputError, match="10000 apart"):
        RunSettings("reach", training, training, demo_seed=0, held_out_seed=10)
    with pytest.raises(InputError, match="episodes=0"):
        RunSettings("reach", training, training, episodes=0)
    for name in ("teacher", "student"):
        none = {"teacher": training, "student": training} | {name: replace(training, steps=0)}
        with pytest.raises(InputError, match=f"--{name}-steps=0"):
            RunSettings("reach", **none)
    with pytest.raises(InputError, match="--train-seed=-1"):
        RunSettings("reach", training, training, train_seed=-1)


def test_unknown_size():
    with pytest.raises(InputError, match=r"--size: 'smal'.*small"):
        preset("smal", "reach")
