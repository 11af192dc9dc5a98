"""The scenes of Gymnasium-Robotics' Adroit hand, with the cameras and frames of the DP3 benchmark."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.coordinate_frames import Frame, world_frame
from lerobot_sdm.envs.hand_task import HandTask
from lerobot_sdm.envs.options import Corner

if TYPE_CHECKING:
    import mujoco

TOP_ANGLE = 3.14
"""Angle by which DP3 rotates its camera `top` about z, radians."""

FAR = 10.0

ARM = ("vive_tracker", "forearm")
HAND = (
    *("wrist", "palm", "lfmetacarpal", "thbase", "thproximal", "thhub", "thmiddle", "thdistal"),
    *(f"{finger}{link}" for finger in ("ff", "mf", "rf", "lf") for link in ("knuckle", "proximal", "middle", "distal")),
)
SCENERY = ("world", "table")
CONTROLLER_GAINS = {("A_WRJ1", "A_WRJ0"): 10.0, ("A_FFJ3", "A_THJ0"): 1.0}
"""First and last actuator of wrist and fingers, and the gains that all Adroit environments give them."""


def above(height: float, origin_height: float) -> tuple[Corner, Corner]:
    """A box that excludes everything below a height, given the height of the frame's origin; unbounded elsewhere."""
    return (-FAR, -FAR, height - origin_height), (FAR, FAR, FAR)


class AdroitTask(HandTask):
    """A task of the 24-joint hand on its arm."""

    scene: ClassVar[str]
    cameras = ("fixed", "vil_camera")
    human_camera = "vil_camera"

    def spec(self) -> "mujoco.MjSpec":
        import mujoco

        # Importing the package would register all of its environments.
        package = Path(importlib.util.find_spec("gymnasium_robotics").origin).parent
        return mujoco.MjSpec.from_file(str(package / "envs/assets/adroit_hand" / self.scene))

    def make_model(self) -> "mujoco.MjModel":
        model = super().make_model()
        for (first, last), gain in CONTROLLER_GAINS.items():
            joints = slice(model.actuator(first).id, model.actuator(last).id + 1)
            model.actuator_gainprm[joints, :3] = [gain, 0, 0]
            model.actuator_biasprm[joints, :3] = [0, -gain, 0]
        return model


class SeenFromAbove(AdroitTask):
    """A task that DP3 sees from straight above.

    Its frame is the camera's, shifted by a meter along z: DP3 rotates the cloud by the pose of another camera and
    then by that pose's inverse, and ignores the camera's position.
    """

    cameras = (*AdroitTask.cameras, "top")
    camera = "top"
    camera_height: ClassVar[float]

    def spec(self) -> "mujoco.MjSpec":
        spec = super().spec()
        half = TOP_ANGLE / 2
        spec.worldbody.add_camera(name="top", pos=[0, 0, self.camera_height], quat=[np.cos(half), 0, 0, np.sin(half)])
        return spec

    def frame(self, name: str) -> Frame:
        from lerobot_sdm.clouds.geometry import rotation_z

        if name == "world":
            return world_frame(self.crops[name])
        turn = rotation_z(TOP_ANGLE).T
        shift = np.array([0, 0, 1 - self.camera_height])
        return Frame(rotation=turn, translation=shift, crop=self.crops[name], pixel_offset=0.0)


class SeenAtAnAngle(AdroitTask):
    """A task whose legacy frame is the world's, with the camera at the origin."""

    camera_position: ClassVar[tuple[float, float, float]]

    def frame(self, name: str) -> Frame:
        if name == "world":
            return world_frame(self.crops[name])
        return Frame(np.eye(3), -np.array(self.camera_position), self.crops[name], pixel_offset=0.0)


def angles_of(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) intrinsic x-y-z Euler angles of a quaternion (w, x, y, z)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(quaternion, scalar_first=True).as_euler("XYZ")


def quaternion_of(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) quaternion (w, x, y, z) of intrinsic x-y-z Euler angles."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("XYZ", angles).as_quat(scalar_first=True)


def direction(tip: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors (..., 3) from one end of a stick to its tip."""
    along = tip - end
    return along / np.linalg.norm(along, axis=-1, keepdims=True)
