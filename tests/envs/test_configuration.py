"""Options and the LeRobot config: what they build and what they refuse."""

from dataclasses import dataclass, fields
from pkgutil import resolve_name

import draccus
import gymnasium as gym
import pytest
from lerobot.configs import FeatureType
from lerobot.envs.configs import EnvConfig
from lerobot.envs.factory import make_env_config
from lerobot.envs.utils import env_to_policy_features

import lerobot_policy_sdm  # noqa: F401 - registers the environment type
from lerobot_sdm.envs.adroit.env import AdroitPointCloudEnv
from lerobot_sdm.envs.adroit.tasks import HAND_TASKS
from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv
from lerobot_sdm.envs.options import FRAMES, OPTION_NAMES
from lerobot_sdm.errors import InputError

BAD_CLOUD_OPTIONS = {
    "num_points": [0, -512, 1.5],
    "camera_size": [0, -1],
    "camera": ["corner_2"],
    "frame": ["wrld"],
    "renderer": ["osmesa"],
    "crop": [((0, 0, 0), (1, 1)), ((0, 0, 0), (1, 0, 1)), "box", ((0, 0, 0),)],
    "render_size": [0],
    "episode_length": [0],
    "n_action_steps": [0, 2.5],
    "n_obs_steps": [0],
    "task": ["drawr-open", 5, ["reach", "push"]],
    "view": ["dp4", ["dp3"]],
}
BAD = [(key, value) for key, values in BAD_CLOUD_OPTIONS.items() for value in values]
BAD_FOR_ADROIT = [*BAD, ("action_repeat", 0), ("success_rule", "dp4"), ("task", "hammer,door"), ("camera", "corner2")]
BUILDERS = {
    "metaworld_pc": (MetaWorldPointCloudEnv, lambda **kw: make_env_config("metaworld_pc", **kw)),
    "adroit": (AdroitPointCloudEnv, lambda **kw: make_env_config("adroit", **kw)),
}
CASES = [
    (build, key, value)
    for env_type, bad in (("metaworld_pc", BAD), ("adroit", BAD_FOR_ADROIT))
    for build in BUILDERS[env_type]
    for key, value in bad
]


@pytest.mark.parametrize(("build", "key", "value"), CASES)
def test_bad_input_is_refused_by_name(build, key, value):
    with pytest.raises(InputError, match=key) as error:
        build(**{key: value})
    assert str(value) in str(error.value)


@pytest.mark.parametrize(
    ("env_type", "key", "value", "offered"),
    [
        ("metaworld_pc", "camera", "corner_2", "corner2"),
        ("metaworld_pc", "frame", "wrld", "world"),
        ("metaworld_pc", "task", "drawr-open", "drawer-open"),
        ("adroit", "camera", "vil_camra", "vil_camera"),
        ("adroit", "success_rule", "dp3_evr", "dp3_ever"),
        ("adroit", "task", "hamer", "hammer"),
    ],
)
def test_near_names_are_offered(env_type, key, value, offered):
    with pytest.raises(InputError, match=f"Did you mean.*'{offered}'"):
        make_env_config(env_type, **{key: value})


@pytest.mark.parametrize("env_type", FAMILIES)
@pytest.mark.parametrize("tasks", [0, 2])
def test_tasks_do_not_run_in_parallel(env_type, tasks):
    with pytest.raises(InputError, match=rf"^max_parallel_tasks={tasks}: must be 1.*one history.*--eval.batch_size"):
        make_env_config(env_type, max_parallel_tasks=tasks)


@pytest.mark.parametrize("env_type", FAMILIES)
@pytest.mark.parametrize("frame", FRAMES)
def test_frames_are_refused_before_environments_are_built(env_type, frame):
    env_class = resolve_name(FAMILIES[env_type].env_class)
    for build in (env_class, lambda **kw: make_env_config(env_type, **kw)):
        if frame in env_class.frames:
            build(frame=frame)
        else:
            with pytest.raises(InputError, match=f"frame: '{frame}' is not known.*legacy, world"):
                build(frame=frame)


def test_a_camera_of_another_task_is_not_there():
    make_env_config("adroit", task="pen", camera="view_1")
    with pytest.raises(InputError, match=r"'view_1' is not known.*top"):
        make_env_config("adroit", task="door", camera="view_1")


@pytest.mark.parametrize("task", HAND_TASKS)
def test_adroits_view_of_the_papers_and_defaults_are_dp3s(task):
    config = make_env_config("adroit", task=task, view="dp3")
    shapes = {name: feature.shape for name, feature in env_to_policy_features(config).items()}
    actions = {"hammer": 26, "door": 28, "pen": 24, "relocate": 30}[task]
    assert shapes == {"observation.state": (24,), "observation.point_cloud": (512, 3), "action": (actions,)}
    assert (config.fps, config.cloud_options().camera_size, config.action_repeat) == (50, 84, 2)
    # Demonstrations of the pen are longer than its evaluations.
    assert config.as_recorded(task, pixels=False).episode_length == 100
    assert make_env_config("adroit", task=task, action_repeat=1).fps == 100
    for env_type in ("metaworld_pc", "adroit", "dexart"):
        with pytest.raises(InputError, match=r"fps=20: .*control rate"):
            make_env_config(env_type, fps=20)
    with pytest.raises(InputError, match="divisor of 100"):
        make_env_config("adroit", task=task, action_repeat=3)


