"""Data far outside what a policy was trained on: seen by their ranges and scales, told once, in units, by column."""

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lerobot_commands import lerobot_train, make_small_dataset
from training_options import options

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.policies.range_watch import watch_source
from lerobot_sdm.policies.ranges import ValueRange, difference
from lerobot_sdm.policies.source.source_policy import SourcePolicy

STATE, CLOUD = "observation.state", "observation.point_cloud"
RANDOM = np.random.default_rng(0)


def uniform(*ranges: tuple[float, float], rows: int = 2000) -> np.ndarray:
    """(rows, C), one channel for each range, the ends included."""
    grid = np.linspace(0, 1, rows)
    return np.stack([low + (high - low) * RANDOM.permutation(grid) for low, high in ranges], axis=1)


def found(key: str, seen: np.ndarray, known: np.ndarray, **kwargs):
    return difference(
        key, ValueRange.of_values(seen), ValueRange.of_values(known), "the dataset", "the checkpoint", **kwargs
    )


BOX = ((-0.5, 0.5), (-0.5, 0.5), (0.0, 1.0))
COLORS = ((0, 255),) * 3


def test_the_share_outside_is_counted_with_a_margin():
    """Of 0 ... 1 the part above 0.5 + 0.1 * 0.5 lies outside of 0 ... 0.5: 45%."""
    seen, known = ValueRange.of_values(uniform((0, 1))), ValueRange.of_values(uniform((0, 0.5)))
    assert seen.outside(known, 0.1) == pytest.approx([0.45], abs=0.002)
    assert known.outside(seen, 0.1) == pytest.approx([0])


