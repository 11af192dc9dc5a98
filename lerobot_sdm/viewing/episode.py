"""One episode for viewing, independent of its storage format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Frame = Mapping[str, NDArray]
Corners = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Signal:
    """Numbers over time (T, D), and D names."""

    values: NDArray
    names: tuple[str, ...]


@dataclass(frozen=True)
class ShownEpisode:
    """An episode that is read frame by frame, so that memory does not grow with its length.

    Attributes:
        title: Name of the source and the episode.
        fps: Frames per second.
        length: Number of frames.
        task: Description of the task, empty if unknown.
        facts: Further lines about the source, label -> text.
        clouds: Keys of clouds (N, C >= 3), x, y, z first, then r, g, b if C is 6; rows of zeros are padding.
        images: Keys of color images (H, W, 3) uint8.
        depths: Keys of depth images (H, W) float32 in meters, 0 where nothing was measured.
        signals: Key -> numbers over time, `action` and `observation.state` first.
        read: Frame number -> clouds, images and depth images by their keys.
        crop: The crop box of the clouds, in meters; None to show none.
        notes: Sentences on parts of the source that are missing or incomplete.
        viewpoint: (3,) position of the camera, in the frame of the clouds, meters; None if unknown.
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
        """At most `count` evenly spaced frames, including the first and the last."""
        return sorted({round(index) for index in np.linspace(0, self.length - 1, min(count, self.length))})


def without_padding(cloud: NDArray) -> NDArray:
    """(n, C) the rows of a cloud (N, C) that are not padding."""
    return cloud[cloud.any(axis=1)]


def ordered(signals: Mapping[str, Signal]) -> dict[str, Signal]:
    """Sort signals: actions and states first, then the others by name."""
    return {key: signals[key] for key in sorted(signals, key=lambda k: (k != "action", k != "observation.state", k))}


def signal(values: NDArray, names=None, label: str = "") -> Signal:
    """A signal of values (T, ...); further axes are flattened.

    Args:
        values: One row per frame.
        names: Names of the entries, used if there is one per entry.
        label: Name of unnamed entries, followed by their number.
    """
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    count = values.shape[1]
    if not (isinstance(names, list | tuple) and len(names) == count):
        names = [label] if count == 1 else [f"{label} {number}" for number in range(count)]
    return Signal(values, tuple(str(name) for name in names))
