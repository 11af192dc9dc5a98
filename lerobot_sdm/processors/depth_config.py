"""Settings of depth cameras for converting their images to a point cloud, validated before anything runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import draccus
import numpy as np
import yaml
from draccus.parsers.decoding import decode_dataclass

from lerobot_sdm.errors import InputError, check_known

CONVENTIONS = ("opencv", "opengl")

Corner = tuple[float, float, float]
Row = tuple[float, float, float, float]
Matrix = tuple[Row, Row, Row, Row]

# A camera in a robot cell is closer than this to the robot's base; a distance in millimeters read as meters is not.
FARTHEST_CAMERA = 20.0
IDENTITY: Matrix = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


@dataclass(frozen=True)
class DepthCamera:
    """One calibrated depth camera that is fixed in the frame of the cloud.

    Args:
        depth_key: Observation with its depth image; LeRobot's robots call it `observation.images.<camera>_depth`.
        width: Columns of the depth image that the intrinsics are for.
        height: Rows of this image.
        intrinsics: fx, fy, cx, cy of the depth stream, in pixels; the center of pixel (0, 0) is at 0, 0.
        extrinsics: 4x4 transform from the camera to the frame of the cloud (usually the robot's base), meters.
        convention: Camera axes of the extrinsics: `opencv` (x right, y down, z forward), as in calibration tools and
            camera drivers; or `opengl` (x right, y up, z backward), as in MuJoCo and Blender.
        depth_scale: Meters per unit of the depth image. LeRobot returns a RealSense's raw counts: 0.001 for most
            models, 0.0001 for a D405, 0.00025 for an L515; 1 for meters.
        near: Depths below this, in meters, are invalid. So are 0, NaN and infinity.
        far: Depths above this, in meters, are invalid.
        stride: Use every stride-th row and column of the depth image.
        color_key: Observation with a color image for the points; None for points without color.
        color_intrinsics: fx, fy, cx, cy of the color image. None: the color image is aligned, pixel by pixel,
            to the depth image.
        depth_to_color: 4x4 transform from the depth camera to the color camera, both in OpenCV axes, meters.

    Raises:
        InputError: A value is invalid.
    """

    depth_key: str
    width: int
    height: int
    intrinsics: Row
    extrinsics: Matrix
    convention: str = "opencv"
    depth_scale: float = 0.001
    near: float = 0.05
    far: float = 5.0
    stride: int = 1
    color_key: str | None = None
    color_intrinsics: Row | None = None
    depth_to_color: Matrix = IDENTITY

    def __post_init__(self) -> None:
        for name in ("width", "height", "stride"):
            if getattr(self, name) < 1:
                raise self._wrong(name, "give a whole number of at least 1")
        self._check_intrinsics("intrinsics")
        if self.color_intrinsics is not None:
            self._check_intrinsics("color_intrinsics")
        self._check_pose("extrinsics")
        self._check_pose("depth_to_color")
        check_known(f"{self.depth_key}: convention", self.convention, CONVENTIONS)
        if not (np.isfinite(self.depth_scale) and self.depth_scale > 0):
            raise self._wrong("depth_scale", "give the meters in one unit: 0.001 for millimeters, 1 for meters")
        if not 0 <= self.near < self.far:
            raise InputError(f"{self.depth_key}: near={self.near}, far={self.far}: give meters with 0 <= near < far.")

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) float64, camera to cloud."""
        return np.array(self.extrinsics, dtype=np.float64)

    def _check_intrinsics(self, name: str) -> None:
        fx, fy, *_ = values = getattr(self, name)
        if not np.isfinite(values).all() or fx <= 0 or fy <= 0:
            raise self._wrong(name, "give [fx, fy, cx, cy] in pixels, both focal lengths above 0")

    def _check_pose(self, name: str) -> None:
        matrix = np.array(getattr(self, name), dtype=np.float64)
        rotation = matrix[:3, :3]
        if not np.isfinite(matrix).all() or not np.array_equal(matrix[3], [0, 0, 0, 1]):
            raise self._wrong(name, "give four rows, each of four finite numbers, the last of them [0, 0, 0, 1]")
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
            raise self._wrong(name, "its upper left 3x3 is no rotation (rows must be orthogonal unit vectors)")
        if np.linalg.det(rotation) < 0:
            raise self._wrong(name, "its upper left 3x3 mirrors, so it is no rotation; one axis has the wrong sign")
        if np.abs(matrix[:3, 3]).max() > FARTHEST_CAMERA:
            raise self._wrong(name, f"a camera more than {FARTHEST_CAMERA:g} m away: are these millimeters?")

    def _wrong(self, name: str, remedy: str) -> InputError:
        return InputError(f"{self.depth_key}: {name}={getattr(self, name)}: {remedy}.")


@dataclass(frozen=True)
class DepthToCloudConfig:
    """Settings for converting the depth images of one or more cameras to one cloud.

    On a command line, give a YAML or JSON file with these fields, or single fields. `docs/depth_cameras.md` shows a
    file and explains where its numbers come from.

    Args:
        cameras: The cameras; their points are merged before sampling.
        crop: Lowest and highest corner of the box whose points are kept, in the frame of the cloud, meters. None
            keeps everything between `near` and `far`.
        num_points: Rows of the cloud. More points are subsampled by farthest point sampling, fewer are padded with
            rows of zeros.

    Raises:
        InputError: A value is invalid.
    """

    cameras: tuple[DepthCamera, ...]
    crop: tuple[Corner, Corner] | None = None
    num_points: int = 1024

    def __post_init__(self) -> None:
        if not self.cameras:
            raise InputError("depth_to_cloud: cameras=[]: give at least one camera.")
        keys = [camera.depth_key for camera in self.cameras]
        if len(set(keys)) < len(keys):
            raise InputError(f"depth_to_cloud: depth_key: the same image twice in {keys}.")
        colored = [camera.depth_key for camera in self.cameras if camera.color_key is not None]
        if colored and len(colored) < len(keys):
            raise InputError(f"depth_to_cloud: color_key: given for {colored}, not for all of {keys}.")
        if self.crop is not None and not np.all(np.array(self.crop[0]) < np.array(self.crop[1])):
            raise InputError(
                f"depth_to_cloud: crop={self.crop}: give [[xmin, ymin, zmin], [xmax, ymax, zmax]] in meters, each "
                "minimum below its maximum."
            )
        if self.num_points < 1:
            raise InputError(f"depth_to_cloud: num_points={self.num_points}: give at least 1.")

    @property
    def channels(self) -> int:
        """Columns of the cloud: 3, or 6 with color."""
        return 3 if self.cameras[0].color_key is None else 6

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check that a dataset or robot provides the required images, by observation and shape, channels first or last.

        Raises:
            InputError: An image is missing, or its size is not that of the intrinsics.
        """
        for camera in self.cameras:
            for key in filter(None, (camera.depth_key, camera.color_key)):
                check_known("depth_to_cloud: image", key, shapes)
            size = camera.height, camera.width
            shape = tuple(shapes[camera.depth_key])
            if shape not in ((1, *size), (*size, 1), size):
                raise InputError(
                    f"'{camera.depth_key}': its shape is {shape}, the intrinsics are for one channel of "
                    f"{camera.height} rows and {camera.width} columns. Give the intrinsics of this image size."
                )

    def statistics(self) -> dict[str, np.ndarray]:
        """Range of all possible clouds: that of the crop, and 0 to 255 for colors.

        Raises:
            InputError: No crop is configured, or it is open on a side.
        """
        if self.crop is None:
            raise InputError(
                "depth_to_cloud: crop: is needed to train on depth images themselves, since it says how clouds are "
                "normalized. Give a crop, or make a dataset of clouds first (examples/depth_to_clouds.py)."
            )
        if not np.isfinite(self.crop).all():
            raise InputError(
                f"depth_to_cloud: crop={self.crop}: must be finite to train on depth images themselves, since it says "
                "how clouds are normalized. Give finite corners."
            )
        color = np.array([[0.0] * 3, [255.0] * 3])[:, : self.channels - 3]
        low, high = np.hstack([np.array(self.crop, dtype=np.float64), color])
        # Of a uniform distribution, for normalization by mean and standard deviation.
        return {"min": low, "max": high, "mean": (low + high) / 2, "std": (high - low) / np.sqrt(12)}


def read_depth_config(path: Path | str) -> DepthToCloudConfig:
    """Read a YAML or JSON file with the fields of `DepthToCloudConfig`.

    Raises:
        InputError: The file does not exist, or its content is invalid.
    """
    try:
        fields = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: is no YAML or JSON file that can be read ({error}).") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path}: holds no fields such as 'cameras' and 'crop'.")
    return depth_config(fields, str(path))


def depth_config(fields: Mapping[str, Any], source: str = "depth_to_cloud") -> DepthToCloudConfig:
    """Build a configuration from plain values, as in JSON; messages name their source.

    Raises:
        InputError: A field is unknown or missing, or its type or value is invalid.
    """
    try:
        # Convert through JSON, so that tuples, array scalars etc. have the types that they will have after loading.
        return decode_dataclass(DepthToCloudConfig, json.loads(json.dumps(dict(fields), default=draccus.encode)))
    except InputError:
        raise
    except (draccus.utils.DecodingError, TypeError, ValueError) as error:
        raise InputError(f"{source}: {str(error).strip()}") from error


@draccus.decode.register(DepthToCloudConfig)
def _decode(value: Any, path: Any = ()) -> DepthToCloudConfig:
    """Draccus decoder for options of this type: a file name or the fields themselves."""
    return read_depth_config(value) if isinstance(value, str) else depth_config(value, ".".join(path))
