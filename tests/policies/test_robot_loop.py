"""A robot's loop: whatever an observation is, it is acted on or refused by name, and nothing stale is executed."""

import numpy as np
import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.factory import make_pre_post_processors
from training_options import TYPE_OPTIONS

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy
from lerobot_sdm.policies.guards import NonFiniteError
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.processors.incoming import whole_clouds

STATE, CLOUD = "observation.state", "observation.point_cloud"
SMALL = {"down_dims": (8, 16, 16), "blocks_per_level": 1, "encoder_hidden_dims": (8, 16), "device": "cpu"}


def loaded(state: int = 5, **settings) -> LoadedPolicy:
    """A policy with random weights and its pipelines, which normalize from -2 ... 2."""
    config = DP3Config(
        input_features={
            STATE: PolicyFeature(FeatureType.STATE, (state,)),
            CLOUD: PolicyFeature(FeatureType.STATE, (20, 3)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (3,))},
        **{**SMALL, "n_action_steps": 3, **settings},
    )
    torch.manual_seed(0)
    stats = {
        key: {"min": np.full(n, -2, np.float32), "max": np.full(n, 2, np.float32)}
        for key, n in {STATE: state, CLOUD: 3, "action": 3}.items()
    }
    policy = DP3Policy(config, dataset_stats=stats).eval()
    return LoadedPolicy(PolicySpec("x", "x"), policy, *make_pre_post_processors(config, dataset_stats=stats))


def seen(robots: int | None = 1, points: int = 20, seed: int = 0) -> dict[str, torch.Tensor]:
    random, lead = torch.Generator().manual_seed(seed), () if robots is None else (robots,)
    return {STATE: torch.rand(*lead, 5, generator=random), CLOUD: torch.rand(*lead, points, 3, generator=random)}


def act(robot: LoadedPolicy, observation: dict, seed: int = 0) -> torch.Tensor:
    """The next action (B, A), under repeatable noise."""
    torch.manual_seed(seed)
    return robot.postprocess(robot.policy.select_action(robot.preprocess(dict(observation))))


def prepared(robot: LoadedPolicy, observation: dict) -> dict[str, torch.Tensor]:
    """The observation behind the pipeline, without what else a pipeline hands on."""
    batch = robot.preprocess(dict(observation))
    return {key: batch[key] for key in observation}


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_every_type_refuses_what_is_missing_and_another_number_of_robots(trained, kind):
    robot = load_from_spec(PolicySpec("x", str(trained(kind))))
    random = torch.Generator().manual_seed(0)
    shapes = {key: feature.shape for key, feature in robot.config.input_features.items()}
    two = {key: torch.rand(2, *shape, generator=random) for key, shape in shapes.items()}
    act(robot, two)
    for key in two:
        with pytest.raises(InputError, match=rf"'{key}' is missing in the observation"):
            act(robot, {name: value for name, value in two.items() if name != key})
    with pytest.raises(InputError, match=r"batch size is 1, .* step was 2.*reset\(\)"):
        act(robot, {key: value[:1] for key, value in two.items()})
    assert act(robot, two).shape == (2, 4)  # what was refused has left no trace
    robot.policy.reset()
    assert act(robot, {key: value[:1] for key, value in two.items()}).shape == (1, 4)


@pytest.mark.parametrize(
    "change",
    [
        lambda o: {key: value.double() for key, value in o.items()},
        lambda o: {key: value.numpy() for key, value in o.items()},
        lambda o: {key: value[0].numpy().astype(np.float64) for key, value in o.items()},
        lambda o: {key: value[0] for key, value in o.items()},
        lambda o: {**o, STATE: o[STATE].tolist()},
    ],
    ids=["float64", "numpy", "numpy float64 without a batch", "without a batch", "a list"],
)
def test_other_kinds_of_numbers_give_the_same_action(change):
    robot = loaded()
    expected = act(robot, seen())
    robot.policy.reset()
    torch.testing.assert_close(act(robot, change(seen())), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.bool])
