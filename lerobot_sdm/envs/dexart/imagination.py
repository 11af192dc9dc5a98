"""DexArt's imagined robot: points on the hand from its joint angles, independent of the camera."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.coordinate_frames import Frame
from lerobot_sdm.envs.dexart.robot import LINKS, Shape

POINTS_PER_LINK = 8
IMAGINED_LINKS = (
    *(f"link_{number}.0_tip" for number in (3, 7, 11, 15)),
    *(f"link_{number}.0" for number in (3, 7, 11, 15)),
    *(f"link_{number}.0" for number in (2, 6, 10, 14)),
)
POINTS = POINTS_PER_LINK * len(IMAGINED_LINKS)
COLUMNS = 7
HAND_LABEL = (0.0, 0.0, 1.0, 0.0)
"""One of four columns that tell handle, body, hand and arm apart."""

MODES = ("none", "apart", "joined")


def template() -> dict[str, NDArray[np.float64]]:
    """Points (8, 3) on each link in its frame, meters; the same for every robot of these links.

    They lie on the hand's boxes and balls, which are the collision shapes of the published description.
    """
    rng = np.random.default_rng(0)
    return {name: _on_surface(LINKS[name].shapes[0], rng) for name in IMAGINED_LINKS}


def imagine(
    points: Mapping[str, NDArray[np.float64]],
    poses: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    frame: Frame,
) -> NDArray[np.float32]:
    """The imagined robot as an observation.

    Args:
        points: See `template`.
        poses: Link -> its rotation (3, 3) and position (3,) in the world.
        frame: That of the clouds.

    Returns:
        (96, 7) float32: x, y, z in the frame, and the label of the hand.
    """
    # Configurations take this module's constants, and must not bring compiled code along.
    from lerobot_sdm.clouds.geometry import transform

    placed = np.vstack([transform(points[name], *poses[name]) for name in IMAGINED_LINKS])
    labels = np.tile(HAND_LABEL, (len(placed), 1))
    return np.hstack([transform(placed, frame.rotation, frame.translation), labels]).astype(np.float32)


def _on_surface(shape: Shape, rng: np.random.Generator) -> NDArray[np.float64]:
    """Uniform points (8, 3) on a box or ball."""
    center = np.array(shape.position)
    if shape.kind == "sphere":
        directions = rng.normal(size=(POINTS_PER_LINK, 3))
        return center + shape.size[0] * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    edges = np.array(shape.size)
    areas = np.array([edges[1] * edges[2], edges[0] * edges[2], edges[0] * edges[1]])
    axes = rng.choice(3, POINTS_PER_LINK, p=areas / areas.sum())
    points = rng.uniform(-0.5, 0.5, (POINTS_PER_LINK, 3))
    points[np.arange(POINTS_PER_LINK), axes] = rng.choice([-0.5, 0.5], POINTS_PER_LINK)
    return center + points * edges