def test_statistics_tell_the_same_as_values():
    """LeRobot's quantiles; between them values count as evenly spread, which these are."""
    values = uniform((0, 1), (5, 9))
    stats = {name: np.quantile(values, level, axis=0) for name, level in
             {"min": 0, "q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99, "max": 1}.items()}  # fmt: skip
    told = ValueRange.of_statistics({**stats, "mean": values.mean(axis=0), "count": np.array([2000])})
    known = ValueRange.of_values(uniform((0.2, 0.9), (5, 8)))
    assert told.outside(known, 0.0) == pytest.approx(ValueRange.of_values(values).outside(known, 0.0), abs=0.003)
    assert ValueRange.of_statistics({"mean": np.zeros(2), "std": np.ones(2)}) is None
    assert ValueRange.of_statistics({"min": np.array([np.nan]), "max": np.array([1.0])}) is None


def test_a_cloud_of_another_view():
    told = found(CLOUD, uniform((-0.5, 1.2), *BOX[1:]), uniform(*BOX))
    assert told.text == (
        "35% of the points of 'observation.point_cloud' in the dataset lie outside the range of the clouds that the "
        "checkpoint was trained on (x -0.5 ... 1.2 m, not -0.5 ... 0.5 m). Was it trained with another view?"
    )
    assert not told.decisive


def test_a_cloud_beside_the_known_one_cannot_be_another_scene():
    assert found(CLOUD, uniform(BOX[0], BOX[1], (2.5, 3.5)), uniform(*BOX)).decisive


@pytest.mark.parametrize(
    ("seen", "hint"),
    [
        ([(-500, 500), (-400, 500), (0, 900), *COLORS], "Are these millimeters, and were those meters?"),
        ([(-5e-4, 5e-4), (-5e-4, 5e-4), (0, 1e-3), *COLORS], "Are these meters, and were those millimeters?"),
        ([*BOX, (0, 1), (0, 1), (0, 1)], "multiply the colors by 255"),
    ],
)
def test_another_unit_of_a_cloud(seen, hint):
    told = found(CLOUD, uniform(*seen), uniform(*BOX, *COLORS))
    assert told.decisive
    assert hint in told.text


def test_colors_that_were_of_0_to_1():
    told = found(CLOUD, uniform(*BOX, *COLORS), uniform(*BOX, (0, 1), (0, 1), (0, 1)))
    assert told.decisive
    assert "r 0 ... 255, not 0 ... 1" in told.text
    assert "divide the colors by 255" in told.text


def test_degrees_for_radians():
    joints = uniform((-1, 1), (-0.3, 0.5), (0, 2))
    told = found(STATE, np.rad2deg(joints), joints)
    assert told.decisive
    assert "number 0 -57.3 ... 57.3, not -1 ... 1" in told.text
    assert "Are these degrees, and were those radians?" in told.text
    # A joint that stands still has a range of 2 in both, which `widen_constant_channels` gave it.
    still = np.array([[0.0, 0, 0, -1], [0, 0, 0, 1]])
    with_still = [np.vstack([np.c_[values, np.zeros(len(values))], still]) for values in (np.rad2deg(joints), joints)]
    assert found(STATE, *with_still).decisive


@pytest.mark.parametrize(
    ("key", "seen", "known"),
    [
        (CLOUD, uniform((-0.54, 0.54), *BOX[1:]), uniform(*BOX)),  # a little beyond
        (CLOUD, np.vstack([uniform(*BOX), uniform((0.9, 1), *BOX[1:], rows=150)]), uniform(*BOX)),  # a few points
        (CLOUD, uniform((-0.05, 0.05), (-0.05, 0.05), (0.4, 0.5)), uniform(*BOX)),  # a small object
        (STATE, np.array([[1.8]]), uniform((-1, 1))),  # a single state, beyond the demonstrations
        (STATE, uniform((-0.1, 0.1), (0, 0.1)), uniform((-1, 1), (0, 1))),  # a smaller workspace
    ],
)
def test_what_another_scene_explains_is_passed(key, seen, known):
    assert found(key, seen, known) is None


def test_a_single_state_far_outside():
    told = found(STATE, np.array([[0.0, 5.0]]), uniform((-1, 1), (-1, 1)))
    assert "(number 1 5 ... 5, not -1 ... 1)" in told.text
    assert not told.decisive


# ---- where checkpoints meet data ------------------------------------------------------------------------


def observation(shift: float = 0.0, frames: tuple[int, ...] = (2,)) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    cloud = 2 * torch.rand(*frames, 50, 3, generator=random) - 1
    cloud[..., 0] += shift
    return {STATE: torch.zeros(*frames, 9), CLOUD: cloud}


@pytest.fixture
def told():
    """What was warned of; LeRobot's commands take pytest's own handler off the root."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("lerobot_sdm.policies.range_watch")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.mark.parametrize("kind", ["dp3", "sdm", "difftori"])
def test_acting_warns_once_and_only_then(trained, told, kind):
    def act(shift: float) -> None:
        loaded = load_from_spec(PolicySpec("x", str(trained(kind))))
        for _ in range(3):
            loaded.policy.reset()
            loaded.policy.select_action(loaded.preprocess(observation(shift)))

    act(0.0)
    assert told == []
    act(1.0)
    assert len(told) == 1
    assert f"that the checkpoint at {trained(kind)} was trained on (x " in told[0]
    assert told[0].endswith("Was it trained with another view?")


def test_measuring_distances_warns_alike(trained, told):
    loaded = load_from_spec(PolicySpec("x", str(trained("dp3"))))
    loaded.policy.predict_action_chunk(loaded.preprocess(observation(1.0, frames=(4, 2))))
    assert len(told) == 1
    assert "points of 'observation.point_cloud' in the observation" in told[0]


@pytest.fixture(scope="module")
def millimeters(tmp_path_factory) -> Path:
    def change(values: dict[str, np.ndarray]) -> None:
        values[CLOUD] *= 1000

    return make_small_dataset(tmp_path_factory.mktemp("mm") / "data", change=change)


@pytest.fixture(scope="module")
def other_view(tmp_path_factory) -> Path:
    def change(values: dict[str, np.ndarray]) -> None:
        values[CLOUD][:, 0] += 1

    return make_small_dataset(tmp_path_factory.mktemp("view") / "data", change=change)


@pytest.mark.parametrize("kind", ["sdm", "consistency", "difftori"])
def test_training_from_another_policy_on_data_of_another_unit_is_refused(
    trained, millimeters, tmp_path, monkeypatch, kind
):
    source = trained({"sdm": "dp3", "consistency": "edm", "difftori": "dp3"}[kind])
    role = "base" if kind == "difftori" else "teacher"
    offender = rf"'observation\.point_cloud' has a different scale .* the {role} at {source} .*millimeters.*same units"
    with pytest.raises(InputError, match=offender):
        lerobot_train(monkeypatch, millimeters, tmp_path / "run", *options(kind, source), steps=2)
    assert not (tmp_path / "run").exists()


def test_distilling_on_another_view_warns(trained, other_view, tmp_path, monkeypatch, told):
    lerobot_train(monkeypatch, other_view, tmp_path / "run", *options("sdm", trained("dp3")), steps=2)
    assert len(told) == 1
    assert f"in the dataset lie outside the range of the clouds that the teacher at {trained('dp3')} was" in told[0]


def test_fine_tuning_warns_that_its_data_are_normalized_by_other_numbers(
    trained, millimeters, dataset, tmp_path, monkeypatch, told
):
    path = f"--policy.path={trained('dp3')}"
    lerobot_train(monkeypatch, dataset, tmp_path / "same", path, steps=2)
    assert told == []
    lerobot_train(monkeypatch, millimeters, tmp_path / "other", path, steps=2)
    assert len(told) == 1
    assert "a different scale in the dataset than the checkpoint at" in told[0]
    assert told[0].endswith("than it was trained on.")


def test_a_checkpoint_without_pipelines_is_not_looked_at(trained, tmp_path, told):
    folder = tmp_path / "bare"
    shutil.copytree(trained("dp3"), folder)
    for file in folder.glob("policy_*"):
        file.unlink()
    policy = load_from_spec(PolicySpec("x", str(trained("dp3")))).policy
    bare = type(policy).from_pretrained(folder)
    bare.select_action(observation(100.0))
    assert told == []


def test_what_is_no_column_is_looked_at_in_the_first_batches(trained, told):
    """Clouds that the pipeline makes of depth images have no statistics in the dataset."""
    path, loaded = str(trained("dp3")), load_from_spec(PolicySpec("x", str(trained("dp3"))))
    columns = SimpleNamespace(features={STATE: {}, "action": {}})
    source = SourcePolicy(path, role="teacher")
    loaded.policy.range_watch = watch_source(source, loaded.config.input_features, {}, columns)
    loaded.policy.train()
    batch = {**observation(1.0, frames=(2, 2)), "action": torch.zeros(2, 8, 4)}
    batch[STATE] += 100  # a column: its statistics are compared before
    for _ in range(2):
        loaded.policy.forward(loaded.preprocess(dict(batch)))
    assert len(told) == 1
    assert f"the clouds that the teacher at {path} was trained on" in told[0]
