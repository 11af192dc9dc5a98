"""DexArt's official asset folder: robot, PartNet-Mobility objects and annotations, read and checked."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.dexart.objects import ArticulatedObject
from lerobot_sdm.envs.dexart.robot import ACTIVE_JOINTS, LINKS
from lerobot_sdm.envs.dexart.stand_ins import ARMATURE, DAMPING, STIFF
from lerobot_sdm.envs.dexart.state import HandleRange
from lerobot_sdm.envs.dexart.urdf import KEY, VISUAL_GROUP, parse_urdf, read_urdf
from lerobot_sdm.errors import InputError

if TYPE_CHECKING:
    import mujoco

ROBOT_NAME = "allegro_hand_xarm6_wrist_mounted_face_front"
ROBOT_FILE = Path("robot/xarm6_description/xarm6_allegro_wrist_mounted_rotate.urdf")

# Densities of handle and rest, friction torque as for the stand-ins, and the yaw before randomization.
DENSITIES = {"laptop": (500, 500), "faucet": (7800, 7800), "bucket": (100, 7800), "toilet": (50, 50)}
FRICTION = {"laptop": 0.8, "faucet": 0.3, "bucket": 0.0, "toilet": 0.8}
YAW = {"laptop": 0.0, "faucet": 0.0, "bucket": np.pi, "toilet": -np.pi / 2}
HINGE_NAMES = {"faucet": "switch", "bucket": "handle", "laptop": None}


class OfficialAssets:
    """The folder that DexArt calls `assets`, for one task.

    Raises:
        InputError: The folder is missing, holds another robot, or an annotation is missing or malformed.
    """

    label = "official"

    def __init__(self, folder: Path, task: str):
        if not folder.is_dir():
            raise InputError(f"{KEY}={folder}: is no folder. Give the unpacked `assets` folder of DexArt.")
        missing = [name for name in ("robot", "sapien", "annotation") if not (folder / name).is_dir()]
        if missing:
            raise InputError(
                f"{KEY}={folder}: lacks {' and '.join(missing)}. Unpack the whole archive, and give `assets`."
            )
        self.folder, self.task = folder, task
        if missing := _missing((*LINKS, *ACTIVE_JOINTS), folder / ROBOT_FILE):
            raise InputError(
                f"{KEY}: '{folder / ROBOT_FILE}' is another robot: it has no {', '.join(missing[:3])}. "
                "Give DexArt's own `assets` folder."
            )
        self._scales = self._annotation(f"{task}_scale.json")
        self._offsets = self._annotation(f"{task}_{ROBOT_NAME}_relative_position.json")
        self._angles = {} if task == "faucet" else self._annotation(f"{task}_joint_annotation.json")
        self._lids = self._toilet_lids() if task == "toilet" else {}

    def check(self, names: tuple[str, ...]) -> None:
        """Refuse objects whose files or annotations are not there."""
        for name in names:
            for file in (self._object(name) / "mobility.urdf", self._object(name) / "mobility_v2.json"):
                if not file.is_file():
                    raise InputError(f"{KEY}: '{file}' of object {name} is missing. Leave {name} out of objects.")
            if _missing([hinge := self._hinge(name)], self._object(name) / "mobility.urdf"):
                raise InputError(f"{KEY}: object {name} has no joint '{hinge}'. Leave {name} out of objects.")
            self._scale(name)
            self._offset(name)
            self._range(name)

    def robot(self) -> "mujoco.MjSpec":
        return read_urdf(self.folder / ROBOT_FILE)

    def thing(self, name: str) -> ArticulatedObject:
        """An object with its hinge free, all other joints locked."""
        spec = read_urdf(self._object(name) / "mobility.urdf", self._scale(name))
        joint_name = self._hinge(name)
        (hinge,) = (joint for joint in spec.joints if joint.name == joint_name)
        if len(spec.worldbody.bodies) != 1:
            raise InputError(f"{KEY}: object {name} has no single root. Leave {name} out of objects.")
        for joint in list(spec.joints):
            if joint.name != joint_name:
                joint.delete()
        handle_density, rest_density = DENSITIES[self.task]
        handle, root = hinge.parent, spec.worldbody.bodies[0]
        for body in spec.bodies:
            for geom in body.geoms:
                density = handle_density if body.name == handle.name else rest_density
                geom.density = 0.0 if geom.group == VISUAL_GROUP else density
        root.name, handle.name, hinge.name = "object", "handle", "handle"
        hinge.frictionloss, hinge.damping, hinge.armature = FRICTION[self.task], DAMPING, ARMATURE
        hinge.solimp_friction = STIFF
        found = self._range(name) or HandleRange(0.0, float(hinge.range[1]))
        handle.add_site(name="handle", pos=_handle_point(spec, self.task, found.left))
        return ArticulatedObject(spec, found, self._offset(name), YAW[self.task], free=self.task == "bucket")

    def _object(self, name: str) -> Path:
        return self.folder / "sapien" / (f"{name}_thick_handle" if self.task == "bucket" else name)

    def _annotation_text(self, path: Path) -> str:
        if not path.is_file():
            raise InputError(f"{KEY}: annotation '{path}' is missing. Unpack the whole archive.")
        try:
            return path.read_text()
        except UnicodeDecodeError as error:
            raise InputError(f"{KEY}: annotation '{path}' is not text ({error}).") from error

    def _annotation(self, file: str) -> dict[str, Any]:
        path = self.folder / "annotation" / file
        try:
            content = json.loads(self._annotation_text(path))
        except json.JSONDecodeError as error:
            raise InputError(f"{KEY}: annotation '{path}' is not JSON ({error}).") from error
        if not isinstance(content, dict):
            raise InputError(f"{KEY}: annotation '{path}' must map object ids to values.")
        return {str(name): value for name, value in content.items()}

    def _scale(self, name: str) -> float:
        value = self._scales.get(name)
        if not isinstance(value, int | float) or not np.isfinite(value) or value <= 0:
            raise InputError(
                f"{KEY}: the scale of object {name} is {value!r} in the annotations, not a number above 0."
            )
        return float(value)

    def _offset(self, name: str) -> NDArray[np.float64]:
        try:
            offset = np.array(self._offsets[name], dtype=np.float64)
            good = offset.shape == (3,) and np.isfinite(offset).all()
        except (KeyError, TypeError, ValueError):
            good = False
        if not good:
            raise InputError(f"{KEY}: the relative position of object {name} is not a triple of numbers.")
        return offset

    def _range(self, name: str) -> HandleRange | None:
        if self.task == "faucet":
            return None
        try:
            entry = self._angles[name]
            return HandleRange(float(entry["left"]), float(entry["middle"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{KEY}: the joint annotation of object {name} lacks numbers `left` and `middle`."
            ) from error

    def _hinge(self, name: str) -> str:
        """The name of the object's joint for the task."""
        if self.task == "toilet":
            if name not in self._lids:
                raise InputError(f"{KEY}: toilet_joint.txt has no row for object {name}.")
            return self._lids[name]
        path, wanted = self._object(name) / "mobility_v2.json", HINGE_NAMES[self.task]
        try:
            parts = json.loads(path.read_text())
            hinges = [part["id"] for part in parts if part["joint"] == "hinge" and wanted in (None, part["name"])]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{KEY}: '{path}' is not a list of parts with id, joint and name.") from error
        if not hinges:
            raise InputError(f"{KEY}: '{path}' has no hinge" + (f" named '{wanted}'." if wanted else "."))
        return f"joint_{hinges[-1]}"

    def _toilet_lids(self) -> dict[str, str]:
        """Object -> joint of its lid, from rows of id, joint, lid, body and maybe seat below a header."""
        path = self.folder / "annotation" / "toilet_joint.txt"
        rows = [line.split() for line in self._annotation_text(path).splitlines()[1:] if line.strip()]
        if any(len(row) < 4 for row in rows):
            raise InputError(f"{KEY}: '{path}' needs rows of object, lid's joint, lid's link and body's link.")
        return {row[0]: row[1] if row[1].startswith("joint") else f"joint_{row[1]}" for row in rows}


