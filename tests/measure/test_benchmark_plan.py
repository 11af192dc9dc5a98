"""Cells and their commands: they must parse as what they are meant to say, without running them."""

from dataclasses import replace
from pathlib import Path

import draccus
import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.benchmark import Benchmark, make_benchmark
from lerobot_sdm.measure.cell import fingerprint
from lerobot_sdm.measure.cell_stages import evaluations, stages, trained
from lerobot_sdm.measure.methods import METHODS, RUNS, free_baselines, has_teacher, trainings
from lerobot_sdm.measure.sizes import SIZES, regression_of, task_config
from lerobot_sdm.measure.suites import suite_tasks
from lerobot_sdm.nets.trimmed_convolution import whole_size
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model
from lerobot_sdm.specs import flag_text

OUT = Path("out")


def commands(benchmark: Benchmark) -> dict[str, dict[str, tuple[str, ...]]]:
    """Cell -> stage -> command."""
    return {cell.key: {s.name: s.command for s in stages(benchmark, cell)} for cell in benchmark.cells()}


def test_what_methods_rest_on():
    assert trainings("dp3-2") == ("dp3",)
    assert trainings("sdm") == ("dp3", "sdm")
    assert trainings("regression") == ("dp3", "regression")
    assert trainings("consistency") == ("edm", "consistency")
    assert trainings("difftori") == ("dp3", "difftori")
    assert trainings("flow") == ("flow",)


def test_every_policy_type_of_a_training_is_registered():
    from lerobot_sdm.policies import config_classes

    assert {run.policy for run in RUNS.values()} <= set(config_classes())
    assert {method.run for method in METHODS.values()} == set(RUNS)


def test_what_costs_no_training_is_for_students_of_the_same_teacher():
    assert free_baselines("sdm") == free_baselines("regression") == ("dp3-2", "dp3-1", "generator")
    others = ("dp3-10", "dp3-1", "edm", "consistency", "flow", "dp3_mixer-2")
    assert [free_baselines(name) for name in others] == [()] * len(others)


def test_what_has_no_teacher():
    """It is compared with none, and learns for as many steps as a teacher and its student."""
    assert [name for name in METHODS if not has_teacher(name)] == ["flow", "meanflow", "drift"]
    benchmark = make_benchmark(OUT, "dp3-37")
    for task in benchmark.tasks:
        flow, dp3, sdm = (trained(benchmark, task, run) for run in ("flow", "dp3", "sdm"))
        assert flow.steps == dp3.steps + sdm.steps
        assert (flow.policy, flow.batch_size) == (dp3.policy, dp3.batch_size)


@pytest.mark.parametrize("size", sorted(set(SIZES) - {"paper"}))
@pytest.mark.parametrize("task", ["assembly", "adroit-pen"])
def test_the_mixer_has_as_many_weights_as_the_unet_it_is_compared_with(size, task):
    benchmark = make_benchmark(OUT, "dp3-37", size=size, tasks=(task,))
    sizes = []
    for run in ("dp3", "dp3_mixer"):
        settings = trained(benchmark, benchmark.tasks[0], run)
        config = DP3Config(
            device="cpu",
            input_features={
                "observation.state": PolicyFeature(FeatureType.STATE, (24,)),
                "observation.point_cloud": PolicyFeature(FeatureType.STATE, (160, 3)),
            },
            output_features={"action": PolicyFeature(FeatureType.ACTION, (24,))},
            **settings.policy,
        )
        with torch.device("meta"):
            model = DP3Model(config)
        assert model.denoiser_name == {"dp3": "unet", "dp3_mixer": "mixer"}[run]
        sizes.append(whole_size(model.denoiser))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_regression_is_sdms_training_under_another_recipe():
    """It takes as long: its steps are cheaper, so it has more of them."""
    benchmark = make_benchmark(OUT, "dp3-37")
    for task in benchmark.tasks:
        regression, sdm = (trained(benchmark, task, run) for run in ("regression", "sdm"))
        assert regression.policy["recipe"] == "regression"
        assert {**sdm.policy, **regression.policy}.keys() - sdm.policy.keys() == {"recipe"}
        assert (regression.steps, regression.batch_size) == (1.6 * sdm.steps, sdm.batch_size)
    (found,) = commands(make_benchmark(OUT, "smoke", methods=("regression",))).values()
    assert {"--policy.type=sdm", "--policy.recipe=regression", "--steps=64"} <= set(found["train_regression_seed1"])
    two_ways = SIZES["small"].base.student
    half = regression_of(replace(two_ways, policy={**two_ways.policy, "data_weight": 0.05, "data_share": 0.5}))
    assert (half.steps, half.policy) == (1.3 * two_ways.steps, regression_of(two_ways).policy)


