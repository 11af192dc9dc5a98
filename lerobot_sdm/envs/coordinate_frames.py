"""Coordinate frames of point clouds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.options import Corner


@dataclass(frozen=True, eq=False)
class Frame:
    """A coordinate frame and its default crop box.

    Args:
        rotation: (3, 3) world to frame.
        translation: (3,) meters, added after rotating.
        crop: Default box in this frame.
        pixel_offset: Position within a pixel where its point is assumed, see `clouds.geometry.pixel_rays`.
        origin: Body whose position is taken from points after they were cropped, in a frame with the world's axes; None
            for a frame that stands still.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    crop: tuple[Corner, Corner]
    pixel_offset: float
    origin: str | None = None


def world_frame(crop: tuple[Corner, Corner], origin: str | None = None) -> Frame:
    """MuJoCo's own frame, meters, z up, with points where the renderer sampled them; or one that moves with a body."""
    return Frame(rotation=np.eye(3), translation=np.zeros(3), crop=crop, pixel_offset=0.5, origin=origin)
