"""The part of one array of a store that a column takes: its entries and their axis order."""

from dataclasses import dataclass

from numpy.typing import NDArray

ALL = (None, None)
# Fewer rows of 3 or 6 numbers are more likely keypoints or poses than a cloud.
SMALLEST_CLOUD = 64
MOST_CHANNELS = 16


@dataclass(frozen=True)
class Part:
    """All of an array, or some of its entries.

    Attributes:
        array: Name of the array under `data/`.
        row: Index into the first axis of a frame; None for all entries.
        channels: Bounds of the slice of the last axis.
        turned: Whether the source's clouds are (channels, points).
        shape: Shape of the resulting frame, without axes of length 1 for vectors; None to keep the shape.
    """

    array: str
    row: int | None = None
    channels: tuple[int | None, int | None] = ALL
    turned: bool = False
    shape: tuple[int, ...] | None = None

    @property
    def origin(self) -> str:
        """The array with its index and slice, in the notation of `--map`."""
        row = [] if self.row is None else [str(self.row)]
        if self.channels != ALL:
            row.append("{}:{}".format(*("" if bound is None else bound for bound in self.channels)))
        return f"{self.array}[{','.join(row)}]" if row else self.array

    def take(self, rows: NDArray) -> NDArray:
        """Frames (F, ...) of the array as (F, *shape)."""
        rows = rows[:, None] if rows.ndim == 1 else rows
        if self.row is not None:
            rows = rows[:, self.row]
            rows = rows[:, None] if rows.ndim == 1 else rows
        if self.channels != ALL:
            rows = rows[..., slice(*self.channels)]
        if self.turned:
            rows = rows.swapaxes(1, 2)
        return rows if self.shape is None else rows.reshape(len(rows), *self.shape)


def taken_shape(frame: tuple[int, ...], row: int | None, channels: tuple[int | None, int | None]) -> tuple[int, ...]:
    """The shape of a frame after taking `row` and `channels` as in `Part`; contains a 0 if nothing is left."""
    if row is not None:
        if not -frame[0] <= row < frame[0]:
            return (0,)
        frame = frame[1:] or (1,)
    return (*frame[:-1], len(range(frame[-1])[slice(*channels)]))


def lies_on_its_side(frame: tuple[int, ...]) -> bool:
    """Whether clouds of this shape are (channels, points): a few rows of very many values."""
    return len(frame) == 2 and 3 <= frame[0] <= MOST_CHANNELS and frame[1] >= SMALLEST_CLOUD


def as_vector(frame: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its axes of length 1; (1,) if there are no others."""
    return tuple(size for size in frame if size != 1) or (1,)
