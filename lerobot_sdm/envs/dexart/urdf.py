"""Read URDF files that MuJoCo refuses: repair what SAPIEN tolerates, and change nothing else."""

import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lerobot_sdm.errors import InputError

if TYPE_CHECKING:
    import mujoco

KEY = "--env.assets_dir"
"""The option whose folder holds the files, for messages."""

LEAST_INERTIA = 1e-7
VISUAL_GROUP, COLLISION_GROUP = 1, 3


def parse_urdf(path: Path) -> ElementTree.Element:
    """Parse a URDF file and make its mesh names, which are relative to it, absolute paths. Needs no physics engine.

    Raises:
        InputError: The file or a mesh is missing, or the file is not a URDF.
    """
    if not path.is_file():
        raise InputError(f"{KEY}: '{path}' is missing. The official assets must be unpacked whole.")
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"{KEY}: '{path}' is not an XML file ({error}). Unpack the assets again.") from error
    if root.tag != "robot":
        raise InputError(f"{KEY}: '{path}' is not a URDF: it begins with <{root.tag}>, not <robot>.")
    for mesh in root.iter("mesh"):
        file = (path.parent / mesh.get("filename", "").removeprefix("package://")).resolve()
        if not file.is_file():
            raise InputError(f"{KEY}: mesh '{mesh.get('filename')}' of '{path}' is missing (looked for {file}).")
        mesh.set("filename", str(file))
    return root


def read_urdf(path: Path, scale: float = 1.0) -> "mujoco.MjSpec":
    """Read a URDF file with its meshes.

    Of several `<inertial>` in a link the first counts; inertias that no solid can have become those of a ball of the
    same mass; visual shapes are seen and do not collide, collision shapes collide and are not seen.

    Args:
        path: The file.
        scale: Of all lengths.

    Raises:
        InputError: As there, or MuJoCo cannot compile it even so.
    """
    import mujoco

    root = parse_urdf(path)
    try:
        for link in root.iter("link"):
            _repair_inertia(link)
            for kind in ("visual", "collision"):
                for number, shape in enumerate(link.findall(kind)):
                    shape.set("name", f"{link.get('name')}/{kind}/{number}")
        if scale != 1.0:
            _scale(root, scale)
        _say_how_to_compile(root)
        spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
        _tell_apart(spec)
        spec.copy().compile()
    except (ValueError, mujoco.FatalError) as error:
        raise InputError(
            f"{KEY}: MuJoCo cannot compile '{path}', even repaired: {str(error).strip()}. Unpack the assets again."
        ) from error
    return spec


def _repair_inertia(link: ElementTree.Element) -> None:
    """Keep one `<inertial>`, and make its matrix one that a body can have."""
    entries = link.findall("inertial")
    for repeated in entries[1:]:
        link.remove(repeated)
    if not entries:
        return
    mass, inertia = entries[0].find("mass"), entries[0].find("inertia")
    if mass is None or inertia is None:
        link.remove(entries[0])
        return
    xx, yy, zz, xy, xz, yz = (float(inertia.get(name, 0)) for name in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"))
    principal = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    if principal[0] > 0 and principal[0] + principal[1] >= principal[2]:
        return
    ball = max(LEAST_INERTIA, (xx + yy + zz) / 3)
    for name in ("ixx", "iyy", "izz"):
        inertia.set(name, repr(ball))
    for name in ("ixy", "ixz", "iyz"):
        inertia.set(name, "0")


def _scale(root: ElementTree.Element, scale: float) -> None:
    """Multiply all positions and sizes."""
    for origin in root.iter("origin"):
        numbers = [float(number) * scale for number in origin.get("xyz", "0 0 0").split()]
        origin.set("xyz", " ".join(map(repr, numbers)))
    sizes = {"mesh": ("scale",), "box": ("size",), "sphere": ("radius",), "cylinder": ("radius", "length")}
    for kind, names in sizes.items():
        for shape, name in itertools.product(root.iter(kind), names):
            numbers = [float(number) * scale for number in shape.get(name, "1 1 1").split()]
            shape.set(name, " ".join(map(repr, numbers)))


def _say_how_to_compile(root: ElementTree.Element) -> None:
    for present in root.findall("mujoco"):
        root.remove(present)
    settings = {"strippath": "false", "balanceinertia": "true", "discardvisual": "false", "fusestatic": "false"}
    ElementTree.SubElement(ElementTree.SubElement(root, "mujoco"), "compiler", settings | {"boundmass": "1e-6"})


def _tell_apart(spec: "mujoco.MjSpec") -> None:
    """Give visual and collision shapes the groups that cameras and contacts look at."""
    for body in spec.bodies:
        for geom in body.geoms:
            visual = "/visual/" in geom.name
            geom.group = VISUAL_GROUP if visual else COLLISION_GROUP
            geom.contype = geom.conaffinity = int(not visual)