def test_short_episodes_are_for_the_smoke_task_alone():
    """Experts of other tasks need their whole episode."""
    tasks = (*suite_tasks("smoke"), *suite_tasks("dp3-37", ("assembly",)))
    assert [task_config("tiny", task).env.get("episode_length") for task in tasks] == [60, None]


def test_methods_stand_in_the_order_of_the_tables():
    benchmark = make_benchmark(OUT, "adroit-3", methods=("sdm", "dp3-1", "sdm", "dp3-10"))
    assert benchmark.methods == ("dp3-10", "dp3-1", "sdm")
    with pytest.raises(InputError, match=r"--methods: 'sdn' is not known. Did you mean 'sdm'"):
        make_benchmark(OUT, "adroit-3", methods=("sdn",))


def test_task_by_task():
    """A task is whole before the next one begins, with all its seeds."""
    benchmark = make_benchmark(OUT, "adroit-3", methods=("sdm", "dp3-10"), training_seeds=(1, 2))
    cells = benchmark.cells()
    assert len(cells) == 3 * 2 * 2
    assert [cell.key for cell in cells[:5]] == [
        "adroit-hammer.dp3-10.seed1",
        "adroit-hammer.sdm.seed1",
        "adroit-hammer.dp3-10.seed2",
        "adroit-hammer.sdm.seed2",
        "adroit-door.dp3-10.seed1",
    ]


def test_protocols_share_trainings():
    """Which protocols are measured changes no training, and all checkpoints that any protocol evaluates are saved."""

    def training_of(*protocols: str) -> dict[str, tuple[str, ...]]:
        benchmark = make_benchmark(OUT, "dp3-37", tasks=("assembly",), methods=("sdm",), protocols=protocols)
        (found,) = commands(benchmark).values()
        return {name: command for name, command in found.items() if name.startswith(("train_", "record"))}

    assert training_of("strict") == training_of("paper") == training_of("strict", "paper")
    benchmark = make_benchmark(OUT, "dp3-37", tasks=("assembly",))
    for run in RUNS:
        settings = trained(benchmark, benchmark.tasks[0], run)
        assert 15 * settings.save_freq <= settings.steps < 16 * settings.save_freq


def test_the_papers_protocol_for_some_methods():
    methods = ("dp3-10", "generator", "sdm")
    benchmark = make_benchmark(OUT, "smoke", methods=methods, protocols=("paper", "strict"), paper_methods=("sdm",))
    assert [benchmark.protocols_of(name) for name in methods] == [("strict",), ("strict",), ("strict", "paper")]
    found = commands(benchmark)
    evaluated = {cell: [s for s in names if s.startswith("evaluate_")] for cell, names in found.items()}
    assert evaluated == {
        "handle-press.dp3-10.seed1": ["evaluate_dp3-10_seed1"],
        "handle-press.generator.seed1": ["evaluate_generator_seed1"],
        "handle-press.sdm.seed1": ["evaluate_sdm_seed1", *(f"evaluate_sdm_seed1_step{s}" for s in (13, 26, 39))],
    }


def test_cells_share_stages():
    """Nothing is done twice: equal names within a task mean equal commands, and the teacher is trained once."""
    found: dict[str, tuple[str, ...]] = {}
    by_cell = commands(make_benchmark(OUT, "smoke", methods=tuple(METHODS)))
    for stages_of_cell in by_cell.values():
        for name, command in stages_of_cell.items():
            assert found.setdefault(name, command) == command
    assert sum(name.startswith("train_") for name in found) == len(RUNS)
    assert sum(name.startswith("record") for name in found) == 2
    assert sum(name.startswith("evaluate_") for name in found) == len(METHODS)


def test_evaluations_are_paired():
    """All methods get one command but for the policy and where the result goes."""
    benchmark = make_benchmark(OUT, "dp3-37", tasks=("assembly",))
    evaluated = [
        command
        for found in commands(benchmark).values()
        for name, command in found.items()
        if name.startswith("evaluate_")
    ]
    assert len(evaluated) == len(METHODS)
    assert len({tuple(p for p in c if not p.startswith(("--policy.", "--output_dir"))) for c in evaluated}) == 1
    assert {"--seed=100000", "--eval.n_episodes=100", "--env.task=assembly"} <= set(evaluated[0])


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("size", SIZES)
def test_training_options_are_fields(size, run):
    """Of the policy's configuration; students' are parsed with the others, since their teacher is not there."""
    from lerobot_sdm.policies import config_classes

    benchmark = make_benchmark(OUT, "dp3-37", size=size)
    settings = trained(benchmark, benchmark.tasks[0], run)
    config = config_classes()[RUNS[run].policy]
    arguments = [f"--{name}={flag_text(value)}" for name, value in settings.policy.items()]
    parsed = draccus.parse(config, args=[*arguments, "--device=cpu"])
    for name, value in settings.policy.items():
        assert flag_text(getattr(parsed, name)) == flag_text(value)


