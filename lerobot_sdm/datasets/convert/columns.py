"""Converts the values of arrays into columns. Pure functions over blocks of rows."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
from lerobot.datasets.compute_stats import auto_downsample_height_width, get_feature_stats, sample_indices
from numpy.typing import NDArray

from lerobot_sdm.clouds.fps import farthest_point_sampling
from lerobot_sdm.datasets.checks import bad_frames
from lerobot_sdm.datasets.convert.parts import Part
from lerobot_sdm.datasets.convert.source import RowReader
from lerobot_sdm.errors import InputError

LARGEST_INTEGER = np.iinfo(np.int64).max
# Allowed distance of a color from an integer of 0 to 255, due to rounding when it was scaled to [0, 1] and back.
COLOR_TOLERANCE = 1e-3
# Meters: no depth camera of a robot sees this far.
FARTHEST_MEAN = 100.0
# Takes half the time of the default 6, for files that are 2% larger.
PNG_COMPRESSION = 3


@dataclass(frozen=True)
class Column:
    """A column of the dataset and its sources.

    Attributes:
        parts: Parts of arrays, joined in this order along the first axis of a frame.
        key: Name of the column.
        kind: `values`: plain numbers; `image`: PNG; `video`: a frame of a video; `depth`: lossless TIFF.
        shape: Shape of one stored frame; pictures are (H, W, C).
        dtype: Stored dtype; uint8 for pictures.
        channel_first: Whether the source's pictures are (C, H, W).
        colors: Bounds of the last axis that are colors, which `unit_colors` applies to.
        unit_colors: Whether the source's colors are in [0, 1] instead of 0 to 255.
        points: Subsample clouds to this many points.
    """

    parts: tuple[Part, ...]
    key: str
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype
    channel_first: bool = False
    colors: tuple[int, int] | None = None
    unit_colors: bool = False
    points: int | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it is stored encoded instead of as numbers."""
        return self.kind != "values"

    @property
    def is_turned(self) -> bool:
        """Whether its clouds are (channels, points) in the source."""
        return any(part.turned for part in self.parts)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays it is made of, each once."""
        return tuple(dict.fromkeys(part.array for part in self.parts))

    def read(self, readers: Mapping[str, RowReader], start: int, stop: int) -> NDArray:
        """The stored values of the rows from `start` to before `stop`: (stop - start, *shape)."""
        return self.values({array: readers[array].read(start, stop) for array in self.arrays})

    def values(self, rows: Mapping[str, NDArray]) -> NDArray:
        """Convert rows of the source, array -> (F, ...), to stored values (F, *shape)."""
        taken = [part.take(rows[part.array]) for part in self.parts]
        values = taken[0] if len(taken) == 1 else np.concatenate(taken, axis=1)
        if self.kind in ("image", "video"):
            values = np.moveaxis(values, 1, -1) if self.channel_first else values
            values = values if values.dtype == np.uint8 else np.rint(values * 255 if self.unit_colors else values)
        elif self.unit_colors:
            values = values.copy()
            values[..., slice(*self.colors)] *= 255
        values = values.astype(self.dtype, copy=False)
        if self.points is not None:
            values = np.stack([resample(cloud, self.points) for cloud in values])
        return np.ascontiguousarray(values).reshape(len(values), *self.shape)

    def colors_of(self, part: Part, rows: NDArray) -> NDArray:
        """The colors in the rows (F, ...) of a part's array, in the source's scale."""
        taken = part.take(rows)
        return taken[..., slice(*self.colors)] if self.kind == "values" else taken

    def encode(self, values: NDArray) -> NDArray | list[dict[str, Any]]:
        """Encode values (F, *shape) for the data file: unchanged, or as pictures the way LeRobot embeds them."""
        if self.kind not in ("image", "depth"):
            return values
        suffix, options = "png", {"compress_level": PNG_COMPRESSION}
        if self.kind == "depth":
            values, suffix, options = values.squeeze(-1), "tiff", {"compression": "raw"}
        encoded = []
        for number, picture in enumerate(values):
            buffer = io.BytesIO()
            PIL.Image.fromarray(picture).save(buffer, format=suffix, **options)
            encoded.append({"bytes": buffer.getvalue(), "path": f"frame-{number:06d}.{suffix}"})
        return encoded

    def decode(self, stored: Sequence[Mapping[str, Any]]) -> NDArray:
        """The pictures (F, *shape) that `encode` encoded."""
        pictures = [np.asarray(PIL.Image.open(io.BytesIO(item["bytes"]))) for item in stored]
        return np.stack(pictures).reshape(len(pictures), *self.shape)

    def statistics(self, values: NDArray) -> dict[str, NDArray]:
        """LeRobot's statistics of an episode's values (F, *shape), over the same frames as LeRobot's own writer.

        Clouds are reduced over all points, which LeRobot's writer does not do for an episode of one frame.
        """
        if self.is_picture:
            sampled = [
                auto_downsample_height_width(np.moveaxis(values[row], -1, 0)) for row in sample_indices(len(values))
            ]
            # With each channel contiguous, the same result is three times faster.
            pictures = np.stack(sampled, axis=1).swapaxes(0, 1)
            scale = 1.0 if self.kind == "depth" else 255.0
            stats = get_feature_stats(pictures, axis=(0, 2, 3), keepdims=True)
            stats = {name: value if name == "count" else value[0] / scale for name, value in stats.items()}
        elif self.shape == (1,):
            stats = get_feature_stats(values.reshape(-1), axis=0, keepdims=True)
        else:
            stats = get_feature_stats(np.asfortranarray(values.reshape(-1, values.shape[-1])), axis=0, keepdims=False)
            stats["count"] = np.array([len(values)])
        return stats

    def check(self, rows: Mapping[str, NDArray], first_row: int, store_name: str) -> None:
        """Refuse rows of the source that cannot be stored faithfully.

        Args:
            rows: Consecutive rows of each array, (F, ...), from `first_row` on.
            store_name: The user's name for the store.

        Raises:
            InputError: Names the array, the row, and the entry.
        """
        for part in self.parts:
            label = f"{store_name}: data/{part.origin}"
            taken = part.take(rows[part.array])
            _check_numbers(taken, first_row, label, part.array)
            if self.kind == "depth":
                _check_depth(taken, first_row, label)
            if self.colors is not None and rows[part.array].dtype != np.uint8:
                self._check_colors(self.colors_of(part, rows[part.array]), first_row, label, part.array)

    def _check_colors(self, colors: NDArray, first_row: int, label: str, array: str) -> None:
        limit = 1 if self.unit_colors else 255
        wrong = (colors < 0) | (colors > limit)
        if wrong.any():
            place = np.argwhere(wrong)[0]
            raise InputError(
                f"{label}: row {first_row + int(place[0])} has a color of {colors[tuple(place)]}, outside of 0 to "
                f"{limit}. Set the range of the colors with --color-range 0-255, 0-1, or none."
            )
        if self.kind == "values":
            return
        wrong = np.abs(colors * (255 / limit) - np.rint(colors * (255 / limit))) > COLOR_TOLERANCE
        if wrong.any():
            row = first_row + int(np.argwhere(wrong)[0][0])
            raise InputError(
                f"{label}: row {row} is not a picture with 8 bits per color, so PNG or video would lose precision. "
                f"Keep the numbers with --map {array}=NAME, where NAME does not begin with observation.image, "
                "or set another --color-range."
            )


def _check_numbers(rows: NDArray, first_row: int, label: str, array: str) -> None:
    """Refuse rows (F, ...) with NaN, infinity, or numbers that LeRobot cannot read or compute statistics of."""
    bad = bad_frames(rows)
    if bad is not None:
        row = int(np.argmax(bad))
        place = np.argwhere(~np.isfinite(rows[row])).tolist()[0]
        raise InputError(
            f"{label}[{', '.join(map(str, [first_row + row, *place]))}] is {rows[row][tuple(place)]}, in "
            f"{int(bad.sum())} of the rows {first_row} to {first_row + len(rows) - 1}. Repair the store, or exclude "
            f"the array with --skip {array}."
        )
    if rows.dtype == np.uint64 and rows.max() > LARGEST_INTEGER:
        row = first_row + int(np.argwhere(rows > LARGEST_INTEGER)[0][0])
        raise InputError(
            f"{label}: row {row} contains a number above {LARGEST_INTEGER}, which LeRobot cannot read. "
            f"Exclude the array with --skip {array}."
        )
    if rows.dtype.kind == "f":
        # LeRobot computes the standard deviation from the mean of squares, in this precision.
        numbers = rows.astype(np.result_type(rows.dtype, np.float32), copy=False).ravel()
        with np.errstate(over="ignore"):
            squares = np.vdot(numbers, numbers)
        if not np.isfinite(squares):
            row = int(np.abs(rows.reshape(len(rows), -1)).max(axis=1).argmax())
            largest = np.abs(rows[row]).max()
            raise InputError(
                f"{label}: row {first_row + row} contains {largest:g}, whose square overflows {numbers.dtype}, so "
                "the column's statistics would be NaN. Repair the store, or exclude the array with --skip "
                f"{array}."
            )


def _check_depth(depth: NDArray, first_row: int, label: str) -> None:
    """Refuse float depth (F, ...) that seems to be in millimeters, because LeRobot reads floats as meters."""
    if depth.dtype.kind != "f":
        return
    means = depth.reshape(len(depth), -1).mean(axis=1)
    if (means > FARTHEST_MEAN).any():
        row = int(np.argmax(means > FARTHEST_MEAN))
        raise InputError(
            f"{label}: row {first_row + row} has a mean depth of {means[row]:.0f} m, because LeRobot reads floats "
            "as meters. If it is in millimeters, keep the numbers unchanged with --depth=array."
        )


def resample(cloud: NDArray, count: int) -> NDArray:
    """Subsample a cloud to `count` points by farthest point sampling.

    Args:
        cloud: (N, C), with x, y, z first. All-zero rows are padding, as written by DP3's generators.
        count: Rows of the result.

    Returns:
        (count, C) in farthest-point order, padded with zero rows if the cloud has too few points.
    """
    points = cloud[cloud.any(axis=1)]
    order = farthest_point_sampling(points[:, :3].astype(np.float32), min(count, len(points)))
    subsampled = np.zeros((count, cloud.shape[1]), cloud.dtype)
    subsampled[: len(order)] = points[order]
    return subsampled
