"""One camera interface for MuJoCo scenes, with two backends: OpenGL without a screen, and ray casting.

Both see the same geoms, so a cloud does not depend on the machine. By default, both leave out sites, which MetaWorld
uses to mark goals and parts of objects.
"""

import atexit
import functools
import hashlib
import logging
import os
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.clouds.geometry import pixel_rays, transform

logger = logging.getLogger(__name__)

VISIBLE_GEOM_GROUPS = np.array([1, 1, 1, 0, 0, 0], dtype=np.uint8)
GOAL_RADIUS = 0.02
GOAL_COLOR = np.array([0.0, 0.8, 0.0, 1.0], dtype=np.float32)
BACKGROUND = np.zeros(3, dtype=np.uint8)
NOTHING, MARKER, GOAL = -1, -2, -3
"""Values in `Picture.geoms` for pixels without a geom: nothing at all, a site, the goal ball."""


@dataclass(frozen=True)
class Picture:
    """An image from a camera.

    Args:
        depth: (H, W) float32, meters along the optical axis, infinite where nothing was hit.
        geoms: (H, W) int32, the number of the geom that each pixel shows, or one of `NOTHING`, `MARKER` and `GOAL`.
        color: (H, W, 3) uint8, or None if it was not asked for.
    """

    depth: NDArray[np.float32]
    geoms: NDArray[np.int32]
    color: NDArray[np.uint8] | None


class SceneCamera(ABC):
    """Takes square images of a MuJoCo scene, with row 0 at the top of the camera's own view."""

    @abstractmethod
    def take(
        self,
        data: mujoco.MjData,
        camera: str,
        size: int,
        *,
        color: bool = False,
        goal: NDArray[np.float64] | None = None,
        markers: bool = False,
    ) -> Picture:
        """Take one image.

        Args:
            data: State of the scene, with positions up to date.
            camera: Name of a camera of the model.
            size: Height and width in pixels.
            color: Whether to return colors too.
            goal: (3,) world position at which to draw a ball of 2 cm radius, or None.
            markers: Whether the scene's sites are drawn, except invisible ones.
        """

    def photograph(
        self, data: mujoco.MjData, camera: str, size: int, goal: NDArray[np.float64] | None = None
    ) -> NDArray[np.uint8]:
        """The colors (size, size, 3) of an image alone; arguments as for `take`."""
        color = self.take(data, camera, size, color=True, goal=goal).color
        assert color is not None
        return color

    def close(self) -> None:  # noqa: B027 - not every backend has resources
        """Free the backend's resources. Safe to call twice."""


class Graphics:
    """An OpenGL context with a scene's meshes and textures. Uploading those takes as long as fifty images, so the
    cameras of equal scenes in one thread, such as a batch of environments, share it.

    Args:
        model: The compiled scene.
        max_size: Height and width of the largest image.
    """

    shared: ClassVar[weakref.WeakValueDictionary[tuple[int, int, bytes], "Graphics"]] = weakref.WeakValueDictionary()

    def __init__(self, model: mujoco.MjModel, max_size: int):
        self.gl = _gl_context_class()(max_size, max_size)
        self.gl.make_current()
        self.context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        self.context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._users = 0

    @classmethod
    def of(cls, model: mujoco.MjModel, max_size: int) -> "Graphics":
        """The graphics of a scene, for one more user."""
        content = np.empty(mujoco.mj_sizeModel(model), dtype=np.uint8)
        mujoco.mj_saveModel(model, None, content)
        key = (threading.get_ident(), max_size, hashlib.blake2b(content).digest())
        graphics = cls.shared.get(key)
        if graphics is None:
            graphics = cls.shared[key] = cls(model, max_size)
        graphics._users += 1
        return graphics

    def leave(self) -> None:
        """Free the graphics if this was its last user."""
        self._users -= 1
        if self._users == 0:
            for key in [key for key, graphics in self.shared.items() if graphics is self]:
                del self.shared[key]
            self.gl.make_current()
            self.context.free()
            self.gl.free()


