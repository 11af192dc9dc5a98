"""What is taken of an array, which way round, and how parts become one column."""

import numpy as np
import pytest
from make_stores import demonstrations, stored_columns, write_store

from lerobot_sdm.datasets.convert.mapping import Choices, columns_of, complete, parse
from lerobot_sdm.datasets.convert.parts import Part, as_vector, lies_on_its_side, taken_shape
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert, make_plan
from lerobot_sdm.datasets.convert.source import ArrayInfo
from lerobot_sdm.errors import InputError

NUMBERS_ONLY = Choices(images="skip", depth="skip", color_range="none")


def infos(**shapes: tuple[int, ...]) -> dict[str, ArrayInfo]:
    return {name: ArrayInfo((10, *shape), np.dtype("float32")) for name, shape in shapes.items()}


def columns(mapping: list[str], **shapes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    arrays = infos(**shapes)
    return {c.key: c.shape for c in columns_of(complete(parse(mapping, arrays), arrays), arrays, NUMBERS_ONLY)}


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("action=a", (None, (None, None))),
        ("action[2]=a", (2, (None, None))),
        ("action[-1]=a", (-1, (None, None))),
        ("action[12:34]=a", (None, (12, 34))),
        ("action[:-1]=a", (None, (None, -1))),
        ("action[1,3:]=a", (1, (3, None))),
    ],
)
def test_what_the_brackets_say(text, taken):
    (entry,) = parse([text], infos(action=(8, 7)))
    assert (entry.row, entry.channels) == taken
    rows = np.arange(10 * 8 * 40, dtype=np.float32).reshape(10, 8, 40)
    row, channels = taken
    expected = rows[..., slice(*channels)] if row is None else rows[:, row, slice(*channels)]
    part = Part("action", *taken)
    np.testing.assert_array_equal(part.take(rows), expected)
    assert taken_shape((8, 40), row, channels) == expected.shape[1:]
    assert f"{part.origin}=a" == text


@pytest.mark.parametrize("taken", [(0, (None, None)), (-1, (None, None)), (None, (None, 1)), (None, (0, None))])
def test_a_number_per_row_is_its_only_entry(taken):
    rows = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(Part("gripper", *taken).take(rows), rows[:, None])
    assert taken_shape((1,), *taken) == (1,)


@pytest.mark.parametrize("brackets", ["[]", "[1:2:3]", "[1,2]", "[x]", "[1", "[-:3]", "[2:-]"])
def test_brackets_that_say_nothing(brackets):
    with pytest.raises(InputError, match=r"expected NAME=COLUMN"):
        parse([f"action{brackets}=a"], infos(action=(8, 7)))


@pytest.mark.parametrize(
    ("frame", "sideways"),
    [
        ((3, 1024), True),
        ((6, 64), True),
        ((16, 512), True),
        ((1024, 3), False),
        ((17, 512), False),  # It may be 17 points with features.
        ((3, 63), False),
        ((2, 1024), False),
        ((1024,), False),
    ],
)
def test_clouds_on_their_side(frame, sideways):
    assert lies_on_its_side(frame) == sideways


def test_a_cloud_on_its_side_is_turned(tmp_path):
    """Also where its name does not say that it is one; colors are looked for where they are then."""
    arrays, ends = demonstrations()
    arrays["point_cloud"][..., 3:] /= 255
    upright = arrays["point_cloud"].copy()
    upright[..., 3:] *= 255
    for name in ("point_cloud", "scene"):
        turned = {"action": arrays["action"], "state": arrays["state"], name: arrays["point_cloud"].swapaxes(1, 2)}
        source = write_store(tmp_path / f"{name}.zarr", turned, ends)
        root = convert(ConvertConfig(source, root=tmp_path / name, fps=20))
        np.testing.assert_array_equal(np.float32(stored_columns(root)["observation.point_cloud"]), upright)
        said = (root / "README.md").read_text()
        assert "(channels, points) became (points, channels)" in said


