"""DexArt's cameras, frame, and subsampling of clouds. Independent of the physics engine."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.coordinate_frames import Frame, world_frame
from lerobot_sdm.envs.dexart.tasks import DexArtTask, Faucet, RuleSet
from lerobot_sdm.envs.options import CloudOptions, Corner

OBSERVER, HUMAN = "instance_1", "viewer"
FIELD_OF_VIEW = 69.4
JITTER_POSITION, JITTER_ANGLE = 0.015, 0.05
"""Standard deviations of the camera's pose from episode to episode, meters and radians, at DexArt's noise level."""

SAMPLINGS = ("random", "fps")
VIEW_SAMPLINGS = {"workspace": "fps", "dp3": "random"}


def views(rules: RuleSet) -> dict[str, CloudOptions]:
    """The views by name, as `--env.view`. See docs/views.md for what each shows.

    Args:
        rules: Sets the view `dp3`'s numbers of points and pixels to those of DexArt or DP3.
    """
    dp3 = CloudOptions(
        num_points=rules.num_points, camera=OBSERVER, camera_size=rules.camera_size, frame="legacy", show_goal=False
    )
    return {"workspace": replace(dp3, num_points=256, camera_size=128, show_arm=False), "dp3": dp3}


def looking(position: Corner, forward: Corner, right: Corner) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A camera's position (3,) and axes (3, 3) in MuJoCo's convention: columns right, up, backward.

    Args:
        position: Meters, world.
        forward: Viewing direction.
        right: Right direction of the image; made perpendicular to `forward`.
    """
    ahead = np.array(forward) / np.linalg.norm(forward)
    across = np.array(right) - (np.array(right) @ ahead) * ahead
    across /= np.linalg.norm(across)
    return np.array(position), np.column_stack([across, np.cross(across, ahead), -ahead])


def observer(task: type[DexArtTask]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """DexArt's camera of a task: beside the robot's left for the faucet, level across the table for the others."""
    if task is Faucet:
        return looking((-0.3, 0.6, 0.4), (0.16, -0.7, -0.35), (-1.5, -2.0, 0.0))
    return looking((0.0, 1.0, 0.5), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0))


def human_viewer(task: type[DexArtTask]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A camera for human viewers: over the far left corner, looking back at robot and object."""
    return looking((0.65, 0.75, 0.75 + task.root_height / 2), (-0.85, -0.8, -0.6), (-0.8, 0.85, 0.0))


def jittered(
    position: NDArray[np.float64], axes: NDArray[np.float64], amount: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A camera's pose in one episode: the nominal pose, slightly moved and rotated about its own axes.

    Clouds use the true pose, so only the viewpoint varies, as in DexArt.
    """
    from lerobot_sdm.clouds.geometry import rotation_x, rotation_y, rotation_z

    moved = position + rng.normal(0, JITTER_POSITION, 3) * amount
    x, y, z = rng.normal(0, JITTER_ANGLE, 3) * amount
    return moved, axes @ rotation_z(z) @ rotation_y(y) @ rotation_x(x)


def robot_frame(task: DexArtTask, name: str) -> Frame:
    """Coordinates of clouds: `legacy`, which is the base of the robot, or `world`."""
    low, high = (np.array(corner) for corner in task.crop)
    if name == "world":
        base = task.robot_position
        return world_frame((tuple(low + base), tuple(high + base)))
    return Frame(np.eye(3), -task.robot_position, task.crop, pixel_offset=0.5)


def noisy_sample(
    points: NDArray[np.float32], count: int, noise: float, sampling: str, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Subsample points to a cloud as DexArt does.

    Args:
        points: (n, 3 or 6).
        count: Rows of the result.
        noise: Relative standard deviation by which each point is scaled away from the origin.
        sampling: `random`, without order, or `fps`, farthest points first.
        rng: Random generator.

    Returns:
        (count, C). A cloud with too few points is filled up with copies of its first one, an empty one is zeros.
    """
    from lerobot_sdm.clouds.fps import farthest_point_sampling

    if not len(points):
        return np.zeros((count, points.shape[1]), dtype=np.float32)
    keep = min(count, len(points))
    order = rng.permutation(len(points))[:keep] if sampling == "random" else farthest_point_sampling(points, keep)
    cloud = points[np.concatenate([order, np.full(count - keep, order[0])])].astype(np.float32)
    cloud[:, :3] *= (1 + rng.normal(0, noise, (count, 1))).astype(np.float32)
    return cloud