class GLDepthCamera(SceneCamera):
    """Draws with OpenGL: EGL on Linux, unless `MUJOCO_GL` selects another backend.

    Shadows, reflections, sky and anti-aliasing are off: on a CPU they cost ten times the image itself, and blended
    edge pixels would have depths where there is no surface.
    """

    def __init__(self, model: mujoco.MjModel, max_size: int):
        """Open the graphics for pictures up to `max_size` pixels.

        Raises:
            Exception: Whatever the graphics stack raises where there is none.
        """
        self._model = model
        model.vis.global_.offwidth = max_size
        model.vis.global_.offheight = max_size
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        self._graphics = Graphics.of(model, max_size)
        self._is_open = True

        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + model.nsite + 100)
        for flag in ("SHADOW", "REFLECTION", "SKYBOX", "FOG", "HAZE"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = False
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = VISIBLE_GEOM_GROUPS
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        # Another exit handler terminates the display; it was registered just now, so it runs after this one.
        atexit.register(_close_if_alive, weakref.ref(self))

    def take(self, data, camera, size, *, color=False, goal=None, markers=False) -> Picture:
        self._arrange(data, camera, goal, markers)
        # Flat object numbers instead of lit textures: the depth is the same and drawing is a third faster.
        numbers, depth = self._draw(size, as_numbers=True)
        rgb = self._draw(size, as_numbers=False)[0] if color else None
        return Picture(self._meters(depth), self._geoms(numbers), rgb)

    def photograph(self, data, camera, size, goal=None) -> NDArray[np.uint8]:
        self._arrange(data, camera, goal, markers=False)
        return self._draw(size, as_numbers=False)[0]

    def _arrange(self, data, camera: str, goal: NDArray[np.float64] | None, markers: bool) -> None:
        """Put together what the camera sees."""
        self._graphics.gl.make_current()
        self._camera.fixedcamid = self._model.camera(camera).id
        self._options.sitegroup[:] = VISIBLE_GEOM_GROUPS * markers
        category = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._options, None, self._camera, category, self._scene)
        if goal is not None:
            _add_ball(self._scene, goal)

    def _draw(self, size: int, *, as_numbers: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Draw the scene; returns (size, size, 3) colors and the (size, size) depth buffer."""
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = as_numbers
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = as_numbers
        rectangle = mujoco.MjrRect(0, 0, size, size)
        depth = np.empty((size, size), dtype=np.float32)
        rgb = np.empty((size, size, 3), dtype=np.uint8)
        mujoco.mjr_render(rectangle, self._scene, self._graphics.context)
        mujoco.mjr_readPixels(rgb, depth, rectangle, self._graphics.context)
        return np.flipud(rgb), np.flipud(depth)

    def _geoms(self, colors: NDArray[np.uint8]) -> NDArray[np.int32]:
        """(H, W) geom numbers of a picture of object numbers, which are one more than `segid`, lowest byte in red."""
        # One row per possible number: the background, then everything in the scene.
        shown = np.full(self._scene.maxgeom + 1, NOTHING, dtype=np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if 0 <= geom.segid < self._scene.maxgeom:
                shown[geom.segid + 1] = _shown_by(geom)
        return shown[colors.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16])]

    def _meters(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undo the perspective division of a reversed depth buffer (1 at the near plane, 0 at the far one)."""
        extent = self._model.stat.extent
        near, far = self._model.vis.map.znear * extent, self._model.vis.map.zfar * extent
        depth = near * far / (buffer.astype(np.float64) * (far - near) + near)
        return np.where(buffer > 0, depth, np.inf).astype(np.float32)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._graphics.leave()


class RayDepthCamera(SceneCamera):
    """Casts one ray per pixel with `mj_ray`: no graphics needed, about ten times slower than drawing.

    Colors are the plain colors of geoms or their materials, without light or texture.
    `mj_multiRay` would be faster, but in MuJoCo 3.3 it misses geoms at the edge of its angular culling.
    """

    def __init__(self, model: mujoco.MjModel):
        self._model = model
        rgba, has_material = model.geom_rgba.copy(), model.geom_matid >= 0
        rgba[has_material] = model.mat_rgba[model.geom_matid[has_material]]
        # The last row is read by the index -1: a ray that hit nothing.
        self._geom_color = np.vstack([np.uint8(np.clip(rgba[:, :3], 0, 1) * 255), BACKGROUND])

    def take(self, data, camera, size, *, color=False, goal=None, markers=False) -> Picture:
        index = self._model.camera(camera).id
        origin = data.cam_xpos[index].copy()
        rays = _rays_through_pixel_centers(size, float(self._model.cam_fovy[index]))
        rays = transform(rays, data.cam_xmat[index].reshape(3, 3), np.zeros(3))

        depth = np.empty(len(rays))
        geoms = np.empty(len(rays), dtype=np.int32)
        geom = np.empty(1, dtype=np.int32)
        for i, ray in enumerate(rays):
            depth[i] = mujoco.mj_ray(self._model, data, origin, ray, VISIBLE_GEOM_GROUPS, 1, -1, geom)
            geoms[i] = geom[0]
        depth[geoms < 0] = np.inf
        rgb = self._geom_color[geoms] if color else None
        for number, distance, plain_color in self._markers_and_goal(data, origin, rays, goal, markers):
            nearer = distance < depth
            geoms[nearer] = number
            if rgb is not None:
                rgb[nearer] = np.uint8(plain_color[:3] * 255)
            depth = np.minimum(depth, distance)
        return Picture(
            depth.astype(np.float32).reshape(size, size),
            geoms.reshape(size, size),
            None if rgb is None else rgb.reshape(size, size, 3),
        )

    def _markers_and_goal(self, data, origin, rays, goal, markers: bool):
        """Yield (what `Picture.geoms` says, distances (n,) along the rays, color) of everything that is not a geom."""
        model = self._model
        if markers:
            visible = (model.site_rgba[:, 3] > 0) & (VISIBLE_GEOM_GROUPS[model.site_group] > 0)
            for site in np.flatnonzero(visible):
                yield MARKER, _distance_to_site(model, data, site, origin, rays), model.site_rgba[site]
        if goal is not None:
            yield GOAL, _distance_to_ball(origin, rays, goal, GOAL_RADIUS), GOAL_COLOR


def open_camera(model: mujoco.MjModel, renderer: str, max_size: int) -> SceneCamera:
    """Open the camera that `renderer` names for a model.

    Args:
        model: The compiled scene; its offscreen settings are changed.
        renderer: `egl`, `raycast`, or `auto` for the first that works here.
        max_size: Height and width of the largest image to take.

    Raises:
        RuntimeError: If `egl` was requested and OpenGL does not work.
    """
    if renderer == "raycast" or (renderer == "auto" and graphics_failure() is not None):
        return RayDepthCamera(model)
    if graphics_failure() is not None:
        raise RuntimeError(f"renderer='egl': {graphics_failure()} Use renderer='raycast' or 'auto'.")
    return GLDepthCamera(model, max_size)


@functools.cache
def graphics_failure() -> str | None:
    """Try once per process to open an offscreen OpenGL context; None if it works, else what went wrong."""
    try:
        GLDepthCamera(mujoco.MjModel.from_xml_string("<mujoco/>"), 8).close()
    except Exception as error:  # the stack below raises ImportError, FatalError, EGLError, AttributeError ...
        reason = f"no offscreen OpenGL here ({type(error).__name__}: {error})."
        logger.warning("%s Point clouds are made by ray casting, which is slower.", reason)
        return reason
    return None


def _gl_context_class():
    if sys.platform == "linux" and os.environ.get("MUJOCO_GL", "egl").lower() in ("", "egl"):
        # MuJoCo reads this variable again when it loads OpenGL; unset, it would look for a display.
        os.environ["MUJOCO_GL"] = "egl"
        from mujoco.egl import GLContext
    else:
        from mujoco.gl_context import GLContext
    return GLContext


def _close_if_alive(reference: weakref.ref) -> None:
    camera = reference()
    if camera is not None:
        camera.close()


def _add_ball(scene: mujoco.MjvScene, center: NDArray[np.float64]) -> None:
    ball = scene.geoms[scene.ngeom]
    size = np.full(3, GOAL_RADIUS)
    mujoco.mjv_initGeom(
        ball, mujoco.mjtGeom.mjGEOM_SPHERE, size, np.asarray(center, float), np.eye(3).ravel(), GOAL_COLOR
    )
    # What `mjv_initGeom` leaves as it was in memory. Images of object ids leave out geoms without an id.
    ball.objtype, ball.objid = mujoco.mjtObj.mjOBJ_UNKNOWN, -1
    ball.category = mujoco.mjtCatBit.mjCAT_DECOR
    ball.segid = scene.ngeom
    scene.ngeom += 1


def _shown_by(geom) -> int:
    """The value in `Picture.geoms` for pixels that show a geom."""
    if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
        return geom.objid
    return MARKER if geom.objtype == mujoco.mjtObj.mjOBJ_SITE else GOAL


def _distance_to_ball(origin, rays, center, radius: float) -> NDArray[np.float64]:
    """Distance to a ball along rays (n, 3), in units of the ray; infinite where missed.

    The smaller root of |o + s r - c|^2 = R^2.
    """
    rays = rays.astype(np.float64)
    offset = origin - np.asarray(center)
    a = (rays**2).sum(axis=1)
    b = rays @ offset
    discriminant = b**2 - a * (offset @ offset - radius**2)
    hit = (discriminant >= 0) & (b < 0)
    return np.where(hit, (-b - np.sqrt(np.maximum(discriminant, 0))) / a, np.inf)


def _distance_to_site(model: mujoco.MjModel, data: mujoco.MjData, site: int, origin, rays) -> NDArray[np.float64]:
    """Distance to a site along rays (n, 3), in units of the ray; infinite where missed."""
    center, size, kind = data.site_xpos[site], model.site_size[site], model.site_type[site]
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return _distance_to_ball(origin, rays, center, size[0])
    distance = np.full(len(rays), np.inf)
    # No shape reaches further from its center than the sum of its sizes.
    for ray in np.flatnonzero(np.isfinite(_distance_to_ball(origin, rays, center, size.sum()))):
        hit = mujoco.mju_rayGeom(center, data.site_xmat[site], size, origin, rays[ray].astype(np.float64), kind)
        distance[ray] = np.inf if hit < 0 else hit
    return distance


@functools.lru_cache(maxsize=8)
def _rays_through_pixel_centers(size: int, fovy: float) -> NDArray[np.float32]:
    return pixel_rays(size, size, fovy, offset=0.5)