def test_a_value_that_is_bad_is_named_where_it_lies(tmp_path):
    arrays, ends = demonstrations()
    arrays["state"][7, 4] = np.nan
    source = write_store(tmp_path / "demo.zarr", arrays, ends)
    config = ConvertConfig(source, root=tmp_path / "out", fps=20, mapping=("state[3:6]=observation.state",))
    with pytest.raises(InputError, match=r"data/state\[3:6\]\[7, 1\] is nan"):
        convert(config)


def test_parts_are_joined_in_the_order_given(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "left_arm": rng.standard_normal((12, 6)).astype(np.float32),
        "left_gripper": rng.standard_normal(12),
        "right_arm": rng.standard_normal((12, 1, 6)).astype(np.float32),
        "steps": rng.standard_normal((12, 2, 3)).astype(np.float32),
        "cloud_a": rng.standard_normal((12, 80, 3)).astype(np.float32),
        "cloud_b": rng.standard_normal((12, 3, 90)).astype(np.float32),
    }
    source = write_store(tmp_path / "demo.zarr", arrays, [4, 12])
    mapping = (
        *("right_arm=action", "left_arm=action", "left_gripper=action"),
        *("steps[1]=observation.state", "steps[0,1:]=observation.state"),
        *("cloud_b=observation.point_cloud", "cloud_a=observation.point_cloud"),
    )
    root = convert(ConvertConfig(source, root=tmp_path / "out", fps=20, mapping=mapping))
    stored = stored_columns(root)
    action = np.concatenate([arrays["right_arm"][:, 0], arrays["left_arm"], arrays["left_gripper"][:, None]], axis=1)
    np.testing.assert_array_equal(np.array(stored["action"]), action)
    state = np.concatenate([arrays["steps"][:, 1], arrays["steps"][:, 0, 1:]], axis=1)
    np.testing.assert_array_equal(np.float32(stored["observation.state"]), state)
    cloud = np.concatenate([arrays["cloud_b"].swapaxes(1, 2), arrays["cloud_a"]], axis=1)
    np.testing.assert_array_equal(np.float32(stored["observation.point_cloud"]), cloud)
    assert "`data/right_arm` (1, 6) float32, `data/left_arm` (6,) float32" in (root / "README.md").read_text()
    facts = make_plan(ConvertConfig(source, fps=20, mapping=mapping)).facts["clouds"]["observation.point_cloud"]
    assert facts["points_in_the_store"] == 170


@pytest.mark.parametrize(
    ("mapping", "shapes", "match"),
    [
        (["a=x", "b=x"], {"a": (3,), "b": (2, 3)}, r"data/a \(3,\), data/b \(2, 3\).*only vectors and clouds"),
        (["a=observation.depth", "b=observation.depth"], {"a": (9, 9), "b": (9, 9)}, "only vectors and clouds"),
        (["a=observation.image", "b=observation.image"], {"a": (9, 9, 3), "b": (9, 9, 3)}, "only vectors and clouds"),
        (
            ["a=observation.point_cloud", "b=observation.point_cloud"],
            {"a": (80, 3), "b": (80, 6)},
            r"points with different channels.*NAME\[:3\]",
        ),
        (["a[3]=action"], {"a": (3, 4)}, "the slice is empty"),
        (["a=observation.point_cloud"], {"a": (20, 30)}, "must be .points, 3 or more channels., with more points"),
    ],
)
def test_parts_that_do_not_go_together(mapping, shapes, match):
    with pytest.raises(InputError, match=match):
        columns(mapping, **shapes)


@pytest.mark.parametrize(
    ("frame", "vector"), [((1, 7), (7,)), ((7, 1), (7,)), ((1, 1), (1,)), ((7,), (7,)), ((), (1,))]
)
def test_vectors_of_axes_that_hold_nothing(frame, vector):
    assert as_vector(frame) == vector
    assert columns([], action=frame, state=(2,))["action"] == vector