def _missing(names: Iterable[str], urdf: Path) -> list[str]:
    """Which of these links and moving joints a URDF file does not have."""
    root = parse_urdf(urdf)
    found = {link.get("name") for link in root.iter("link")}
    found |= {joint.get("name") for joint in root.iter("joint") if joint.get("type") != "fixed"}
    return [name for name in names if name not in found]


def _handle_point(spec: "mujoco.MjSpec", task: str, angle: float) -> NDArray[np.float64]:
    """(3,) where the palm should go, in the handle's frame, from the vertices of its collision shapes."""
    import mujoco

    if task == "faucet":
        return np.zeros(3)
    model = spec.copy().compile()
    data = mujoco.MjData(model)
    data.qpos[:] = angle
    mujoco.mj_kinematics(model, data)
    body = model.body("handle").id
    vertices = []
    for geom in np.flatnonzero((model.geom_bodyid == body) & (model.geom_group != VISUAL_GROUP)):
        corners = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T * model.geom_aabb[geom, 3:]
        corners += model.geom_aabb[geom, :3]
        mesh = model.geom_dataid[geom]
        if mesh >= 0:
            first = model.mesh_vertadr[mesh]
            corners = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        vertices.append(corners @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    points = np.vstack(vertices)
    extreme = points[points[:, 0 if task == "toilet" else 2].argmax()]
    place = np.array([extreme[0], points[:, 1].mean(), extreme[2]])
    return data.xmat[body].reshape(3, 3).T @ (place - data.xpos[body])
