"""Colors and viewpoints of clouds, shared by Rerun and the contact sheet."""

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
# Depths beyond this multiple of the nearest depth are background, and get no colors of their own.
BACKGROUND = 3.0


@dataclass(frozen=True)
class Scene:
    """Extent and viewpoint of an episode's points.

    Attributes:
        low: (3,) meters; all but a few points are above.
        high: (3,) meters; all but a few points are below.
        unit_colors: Whether colors are 0 to 1 instead of 0 to 255.
        viewpoint: (3,) position of the camera, meters; None if unknown.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    unit_colors: bool
    viewpoint: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, clouds: Sequence[NDArray], viewpoint: NDArray[np.float64] | None = None) -> "Scene":
        """The scene of an episode's clouds (N, C), without outliers and padding."""
        points = np.concatenate([without_padding(cloud) for cloud in clouds]) if clouds else np.zeros((0, 3))
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) == 0:
            points = np.array([[-0.5] * 3, [0.5] * 3])
        xyz = points[:, :3].astype(np.float64)
        low, high = np.percentile(xyz, [0.5, 99.5], axis=0)
        # Keep points near the bulk; single outliers would shrink everything else to a dot.
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

        Toward the camera if it is known and not straight above. Otherwise, clouds in the frame of a camera or robot
        are seen from the side of the origin, where that camera or robot is, and clouds around their origin are seen
        from a corner.
        """
        if self.viewpoint is not None:
            direction = (self.viewpoint - self.center) / max(np.linalg.norm(self.viewpoint - self.center), 1e-9)
            # Seen straight from above, right and left would be undefined.
            if 0 <= direction[2] < 0.98:
                return direction
        away = -self.center * [1, 1, 0]
        outside = np.any((self.low[:2] > 0) | (self.high[:2] < 0))
        toward = away / np.linalg.norm(away) if outside else np.array([-0.6, -0.8, 0.0])
        # A slightly rotated view shows more than the front alone.
        turn = np.deg2rad(25)
        x, y, _ = toward
        turned = np.array([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), 0.55])
        return turned / np.linalg.norm(turned)

    def project(self, points: NDArray) -> tuple[NDArray, NDArray]:
        """Project points (n, 3) orthographically to the viewer's image plane.

        Returns:
            Right and up (n, 2), and how near (n,), all in meters from the center.
        """
        toward = self.eye()
        right = np.cross([0, 0, 1], toward)
        right /= np.linalg.norm(right)
        relative = points - self.center
        return relative @ np.stack([right, np.cross(toward, right)], axis=1), relative @ toward

    def extent(self) -> str:
        """The bounds as text, useful for choosing a crop."""
        bounds = zip("xyz", self.low, self.high, strict=True)
        return ", ".join(f"{name} {low:.2f} to {high:.2f}" for name, low, high in bounds) + " m"

    def inside(self, points: NDArray) -> NDArray[np.float64]:
        """(m, 3) the points of (n, 3) inside the scene, without padding."""
        points = points[points.any(axis=1)].astype(np.float64)
        return points[((points >= self.low) & (points <= self.high)).all(axis=1)]

    def corners(self) -> NDArray[np.float64]:
        """(8, 3) corners of the box around the scene."""
        return np.array(np.meshgrid(*zip(self.low, self.high, strict=True))).reshape(3, 8).T

    def colors(self, points: NDArray) -> NDArray[np.uint8]:
        """(n, 3) colors of points (n, C >= 3): their own if they have any, else by height."""
        if points.shape[1] == 6:
            return np.clip(np.rint(points[:, 3:] * (255 if self.unit_colors else 1)), 0, 255).astype(np.uint8)
        height = (points[:, 2] - self.low[2]) / max(self.high[2] - self.low[2], 1e-6)
        return (matplotlib.colormaps[HEIGHT_MAP](np.clip(height, 0, 1))[:, :3] * 255).astype(np.uint8)


def line_colors(count: int) -> NDArray[np.uint8]:
    """(count, 3) colors for curves in one plot, easy to tell apart if there are few."""
    colors = LINE_MAP(np.arange(count)) if count <= LINE_MAP.N else MANY_LINES_MAP(np.linspace(0, 1, count))
    return np.rint(colors[:, :3] * 255).astype(np.uint8)


def depth_range(images: Sequence[NDArray]) -> tuple[float, float]:
    """The range of the color map, meters, for depth images (H, W), 0 where nothing was measured."""
    measured = np.concatenate([image[image > 0] for image in images])
    if not measured.size:
        return 0.0, 1.0
    near, far = np.percentile(measured, [1, 99])
    return float(near), float(min(far, BACKGROUND * near))