def test_students_learn_from_their_own_seed():
    found = commands(make_benchmark(OUT, "smoke", methods=("sdm", "consistency", "difftori"), training_seeds=(3,)))
    folder = OUT / "tasks" / "handle-press"
    for cell, run, option in (
        ("handle-press.sdm.seed3", "sdm", "teacher_path=" + str(folder / "dp3_seed3")),
        ("handle-press.consistency.seed3", "consistency", "teacher_path=" + str(folder / "edm_seed3")),
        ("handle-press.difftori.seed3", "difftori", "base_path=" + str(folder / "dp3_seed3")),
    ):
        command = found[cell][f"train_{run}_seed3"]
        assert f"--policy.{option}/checkpoints/last/pretrained_model" in command
        assert "--seed=3" in command


def test_the_papers_protocol_evaluates_fifteen_checkpoints():
    """Each on starts of its own, by the family's rules, and where LeRobot saves a checkpoint."""
    benchmark = make_benchmark(
        OUT, "dp3-37", protocols=("paper",), tasks=("adroit-door",), methods=("sdm",), training_seeds=(0,)
    )
    cell = benchmark.cells()[0]
    items = evaluations(benchmark, cell, "paper")
    settings = trained(benchmark, cell.task, "sdm")
    assert len(items) == 15
    assert all(item.step % settings.save_freq == 0 for item in items)
    assert items[-1].step <= settings.steps
    assert [item.seed for item in items[:3]] == [100_000, 100_020, 100_040]
    found = commands(benchmark)[cell.key]
    command = found[f"evaluate_sdm_seed0_step{items[0].step}"]
    assert "--env.success_rule=dp3" in command
    assert "--eval.n_episodes=20" in command
    assert any(part.endswith(f"/checkpoints/{items[0].step:06d}/pretrained_model") for part in command)


def test_given_demonstrations_are_converted(tmp_path):
    (tmp_path / "metaworld_handle-press_expert.zarr").mkdir()
    (found,) = commands(make_benchmark(OUT, "smoke", methods=("dp3-10",), data=tmp_path)).values()
    assert "record" not in found
    assert found["convert"][:2] == ("lerobot-sdm", "convert")
    assert "--resample-points=32" in found["convert"]
    assert "--env.view=dp3" in found["evaluate_dp3-10_seed1"]
    assert "record_held_out" in found
    with pytest.raises(InputError, match=r"holds no adroit_hammer_expert.zarr"):
        make_benchmark(OUT, "dp3-37", data=tmp_path)
    with pytest.raises(InputError, match=r"dexart-laptop cannot be learned from it"):
        make_benchmark(OUT, "dexart-4", data=tmp_path)


def test_adroit_is_recorded_by_given_experts(tmp_path):
    """And everything else as ever; a missing file is named before anything is written."""
    (tmp_path / "door-v0.pickle").touch()
    options = {"methods": ("dp3-10",), "experts": tmp_path}
    benchmark = make_benchmark(OUT, "dp3-37", tasks=("adroit-door", "assembly"), **options)
    door, assembly = commands(benchmark)["adroit-door.dp3-10.seed1"], commands(benchmark)["assembly.dp3-10.seed1"]
    for stage in ("record", "record_held_out"):
        assert {"--expert=dapg", f"--expert_path={tmp_path / 'door-v0.pickle'}"} <= set(door[stage])
        assert not any(part.startswith("--expert") for part in assembly[stage])
    with pytest.raises(InputError, match=r"--experts=.*: holds no hammer-v0.pickle. Add it, or drop --experts"):
        make_benchmark(OUT, "dp3-37", **options)
    with pytest.raises(InputError, match=r"--experts=.*: --data brings the demonstrations"):
        make_benchmark(OUT, "dp3-37", tasks=("adroit-door",), data=tmp_path, **options)