def test_features_and_their_names():
    config = make_env_config("metaworld_pc", num_points=64, use_color=True, pixels=True, camera_size=32)
    features = env_to_policy_features(config)
    assert {name: (feature.type, feature.shape) for name, feature in features.items()} == {
        "observation.state": (FeatureType.STATE, (9,)),
        "observation.point_cloud": (FeatureType.STATE, (64, 6)),
        "observation.image": (FeatureType.VISUAL, (3, 32, 32)),
        "action": (FeatureType.ACTION, (4,)),
    }
    assert "observation.image" not in env_to_policy_features(make_env_config("metaworld_pc"))


@pytest.mark.parametrize("build", BUILDERS["metaworld_pc"])
def test_images_cannot_be_left_out(build):
    with pytest.raises(InputError, match=r"n_action_steps=8: .*Drop it, or pixels=true"):
        build(n_action_steps=8, pixels=True)


@pytest.mark.parametrize("env_type", FAMILIES)
def test_datasets_need_all_clouds(env_type):
    config = make_env_config(env_type, n_action_steps=8)
    with pytest.raises(InputError, match=r"--env.n_action_steps=8: leaves out clouds.*Drop the option"):
        config.as_recorded(config.task, pixels=False)


@pytest.mark.parametrize(("env_type", "suffix"), [("metaworld_pc", "-v3"), *((name, "") for name in FAMILIES)])
def test_gym_ids_are_registered(env_type, suffix):
    default = make_env_config(env_type)
    config = make_env_config(env_type, task=default.task + suffix)
    assert config.gym_id == default.gym_id
    assert config.gym_id in gym.registry


def test_several_tasks_have_no_gym_id():
    with pytest.raises(InputError, match=r"--env.task=hard: names 6 tasks"):
        _ = make_env_config("metaworld_pc", task="hard").gym_id


@pytest.mark.parametrize(
    ("task", "options", "named"),
    [
        ("drawer-open,sweep-into,reach,shelf-place", {}, "sweep-into, shelf-place are seen"),
        ("hard", {}, "hand-insert, pick-out-of-hole are seen"),
        # The boxes are still those of the tasks.
        ("drawer-open,sweep-into", {"frame": "world"}, "sweep-into are seen"),
        ("drawer-open,reach", {}, None),
        ("drawer-open,sweep-into", {"view": "dp3"}, None),
        ("drawer-open,sweep-into", {"frame": "world", "crop": [[-1, -1, -1], [1, 1, 1]]}, None),
    ],
)
def test_of_several_tasks_only_what_is_equal_is_told(task, options, named, caplog):
    config = make_env_config("metaworld_pc", task=task, **options)
    single = {name: make_env_config("metaworld_pc", task=name, **options).cloud_view() for name in config.task_names()}
    first, *others = single.values()
    caplog.clear()
    before, _ = config.get_env_processors()
    told = before.steps[0].view
    assert told == {key: value for key, value in first.items() if all(other[key] == value for other in others)}
    assert ("crop" in told) == (named is None)
    assert [named in record.getMessage() for record in caplog.records] == [True] * (named is not None)


def test_the_command_line_reaches_the_environment():
    @dataclass
    class Command:
        env: EnvConfig

    arguments = ["--env.type=metaworld_pc", "--env.task=reach", "--env.crop=[[-1,-1,-1],[1,1,1]]"]
    config = draccus.parse(Command, args=[*arguments, "--env.num_points=16", "--env.frame=world"]).env
    (env,) = config.create_envs(1)["reach"][0].envs
    assert env.unwrapped.cloud_options.crop == ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    assert env.observation_space["point_cloud"].shape == (16, 3)
    assert config.gym_kwargs["frame"] == "world"


@pytest.mark.parametrize("env_type", FAMILIES)
def test_every_field_is_documented(env_type):
    config_class = EnvConfig.get_choice_class(env_type)
    inherited = {entry.name for entry in fields(EnvConfig)} - {"task", "fps", "features", "features_map"}
    for name in {entry.name for entry in fields(config_class)} - inherited:
        assert f"        {name}: " in config_class.__doc__ + PointCloudEnvConfig.__doc__


def test_shared_fields_are_the_options_of_clouds():
    """Each option is defined once as a value, and once as what may replace a view's."""
    shared = {entry.name: entry for entry in fields(PointCloudEnvConfig)}
    assert all(shared[name].default is None for name in OPTION_NAMES)
    for family in FAMILIES.values():
        known = family.fields()
        assert set(OPTION_NAMES) <= known.keys()
        assert known.keys() == {entry.name for entry in fields(type(family.configuration()))}


def test_groups_become_suites():
    envs = make_env_config("metaworld_pc", task="hard,reach-v3", num_points=8).create_envs(2)
    assert {name: list(tasks) for name, tasks in envs.items()} == {"hard": [0, 1, 2, 3, 4, 5], "reach": [0]}
    assert envs["hard"][0].call("task") == ("assembly", "assembly")
