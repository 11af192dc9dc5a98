"""Comparing real policies with their teacher."""

import pytest
import torch

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.distances import distance_to_point
from lerobot_sdm.measure.distillation import FLOOR, compare_to_teacher, draw_chunks, start_noise
from lerobot_sdm.measure.observations import demonstrated_chunks, held_out_observations
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec


@pytest.fixture(scope="module")
def teacher(tiny):
    return load_from_spec(PolicySpec("teacher", str(tiny.teacher)))


@pytest.fixture(scope="module")
def observations(tiny, teacher):
    return held_out_observations("local/tiny", tiny.dataset, teacher.config, 5)


def test_observations_are_spread_over_the_dataset(tiny, teacher):
    """21 frames, 3 observations: the first frame, the 11th (index 10) and the last."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    drawn = held_out_observations("local/tiny", tiny.dataset, teacher.config, 3)
    assert drawn["observation.point_cloud"].shape == (3, 2, 16, 3)
    stored = LeRobotDataset("local/tiny", root=tiny.dataset)
    states = torch.stack([stored[index]["observation.state"] for index in (0, 9, 10, 19, 20)])
    # No frame precedes the first one, which is therefore seen twice.
    expected = torch.stack([states[[0, 0]], states[[1, 2]], states[[3, 4]]])
    assert torch.equal(drawn["observation.state"], expected)


def test_observation_count_and_keys(tiny, teacher):
    with pytest.raises(InputError, match="21 frames"):
        held_out_observations("local/tiny", tiny.dataset, teacher.config, 22)
    from copy import copy

    config = copy(teacher.config)
    config.input_features = {**config.input_features, "observation.force": None}
    with pytest.raises(InputError, match=r"no 'observation\.force'"):
        held_out_observations("local/tiny", tiny.dataset, config, 2)


def test_chunks_are_the_executed_slice(teacher, observations):
    """Of the horizon of 4, with 2 observation steps, actions 1, 2 and 3 are executed."""
    observation = {key: value[:1] for key, value in observations.items()}
    noise = start_noise(teacher, 2, (0, 0, 0))
    chunks = draw_chunks(teacher, observation, noise)
    assert chunks.shape == (1, 2, 3 * 4)
    batch = teacher.preprocess({key: value.expand(2, *value.shape[1:]) for key, value in observation.items()})
    with torch.inference_mode():
        whole = teacher.policy.sample_actions(batch, noise)
    # The observation is encoded once for all samples. Another batch size rounds differently, by 6e-7, which ten steps
    # of an untrained network turn into 2e-5.
    assert torch.allclose(chunks[0].view(2, 3, 4), whole[:, 1:4], atol=1e-4)


def test_noise_is_a_function_of_its_key(teacher):
    assert torch.equal(start_noise(teacher, 3, (0, 1, 0)), start_noise(teacher, 3, (0, 1, 0)))
    draws = [start_noise(teacher, 3, key) for key in ((0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0))]
    assert len({draw.sum().item() for draw in draws}) == 4


def test_rows(tiny, teacher, observations):
    """The teacher is at the floor and maps noise like itself; another network does neither."""
    one_step = load_from_spec(PolicySpec("one step", str(tiny.teacher), {"num_inference_steps": "1"}))
    again = load_from_spec(PolicySpec("again", str(tiny.teacher)))
    rows = {row.label: row for row in compare_to_teacher(teacher, [one_step, again], observations, samples=8)}
    assert list(rows) == [FLOOR, "one step", "again"]
    assert rows["again"].energy == rows[FLOOR].energy
    assert max(rows["again"].map_rms) == 0.0
    assert min(rows["one step"].map_rms) > 0.0
    assert rows["one step"].summary()["energy"].estimate > rows[FLOOR].summary()["energy"].estimate
    assert len(rows["one step"].as_json()["per_observation"]["spread"]) == 5


def test_what_was_demonstrated(tiny, teacher):
    """Three actions from each frame on; beyond the end of the first episode, whose last frame is 11, there are none."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    found = demonstrated_chunks("local/tiny", tiny.dataset, teacher.config, 21)
    stored = LeRobotDataset("local/tiny", root=tiny.dataset)
    actions = torch.stack([stored[index]["action"] for index in range(21)])
    assert torch.equal(found[3][0], actions[3:6])
    assert [found[index][1].tolist() for index in (3, 9, 10, 11, 12)] == [
        [True, True, True],
        [True, True, True],
        [True, True, False],
        [True, False, False],
        [True, True, True],
    ]
    assert torch.equal(found[10][0][:2], actions[10:12])


def test_distance_to_demonstrations_is_over_what_they_still_have(tiny, teacher):
    """In normalized units: actions are scaled to -1 ... 1 by the dataset's range."""
    from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata

    observations = held_out_observations("local/tiny", tiny.dataset, teacher.config, 21)
    demonstrated = demonstrated_chunks("local/tiny", tiny.dataset, teacher.config, 21)
    (row,) = compare_to_teacher(teacher, [], observations, samples=4, demonstrated=demonstrated)
    assert len(row.demonstrations) == 21
    stats = LeRobotDatasetMetadata("local/tiny", root=tiny.dataset).stats["action"]
    low, high = (torch.as_tensor(stats[name]) for name in ("min", "max"))
    for index, kept in ((3, 3), (10, 2), (11, 1)):
        observation = {key: value[index : index + 1] for key, value in observations.items()}
        drawn = draw_chunks(teacher, observation, start_noise(teacher, 4, (0, index, 1)))
        chunk = (2 * (demonstrated[index][0] - low) / (high - low) - 1)[:kept].reshape(1, -1).float()
        expected = distance_to_point(drawn[..., : 4 * kept], chunk)
        assert row.demonstrations[index] == pytest.approx(expected.item(), rel=1e-4)
    (without,) = compare_to_teacher(teacher, [], observations, samples=4)
    assert without.demonstrations == []


def test_order_of_policies_does_not_matter(tiny, teacher, observations):
    one = load_from_spec(PolicySpec("one", str(tiny.teacher), {"num_inference_steps": "1"}))
    two = load_from_spec(PolicySpec("two", str(tiny.teacher), {"num_inference_steps": "2"}))
    forward = compare_to_teacher(teacher, [one, two], observations, samples=4)
    backward = compare_to_teacher(teacher, [two, one], observations, samples=4)
    assert forward[1] == backward[2]
    assert forward[2] == backward[1]


def test_incomparable_policies(tiny, teacher, observations):
    other = load_from_spec(PolicySpec("other", str(tiny.other_units)))
    with pytest.raises(InputError, match="normalization differs"):
        compare_to_teacher(teacher, [other], observations)
    short = load_from_spec(PolicySpec("short", str(tiny.teacher), {"n_action_steps": "2"}))
    with pytest.raises(InputError, match="n_action_steps is 2, but the teacher's is 3"):
        compare_to_teacher(teacher, [short], observations)
    with pytest.raises(InputError, match="at least 2"):
        compare_to_teacher(teacher, [], observations, samples=1)