def test_names_are_checked():
    for options, complaint in (
        ({"suite": "dp3"}, r"--suite: 'dp3' is not known"),
        ({"protocols": ("strickt",)}, r"--protocol: 'strickt' is not known. Did you mean 'strict'"),
        ({"paper_methods": ("sdm",)}, r"--paper-methods=sdm: needs --protocol=strict,paper"),
        ({"paper_methods": ("sdm",), "protocols": ("paper",)}, r"--paper-methods=sdm: .* choose the methods with"),
        (
            {"paper_methods": ("sdm",), "protocols": ("strict", "paper"), "methods": ("dp3-10", "edm")},
            r"--paper-methods among --methods: 'sdm' is not known. Did you mean 'edm'",
        ),
        ({"size": "smal"}, r"--size: 'smal' is not known. Did you mean 'small'"),
        ({"tasks": ("hammr",)}, r"--tasks of suite dp3-37: 'hammr' is not known"),
        ({"episodes": 99}, r"--episodes=99: protocol 'strict' needs at least 100"),
        ({"episodes": 0, "suite": "smoke"}, r"--episodes=0"),
        ({"threads": 0}, r"--threads=0"),
        ({"training_seeds": (-1,)}, r"--seeds=-1: must not be negative"),
    ):
        with pytest.raises(InputError, match=complaint):
            make_benchmark(OUT, **{"suite": "dp3-37"} | options)


def test_what_a_folder_is_claimed_by():
    """Tasks, methods, seeds and protocols may be added later; what numbers depend on may not change."""
    whole = make_benchmark(OUT, "dp3-37")
    part = make_benchmark(OUT, "dp3-37", tasks=("hammer",), methods=("sdm",), training_seeds=(5,), protocols=("paper",))
    assert whole.settings() == part.settings()
    assert make_benchmark(OUT, "dp3-37", episodes=200).settings() != whole.settings()
    assert make_benchmark(OUT, "dp3-37", view="dp3").settings() != whole.settings()


def test_episodes():
    """The papers' protocol has its own number; the smoke suite takes any."""
    assert make_benchmark(OUT, "dp3-37").episodes == {"strict": 100, "paper": 20}
    assert make_benchmark(OUT, "dp3-37", episodes=200).episodes == {"strict": 200, "paper": 20}
    assert make_benchmark(OUT, "smoke", episodes=1).episodes == {"strict": 1, "paper": 1}


def test_another_view_is_for_demonstrations_and_evaluations():
    """With its own number of points and all else that makes a cloud, since a size's are made for the default view."""
    found = commands(make_benchmark(OUT, "sdm-57", tasks=("reach", "dexart-laptop"), methods=("dp3-10",), view="dp3"))
    for by_name in found.values():
        seen = {name for name, command in by_name.items() if "--env.view=dp3" in command}
        assert seen == {"record", "record_held_out", "evaluate_dp3-10_seed1"}
        options = {part.partition("=")[0] for command in by_name.values() for part in command}
        assert not options & {"--env.num_points", "--env.camera_size", "--env.sampling"}
    assert "--env.imagin_robot=joined" in found["dexart-laptop.dp3-10.seed1"]["record"]


def test_the_default_view_is_named():
    usual = make_benchmark(OUT, "dp3-37", tasks=("reach",))
    assert usual.settings()["view"] == "workspace"
    assert usual.settings() == make_benchmark(OUT, "dp3-37", tasks=("reach",), view="workspace").settings()
    assert usual.cloud(usual.tasks[0])["num_points"] == 160
    assert not any(part.startswith("--env.view") for by in commands(usual).values() for c in by.values() for part in c)


def test_a_view_that_means_something_else_fits_no_longer():
    """The commands are the same, since they only have its name; what was recorded and evaluated is not."""
    one, other = make_benchmark(OUT, "dp3-37", tasks=("reach",)), make_benchmark(OUT, "dp3-37", tasks=("reach",))
    described = other.cloud(other.tasks[0]) | {"frame": "another"}
    object.__setattr__(other, "cloud", lambda task: described)
    cell = one.cells()[0]
    pairs = zip(stages(one, cell), stages(other, cell), strict=True)
    differ = {first.name for first, second in pairs if first.fingerprint(OUT) != second.fingerprint(OUT)}
    assert differ == {"record", "record_held_out", "evaluate_dp3-10_seed1"}
    assert fingerprint(one, cell, "strict") != fingerprint(other, cell, "strict")


def test_clouds_are_described():
    """As the environment has them: goals that nothing else shows are drawn by default, markers in DP3's view."""
    for view, points, goal, markers in (("workspace", 160, None, False), ("dp3", 512, False, True)):
        benchmark = make_benchmark(OUT, "dp3-37", tasks=("reach",), view=view)
        cloud = benchmark.cloud(benchmark.tasks[0])
        assert (cloud["view"], cloud["num_points"]) == (view, points)
        assert (cloud["show_goal"], cloud["show_markers"]) == (goal, markers)
