"""Facts about published demonstration stores that the stores do not contain: rates, frames, cameras, crops."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.options import PAPERS_VIEW, described_view
from lerobot_sdm.errors import InputError, check_known


@dataclass(frozen=True)
class Layout:
    """A family of stores written by the same script.

    Attributes:
        arrays: Array of the family's stores -> its shape without the rows.
        fps: Frames per second; None if each recording has its own.
        task: Description of the task; None to use the store's name.
        frame: Coordinate frame of the cloud.
        camera: The camera that made the cloud.
        crop: Box that the cloud was cropped to, in its frame, in meters.
        mapping: `NAME=COLUMN` or `NAME[a:b]=COLUMN`, where the array names are misleading.
        shown_by: Type and task of the environment whose view `dp3` shows the same; None if there is none.
        notes: Other facts a user must know.
        guessed: Whether the family can be recognized by its arrays.
    """

    arrays: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fps: int | None = None
    task: str | None = None
    frame: str | None = None
    camera: str | None = None
    crop: str | None = None
    mapping: tuple[str, ...] = ()
    shown_by: tuple[str, str] | None = None
    notes: str | None = None
    guessed: bool = True

    def view(self, points: int) -> dict[str, Any] | None:
        """The view that makes this family's clouds of `points` points, as datasets store it; None if it is unknown."""
        if self.shown_by is None:
            return None
        env_type, task = self.shown_by
        options = replace(FAMILIES[env_type].views(task)[PAPERS_VIEW], num_points=points)
        return {"env_type": env_type} | described_view(PAPERS_VIEW, options)


OTHER = "other"


def _adroit(task: str, actions: int, frame: str, camera: str, floor: float) -> Layout:
    return Layout(
        shown_by=("adroit", task),
        arrays={"state": (24,), "action": (actions,), "point_cloud": (512, 6)},
        fps=50,
        frame=frame,
        camera=f"{camera}, 84 x 84 pixels, fovy 45",
        crop=f"[[-10, -10, {floor}], [10, 10, 10]]",
        notes=(
            "The pictures are upside down relative to depth and cloud, as the original script wrote them. "
            "Each row is two simulator steps of 10 ms."
        ),
    )


def _adroit_top(height: float) -> str:
    return f"legacy DP3: world = Rz(3.14) (p - (0, 0, 1)) + (0, 0, {height})"


# Frames, cameras, and crops come from the generators in the DP3 repository, with the transforms that they really apply.
LAYOUTS: dict[str, Layout] = {
    "metaworld": Layout(
        arrays={"state": (9,), "full_state": (39,), "action": (4,)},
        fps=80,
        frame=(
            "legacy DP3: centered on the camera, gravity-aligned, turned by about -129.5 degrees about z; "
            "the env's frame=legacy"
        ),
        camera="corner2 at (0.6, 0.295, 0.8), 128 x 128 pixels, fovy 60",
        crop="[[-0.5, -1.5, -0.795], [1, -0.4, 100]]",
        # The views of MetaWorld's tasks differ only in the default view.
        shown_by=("metaworld_pc", "reach"),
        notes="Actions are what the scripted expert asked for, not clipped to [-1, 1].",
    ),
    "adroit-hammer": _adroit("hammer", 26, _adroit_top(1.1), "top", -0.099),
    "adroit-door": _adroit("door", 28, _adroit_top(1.5), "top", -0.499),
    "adroit-pen": _adroit("pen", 24, "legacy DP3: world = p + (0, -0.8, 0.8)", "vil_camera", -0.79),
    "dexart": Layout(
        arrays={"imagin_robot": (96, 7), "action": (22,)},
        fps=25,
        frame="base of the robot",
        shown_by=("dexart", "laptop"),
        camera="instance_1, 84 x 84 pixels, fovy 69.4, moved a little at every reset",
        crop=(
            "xmin, xmax, ymin, ymax, zmin, zmax: faucet 0.1, 2, -1, 1, 0.0047767, 0.4; bucket 0.1, 2, -2, 2, -0.29, "
            "0.4; laptop 0.1, 1, -1, 2, 0.0047767, 0.6; toilet 0.1, 2, -2, 2, -0.3, 0.8"
        ),
        notes="The last number of the state is the time step divided by the horizon.",
    ),
    "realdex": Layout(
        arrays={"point_cloud": (1024, 6)},
        frame="the L515 camera's, turned by a fixed rotation; the translation of the original script had no effect",
        camera="Intel RealSense L515; pictures and depth scaled to 84 x 84 pixels",
        crop="[[0.65, 0.45, -0.7], [1.1, 0.66, 0]]",
        guessed=False,
    ),
    "pusht": Layout(
        arrays={"state": (5,), "keypoint": (9, 2), "action": (2,)},
        fps=10,
        task="Push the T-shaped block onto the target",
        # A robot knows only the pusher's position; the block's pose stays in the dataset as another column.
        mapping=("state[:2]=observation.state", "state=full_state"),
        notes=(
            "observation.state is the pusher's position (x, y) in pixels of a 512 x 512 table; full_state adds the "
            "block's position and angle (radians)."
        ),
    ),
    "robotwin": Layout(
        fps=17,
        frame="world: meters, z up, origin on the floor below the middle of the table, whose top is at z = 0.74",
        camera="the head camera of the task's configuration, D435 unless it says otherwise",
        crop="[[-0.6, -0.35, 0.7401], [0.6, 0.35, 2]] where the task's configuration says pcd_crop",
        notes=(
            "Each action is the joint vector of the next frame: left arm, left gripper, right arm, right gripper. "
            "Frames are 15 simulator steps of 4 ms apart unless save_freq says otherwise: 16.7 a second, and LeRobot "
            "takes whole numbers."
        ),
        guessed=False,
    ),
    OTHER: Layout(),
}


def find_layout(name: str | None, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The layout that a store follows.

    Args:
        name: The user's choice; None to guess from the arrays.
        shapes: Array -> shape without the rows.

    Raises:
        InputError: The name is unknown, or the store does not fit it.
    """
    if name is None:
        guessable = (key for key, layout in LAYOUTS.items() if layout.guessed)
        return next(key for key in guessable if LAYOUTS[key].arrays.items() <= shapes.items())
    check_known("--layout", name, LAYOUTS)
    for array, expected in LAYOUTS[name].arrays.items():
        if shapes.get(array) != expected:
            has = f"has shape {shapes[array]}" if array in shapes else "is missing"
            raise InputError(
                f"--layout={name}: expects data/{array} with shape {expected}, which {has}. Drop the option."
            )
    return name