def test_whole_numbers_do_not_round_the_statistics(dtype):
    """LeRobot's normalizer brings its statistics to the number type of what it gets: -0.5 would become 0, or 255."""
    robot = loaded()
    ones = {STATE: torch.ones(1, 5), CLOUD: torch.ones(1, 20, 3)}
    expected = act(robot, ones)
    robot.policy.reset()
    torch.testing.assert_close(act(robot, {key: value.to(dtype) for key, value in ones.items()}), expected)


def test_images_of_bytes_are_scaled_as_lerobot_does():
    from lerobot_sdm.processors.incoming import as_tensor

    picture = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(as_tensor("observation.images.front", picture), torch.tensor([0.0, 0.2, 1.0]))
    torch.testing.assert_close(as_tensor(STATE, picture), torch.tensor([0.0, 51.0, 255.0]))


@pytest.mark.parametrize(
    ("wrong", "offender"),
    [
        ({STATE: torch.rand(1, 9)}, r"'observation\.state' has shape \(9,\) in the observation and \(5,\)"),
        ({CLOUD: torch.rand(1, 0, 3)}, r"'observation\.point_cloud' has shape \(1, 0, 3\).*no points"),
        ({CLOUD: torch.rand(1, 3, 20)}, r"'observation\.point_cloud' has shape \(1, 3, 20\).*on its side.*swap"),
        ({CLOUD: torch.rand(3, 20)}, r"'observation\.point_cloud' has shape \(3, 20\).*on its side"),
        ({CLOUD: torch.rand(1, 20, 2)}, r"'observation\.point_cloud' has shape \(1, 20, 2\).*\(points, 3\)"),
        ({CLOUD: torch.rand(20)}, r"'observation\.point_cloud' has shape \(20,\)"),
        ({STATE: "here"}, r"'observation\.state' is of type str"),
        ({STATE: None}, r"'observation\.state' is of type NoneType"),
        ({STATE: torch.ones(1, 5, dtype=torch.complex64)}, r"'observation\.state' holds complex"),
        ({STATE: torch.rand(2, 5)}, r"batch sizes differ.*'observation\.state': 2, 'observation\.point_cloud': 1"),
        ({STATE: torch.rand(1, 2, 5)}, r"'observation\.state' has shape \(1, 2, 5\) in the observation and \(B, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(wrong, offender):
    with pytest.raises(InputError, match=offender):
        act(loaded(), seen() | wrong)


@pytest.mark.parametrize("observation", [torch.rand(1, 5), None])
def test_a_policy_wants_a_mapping(observation):
    with pytest.raises(InputError, match="Give a mapping"):
        loaded().policy.select_action(observation)


def test_clouds_may_change_their_number_of_points():
    """A cloud without some of its points is another cloud, but a point that stands twice changes nothing."""
    robot = loaded()
    act(robot, seen(points=20))
    few = seen(points=7, seed=1)
    for _ in range(3):
        action = act(robot, few)
    robot.policy.reset()
    act(robot, seen(points=20))
    twice = {**few, CLOUD: torch.cat([few[CLOUD], few[CLOUD]], dim=1)}
    for _ in range(3):
        other = act(robot, twice)
    torch.testing.assert_close(other, action)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_points_that_are_not_finite_are_refused_or_dropped(bad):
    spoiled = seen()
    spoiled[CLOUD][0, [0, 7], 1] = bad
    with pytest.raises(NonFiniteError, match=r"environment 0: .*'observation.point_cloud'.* 2 of 20 points.*drop_inv"):
        act(loaded(), spoiled)
    kept = [i for i in range(20) if i not in (0, 7)]
    expected = act(loaded(), {**spoiled, CLOUD: spoiled[CLOUD][:, kept]})
    torch.testing.assert_close(act(loaded(drop_invalid_points=True), spoiled), expected)
    spoiled[CLOUD][:] = bad
    with pytest.raises(NonFiniteError, match=r"20 of 20 points"):
        act(loaded(drop_invalid_points=True), spoiled)


def test_the_points_that_are_left_keep_their_order():
    """So that the first n_points of a cloud in farthest-point order still are a sample of it."""
    nan = float("nan")
    cloud = torch.tensor([[[nan, 0.0], [1, 1], [2, nan], [3, 3], [4, 4]], [[5, 5], [6, 6], [7, 7], [8, 8], [9, 9.0]]])
    whole = whole_clouds(cloud)
    assert whole[0, :, 0].tolist() == [1, 3, 4, 1, 3]
    assert torch.equal(whole[1], cloud[1])


def test_one_frame_is_no_window_unless_select_action_has_just_seen_it():
    robot, noise = loaded(), torch.randn(1, 16, 3)
    frame = prepared(robot, seen())
    offender = r"'observation\.state' has shape \(1, 5\): one frame.*n_obs_steps=2.*\(B, 2, 5\)"
    with pytest.raises(InputError, match=offender):
        robot.policy.predict_action_chunk(frame, noise)
    robot.policy.select_action(frame)
    window = {key: torch.stack([value, value], dim=1) for key, value in frame.items()}
    expected = robot.policy.predict_action_chunk(window, noise)
    torch.testing.assert_close(robot.policy.predict_action_chunk(frame, noise), expected)
    # Another frame, or only another cloud: the history would be a stale answer to it.
    for other in (prepared(robot, seen(seed=1)), {**frame, CLOUD: frame[CLOUD] + 1}):
        with pytest.raises(InputError, match="one frame"):
            robot.policy.predict_action_chunk(other, noise)
    # A window is answered for what it is, whatever was seen before.
    other = {key: value + 1 for key, value in window.items()}
    assert not torch.allclose(robot.policy.predict_action_chunk(other, noise), expected)


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_several_chunks_of_one_observation(trained, kind):
    """From a window, and from the frame that `select_action` has just seen."""
    policy = load_from_spec(PolicySpec("x", str(trained(kind)))).policy
    random, steps = torch.Generator().manual_seed(0), policy.config.n_obs_steps
    window = {key: torch.rand(1, steps, *f.shape, generator=random) for key, f in policy.config.input_features.items()}
    noise = torch.randn(3, policy.config.horizon, *policy.config.action_feature.shape)
    torch.manual_seed(0)
    expected = policy.predict_action_chunk(window, noise=noise)
    assert len(expected) == 3
    for step in range(steps):
        frame = {key: value[:, step] for key, value in window.items()}
        policy.select_action(frame)
    torch.manual_seed(0)
    # Networks round by batch size, and many steps amplify it; chunks of other noise would differ by 0.1 and more.
    torch.testing.assert_close(policy.predict_action_chunk(frame, noise=noise), expected, atol=1e-3, rtol=0)


def test_of_one_frame_a_window_needs_no_axis():
    robot, noise = loaded(n_obs_steps=1), torch.randn(1, 16, 3)
    frame = prepared(robot, seen())
    window = {key: value.unsqueeze(1) for key, value in frame.items()}
    chunks = [robot.policy.predict_action_chunk(batch, noise) for batch in (frame, window)]
    torch.testing.assert_close(*chunks)


def test_a_robot_may_fill_the_same_memory_again():
    """Without pipelines in between the policy itself gets the robot's buffers."""
    observations = [seen(seed=seed) for seed in range(4)]
    expected = [robot.select_action(dict(o)) for robot in [loaded().policy] for o in seeded(observations)]
    policy, buffer = loaded().policy, seen()
    found = []
    for observation in seeded(observations):
        for key, value in observation.items():
            buffer[key].copy_(value)
        found.append(policy.select_action(buffer))
    torch.testing.assert_close(torch.cat(found), torch.cat(expected))


def seeded(observations):
    torch.manual_seed(0)
    yield from observations
