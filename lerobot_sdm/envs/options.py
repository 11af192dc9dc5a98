"""User options for an environment's point cloud, checked before anything is built."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from lerobot_sdm.errors import InputError, check_known

FIXED_FRAMES = ("legacy", "world")
FRAMES = (*FIXED_FRAMES, "hand")
"""Frames that every environment has, and all frames."""

DEFAULT_VIEW, PAPERS_VIEW = "workspace", "dp3"
"""Names of the view made for learning and of the DP3 demonstrations' view, in every family."""

RENDERERS = ("auto", "egl", "raycast")

Corner = tuple[float, float, float]


@dataclass(frozen=True)
class CloudOptions:
    """Options for turning a scene into a point cloud. A view is a named set of these options.

    Args:
        num_points: Rows of the cloud; larger clouds are subsampled, smaller ones padded with zeros.
        use_color: Whether each point carries r, g, b (0 to 255) after x, y, z.
        camera: Name of one of the scene's cameras.
        camera_size: Width and height of the depth image in pixels.
        frame: `legacy`, the camera-centered frame of the DP3 demonstrations; `world`; or `hand`, the world's axes with
            the robot's hand as origin, where an environment has it.
        crop: Two opposite corners, lowest first, in the chosen frame, for `hand` in that of the world; points strictly
            inside stay. None takes the default box of the frame.
        renderer: `egl` draws on the GPU or with Mesa, `raycast` needs no graphics at all, `auto` takes the
            first that works.
        show_goal: Whether the goal is drawn, as a ball, into clouds and images, inside the box or not. None draws
            it where nothing else in the scene shows it.
        show_markers: Whether the simulator's own markers of goals and parts are drawn.
        show_arm: Whether points on the robot's arm stay. False drops them from the image, as a real robot can that
            knows its own pose: the arm still hides what is behind it.

    Raises:
        InputError: For a value that cannot work.
    """

    num_points: int = 512
    use_color: bool = False
    camera: str = "corner2"
    camera_size: int = 128
    frame: str = "legacy"
    crop: tuple[Corner, Corner] | None = None
    renderer: str = "auto"
    show_goal: bool | None = None
    show_markers: bool = False
    show_arm: bool = True

    def __post_init__(self) -> None:
        check_known("frame", self.frame, FRAMES)
        check_known("renderer", self.renderer, RENDERERS)
        require_positive("num_points", self.num_points)
        require_positive("camera_size", self.camera_size)
        if self.crop is not None:
            object.__setattr__(self, "crop", _checked_crop(self.crop))

    @property
    def channels(self) -> int:
        """Columns of the cloud: 3, or 6 with color."""
        return 6 if self.use_color else 3


OPTION_NAMES = tuple(option.name for option in fields(CloudOptions))


def options_of_view(views: Mapping[str, CloudOptions], view: str, **given: Any) -> CloudOptions:
    """The options of a named view, with overrides.

    Args:
        views: The available views.
        view: Name of the view.
        given: Overrides; None keeps the view's value.

    Raises:
        InputError: The view is unknown, or a value is invalid.
    """
    check_known("view", view, views)
    given = {name: value for name, value in given.items() if value is not None}
    if _fixed(given.get("frame", views[view].frame)) != _fixed(views[view].frame):
        # The view's box is given in the view's frame.
        given.setdefault("crop", None)
    return replace(views[view], **given)


def _fixed(frame: str) -> str:
    """The frame that crop boxes refer to."""
    return "world" if frame == "hand" else frame


def described_view(view: str, options: CloudOptions) -> dict[str, Any]:
    """Description of how clouds are made, as stored with datasets and policies, JSON-compatible.

    Returns:
        `view`, its name, and all options that change what a cloud shows.
    """
    shown = {name: value for name, value in asdict(options).items() if name != "renderer"}
    return {"view": view, **shown, "crop": options.crop and [list(corner) for corner in options.crop]}


def view_sentence(view: Mapping[str, Any]) -> str:
    """A described view in words, for cards and messages; only its name if another version wrote it."""
    if not set(OPTION_NAMES) - {"renderer"} <= view.keys():
        return f"`{view.get('view', 'unknown')}`."
    box = "the frame's own" if view["crop"] is None else f"{view['crop'][0]} to {view['crop'][1]}"
    shown = [name for name in ("arm", "markers") if view[f"show_{name}"]]
    shown += ["the goal"] if view["show_goal"] else ["goals that nothing else shows"] * (view["show_goal"] is None)
    return (
        f"`{view['view']}`: {view['num_points']} points{' with color' if view['use_color'] else ''} from camera "
        f"`{view['camera']}` at {view['camera_size']} pixels, frame `{view['frame']}`, box {box}, "
        f"showing besides hand and objects: {', '.join(shown) or 'nothing'}."
    )


def require_positive(key: str, value: int) -> None:
    """Raise an InputError that names `key` unless `value` is an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{key}={value!r}: must be at least 1. Give a positive integer.")


def check_chunk(n_action_steps: int | None, n_obs_steps: int, pixels: bool) -> None:
    """Check the options that leave out clouds.

    Raises:
        InputError: A number is not positive, or images, which cannot be NaN, would have to be left out, too.
    """
    require_positive("n_obs_steps", n_obs_steps)
    if n_action_steps is not None:
        require_positive("n_action_steps", n_action_steps)
        if pixels:
            raise InputError(
                f"n_action_steps={n_action_steps}: leaves out clouds, but an image cannot be left out. Drop it, or "
                "pixels=true."
            )


def require_not_negative(key: str, value: float) -> None:
    """Raise an InputError that names `key` unless `value` is a finite number of at least 0."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise InputError(f"{key}={value!r}: must be at least 0. Give a finite number.")


def _checked_crop(crop) -> tuple[Corner, Corner]:
    try:
        low, high = (tuple(float(x) for x in corner) for corner in crop)
        fits = len(low) == len(high) == 3 and all(a < b for a, b in zip(low, high, strict=True))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise InputError(
            f"crop={crop!r}: give two corners, [[xmin, ymin, zmin], [xmax, ymax, zmax]], "
            "each minimum below its maximum."
        )
    return low, high
