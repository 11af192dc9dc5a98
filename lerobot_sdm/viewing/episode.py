"""One episode to look at, whatever it is stored in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Frame = Mapping[str, NDArray]
Corners = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Signal:
    """Numbers over time.

    Attributes:
        values: (T, D).
        names: D names.
    """

    values: NDArray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Episode:
    """What there is to see, read frame by frame so that memory does not grow with the episode.

    Attributes:
        title: Names the source and the episode.
        fps: Frames per second.
        length: Frames.
        task: The task in words, empty if unknown.
        facts: Further lines about the source, label -> text.
        clouds: Keys of clouds (N, C >= 3), x, y, z first, then r, g, b if C is 6; rows of zeros are padding.
        images: Keys of color images (H, W, 3) uint8.
        depths: Keys of depth images (H, W) float32 in meters, 0 where nothing was measured.
        signals: Key -> numbers over time, `action` and `observation.state` first.
        read: Frame number -> clouds, images and depth images by their keys.
        crop: The box that clouds were cut to, if it is to be shown, meters.
        notes: What of the source is not shown, or not as it seems, in sentences.
        viewpoint: (3,) where the camera was, in the frame of the clouds, meters; None if unknown.
    """

    title: str
    fps: float
    length: int
    task: str
    facts: Mapping[str, str]
    clouds: tuple[str, ...]
    images: tuple[str, ...]
    depths: tuple[str, ...]
    signals: Mapping[str, Signal]
    read: Callable[[int], Frame] = field(repr=False)
    crop: Corners | None = None
    notes: tuple[str, ...] = ()
    viewpoint: NDArray[np.float64] | None = None

    def seconds(self) -> NDArray[np.float64]:
        """(T,) time of each frame since the first."""
        return np.arange(self.length) / self.fps

    def moments(self, count: int) -> list[int]:
        """At most `count` frames, evenly spaced, the first and the last among them."""
        return sorted({round(index) for index in np.linspace(0, self.length - 1, min(count, self.length))})


def without_padding(cloud: NDArray) -> NDArray:
    """(n, C): the rows of a cloud (N, C) that are points."""
    return cloud[cloud.any(axis=1)]


def ordered(signals: Mapping[str, Signal]) -> dict[str, Signal]:
    """Actions and states first, then the rest by name."""
    first = ("action", "observation.state")
    rank = {key: place for place, key in enumerate(first)}
    return dict(sorted(signals.items(), key=lambda item: (rank.get(item[0], len(first)), item[0])))


def signal(values: NDArray, names=None, label: str = "") -> Signal:
    """A signal of values (T, ...); further axes are flattened.

    Args:
        values: One row for each frame.
        names: Names of the entries, used if there is one for each.
        label: What unnamed entries are called, with their number.
    """
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    count = values.shape[1]
    if not (isinstance(names, list | tuple) and len(names) == count):
        names = [label] if count == 1 else [f"{label} {number}" for number in range(count)]
    return Signal(values, tuple(str(name) for name in names))
