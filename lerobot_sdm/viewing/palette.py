"""Colors and viewpoints of clouds, the same in Rerun and on paper."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.viewing.episode import without_padding

SECOND_CLOUD = np.array([255, 140, 0], dtype=np.uint8)
HEIGHT_MAP = "viridis"
LINE_MAP, MANY_LINES_MAP = matplotlib.colormaps["tab10"], matplotlib.colormaps["turbo"]
NEAR = 0.3
# Behind this many times the nearest depth, a picture's colors are given to the background only.
BACKGROUND = 3.0


@dataclass(frozen=True)
class Scene:
    """Where the points of an episode are.

    Attributes:
        low: (3,) meters; all but a few points lie above.
        high: (3,) meters; all but a few points lie below.
        unit_colors: Colors are 0 to 1, not 0 to 255.
        viewpoint: (3,) where the camera was, meters; None if unknown.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    unit_colors: bool
    viewpoint: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, clouds: Sequence[NDArray], viewpoint: NDArray[np.float64] | None = None) -> "Scene":
        """The scene that clouds (N, C) of an episode show; outliers are left out, padding too."""
        points = np.concatenate([without_padding(cloud) for cloud in clouds]) if clouds else np.zeros((0, 3))
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) == 0:
            points = np.array([[-0.5] * 3, [0.5] * 3])
        xyz = points[:, :3].astype(np.float64)
        low, high = np.percentile(xyz, [0.5, 99.5], axis=0)
        # What is near enough to the bulk belongs to it; single stray points would shrink everything else to a dot.
        slack = NEAR * (high - low)
        low, high = np.maximum(xyz.min(axis=0), low - slack), np.minimum(xyz.max(axis=0), high + slack)
        unit_colors = points.shape[1] == 6 and float(points[:, 3:].max()) <= 1.0
        return cls(low, high, unit_colors, viewpoint)

    @property
    def center(self) -> NDArray[np.float64]:
        """(3,) meters."""
        return (self.low + self.high) / 2

    @property
    def size(self) -> float:
        """Length of the diagonal, meters."""
        return float(max(np.linalg.norm(self.high - self.low), 1e-3))

    def eye(self) -> NDArray[np.float64]:
        """(3,) unit vector from the scene toward the viewer.

        Toward the camera if it is known and does not hang straight above. Otherwise clouds in a camera's or a
        robot's frame are looked at from the side of its origin, where the camera was or the robot stands; clouds
        around their origin from a corner.
        """
        if self.viewpoint is not None:
            direction = (self.viewpoint - self.center) / max(np.linalg.norm(self.viewpoint - self.center), 1e-9)
            # Straight from above, right and left would not be defined.
            if 0 <= direction[2] < 0.98:
                return direction
        away = -self.center * [1, 1, 0]
        outside = np.any((self.low[:2] > 0) | (self.high[:2] < 0))
        toward = away / np.linalg.norm(away) if outside else np.array([-0.6, -0.8, 0.0])
        # A little to the side shows more than the front alone.
        turn = np.deg2rad(25)
        x, y, _ = toward
        turned = np.array([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), 0.55])
        return turned / np.linalg.norm(turned)

    def project(self, points: NDArray) -> tuple[NDArray, NDArray]:
        """What the viewer sees from far away.

        Args:
            points: (n, 3).

        Returns:
            Right and up (n, 2), and how near (n,), all in meters from the center.
        """
        toward = self.eye()
        right = np.cross([0, 0, 1], toward)
        right /= np.linalg.norm(right)
        relative = points - self.center
        return relative @ np.stack([right, np.cross(toward, right)], axis=1), relative @ toward

    def extent(self) -> str:
        """The corners in words, as a crop would be chosen by."""
        bounds = zip("xyz", self.low, self.high, strict=True)
        return ", ".join(f"{name} {low:.2f} to {high:.2f}" for name, low, high in bounds) + " m"

    def inside(self, points: NDArray) -> NDArray[np.float64]:
        """(m, 3): those of the points (n, 3) that belong to the scene, padding left out."""
        points = points[points.any(axis=1)].astype(np.float64)
        return points[((points >= self.low) & (points <= self.high)).all(axis=1)]

    def corners(self) -> NDArray[np.float64]:
        """(8, 3) corners of the box around the scene."""
        return np.array(np.meshgrid(*zip(self.low, self.high, strict=True))).reshape(3, 8).T

    def colors(self, points: NDArray) -> NDArray[np.uint8]:
        """(n, 3): the points' own colors if they have any, else by height.

        Args:
            points: (n, C >= 3).
        """
        if points.shape[1] == 6:
            return np.clip(np.rint(points[:, 3:] * (255 if self.unit_colors else 1)), 0, 255).astype(np.uint8)
        height = (points[:, 2] - self.low[2]) / max(self.high[2] - self.low[2], 1e-6)
        return (matplotlib.colormaps[HEIGHT_MAP](np.clip(height, 0, 1))[:, :3] * 255).astype(np.uint8)


def line_colors(count: int) -> NDArray[np.uint8]:
    """(count, 3) colors for curves in one plot, easy to tell apart as long as there are few."""
    colors = LINE_MAP(np.arange(count)) if count <= LINE_MAP.N else MANY_LINES_MAP(np.linspace(0, 1, count))
    return np.rint(colors[:, :3] * 255).astype(np.uint8)


def depth_range(images: Sequence[NDArray]) -> tuple[float, float]:
    """Depths between which colors tell something, meters.

    Args:
        images: Depth images (H, W) of an episode, 0 where nothing was measured.
    """
    measured = np.concatenate([image[image > 0] for image in images])
    if not measured.size:
        return 0.0, 1.0
    near, far = np.percentile(measured, [1, 99])
    return float(near), float(min(far, BACKGROUND * near))
