"""The four Adroit tasks, with the cameras and success rules of DP3 and other benchmarks.

Rewards are the published dense ones, because Gymnasium-Robotics has the wrong sign in their reach terms.
"""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.adroit.scenes import (
    AdroitTask,
    SeenAtAnAngle,
    SeenFromAbove,
    above,
    angles_of,
    direction,
    quaternion_of,
)
from lerobot_sdm.envs.hand_task import HandTask, Measured, State, distance
from lerobot_sdm.errors import check_known

if TYPE_CHECKING:
    import mujoco


class Door(SeenFromAbove):
    """Turn the latch and open the door."""

    name = "door"
    description = "Undo the latch and swing the door open"
    scene = "adroit_door.xml"
    action_size = 28
    full_observation_size = 39
    agent_pos = slice(4, -2)
    camera_height = 1.5
    crops: ClassVar = {"legacy": above(0.001, 0.5), "world": above(0.001, 0.0)}
    watched: ClassVar = {"palm": ("site", "S_grasp"), "handle": ("site", "S_handle")}

    def place(self, model: "mujoco.MjModel", rng: np.random.Generator) -> None:
        model.body("frame").pos[:] = rng.uniform(low=[-0.3, 0.25, 0.252], high=[-0.2, 0.35, 0.35])

    def placement(self, model: "mujoco.MjModel") -> dict[str, NDArray[np.float64]]:
        return {"door_body_pos": model.body("frame").pos}

    def full_observation(self, model: "mujoco.MjModel", data: "mujoco.MjData") -> NDArray[np.float64]:
        hinge, latch = data.qpos[-2:]
        palm, handle = data.site("S_grasp").xpos, data.site("S_handle").xpos
        open_enough = 1.0 if hinge > 1.0 else -1.0
        return np.concatenate([data.qpos[1:-2], [latch, hinge], palm, handle, palm - handle, [open_enough]])

    def start_of(self, model: "mujoco.MjModel", data: "mujoco.MjData", observation: NDArray[np.float64]) -> State:
        moved = observation[32:35] - data.site("S_handle").xpos
        qpos = np.concatenate([data.qpos[:1], observation[:27], observation[[28, 27]]])
        return {"qpos": qpos, "qvel": np.zeros(model.nv), "door_body_pos": model.body("frame").pos + moved}

    def reward(self, measured: Measured) -> NDArray[np.float64]:
        hinge = measured["qpos"][..., -2]
        reward = -0.1 * distance(measured["palm"], measured["handle"]) - 0.1 * (hinge - 1.57) ** 2
        reward = reward - 1e-5 * (measured["qvel"] ** 2).sum(axis=-1)
        return reward + 2.0 * (hinge > 0.2) + 8.0 * (hinge > 1.0) + 10.0 * (hinge > 1.35)

    def at_goal(self, measured: Measured, relaxed: bool) -> NDArray[np.bool_]:
        hinge = measured["qpos"][..., -2]
        return hinge > 1.4 if relaxed else hinge >= 1.35


class Hammer(SeenFromAbove):
    """Drive the nail into the board."""

    name = "hammer"
    description = "Pick up the hammer and drive the nail into the board"
    scene = "adroit_hammer.xml"
    action_size = 26
    full_observation_size = 46
    agent_pos = slice(2, -7)
    camera_height = 1.1
    crops: ClassVar = {"legacy": above(0.001, 0.1), "world": above(0.001, 0.0)}
    watched: ClassVar = {
        "palm": ("site", "S_grasp"),
        "hammer": ("body", "Object"),
        "head": ("site", "tool"),
        "nail": ("site", "S_target"),
        "goal": ("site", "nail_goal"),
    }

    def place(self, model: "mujoco.MjModel", rng: np.random.Generator) -> None:
        model.body("nail_board").pos[2] = rng.uniform(low=0.1, high=0.25)

    def placement(self, model: "mujoco.MjModel") -> dict[str, NDArray[np.float64]]:
        return {"board_pos": model.body("nail_board").pos}

    def full_observation(self, model: "mujoco.MjModel", data: "mujoco.MjData") -> NDArray[np.float64]:
        hammer = data.body("Object")
        nail, palm = data.site("S_target").xpos, data.site("S_grasp").xpos
        impact = np.clip(data.sensor("S_nail").data, -1.0, 1.0)
        speed = np.clip(data.qvel[-6:], -1.0, 1.0)
        return np.concatenate([data.qpos[:-6], speed, palm, hammer.xpos, angles_of(hammer.xquat), nail, impact])

    def start_of(self, model: "mujoco.MjModel", data: "mujoco.MjData", observation: NDArray[np.float64]) -> State:
        moved = observation[42:45] - data.site("S_target").xpos
        qpos = np.concatenate([observation[:27], data.qpos[-6:]])
        return {"qpos": qpos, "qvel": np.zeros(model.nv), "board_pos": model.body("nail_board").pos + moved}

    def reward(self, measured: Measured) -> NDArray[np.float64]:
        left = distance(measured["nail"], measured["goal"])
        lifted = (measured["hammer"][..., 2] > 0.04) & (measured["head"][..., 2] > 0.04)
        reward = -0.1 * distance(measured["palm"], measured["hammer"]) - distance(measured["head"], measured["nail"])
        reward = reward - 10.0 * left - 1e-2 * np.linalg.norm(measured["qvel"], axis=-1)
        return reward + 2.0 * lifted + 25.0 * (left < 0.02) + 75.0 * (left < 0.01)

    def at_goal(self, measured: Measured, relaxed: bool) -> NDArray[np.bool_]:
        return distance(measured["nail"], measured["goal"]) < 0.01


class Pen(SeenAtAnAngle):
    """Turn the pen in the hand until it points as the one beside it."""

    name = "pen"
    description = "Turn the pen in the hand until it points as the pen beside it"
    scene = "adroit_pen.xml"
    action_size = 24
    full_observation_size = 45
    agent_pos = slice(0, -6)
    cameras = (*AdroitTask.cameras, "view_1", "view_2", "view_3", "view_4", "view_5")
    camera = "vil_camera"
    camera_position = (0.0, -0.8, 0.8)
    crops: ClassVar = {"legacy": above(0.01, 0.8), "world": above(0.01, 0.0)}
    episode_substeps = 100
    dapg_steps = 20
    watched: ClassVar = {
        "pen": ("body", "Object"),
        "palm": ("site", "eps_ball"),
        "top": ("site", "object_top"),
        "bottom": ("site", "object_bottom"),
        "target_top": ("site", "target_top"),
        "target_bottom": ("site", "target_bottom"),
    }

    def spec(self) -> "mujoco.MjSpec":
        spec = super().spec()
        spec.camera("vil_camera").pos = self.camera_position
        # Translucent here: a translucent object has a depth in some images and none in others.
        for name in ("pen", "target"):
            spec.geom(name).rgba[3] = 1.0
        return spec

    def place(self, model: "mujoco.MjModel", rng: np.random.Generator) -> None:
        about_x, about_y = rng.uniform(low=-1, high=1, size=2)
        model.body("target").quat[:] = quaternion_of(np.array([about_x, about_y, 0.0]))

    def placement(self, model: "mujoco.MjModel") -> dict[str, NDArray[np.float64]]:
        return {"desired_orien": model.body("target").quat}

    def full_observation(self, model: "mujoco.MjModel", data: "mujoco.MjData") -> NDArray[np.float64]:
        pen, palm = data.body("Object").xpos, data.site("eps_ball").xpos
        points = direction(data.site("object_top").xpos, data.site("object_bottom").xpos)
        wanted = direction(data.site("target_top").xpos, data.site("target_bottom").xpos)
        return np.concatenate([data.qpos[:-6], pen, data.qvel[-6:], points, wanted, pen - palm, points - wanted])

    def start_of(self, model: "mujoco.MjModel", data: "mujoco.MjData", observation: NDArray[np.float64]) -> State:
        x, y, z = observation[36:39]
        # The direction is R_x(a) R_y(b) (0, 0, 1) = (sin b, -sin a cos b, cos a cos b).
        quaternion = quaternion_of(np.array([np.arctan2(-y, z), np.arcsin(np.clip(x, -1, 1)), 0.0]))
        qpos = np.concatenate([observation[:24], data.qpos[-6:]])
        return {"qpos": qpos, "qvel": np.zeros(model.nv), "desired_orien": quaternion}

    def reward(self, measured: Measured) -> NDArray[np.float64]:
        away, alike = distance(measured["pen"], measured["palm"]), self.alignment(measured)
        near = away < 0.075
        reward = alike - away + 10.0 * (near & (alike > 0.9)) + 50.0 * (near & (alike > 0.95))
        return reward - 5.0 * self.failed(measured)

    def at_goal(self, measured: Measured, relaxed: bool) -> NDArray[np.bool_]:
        aligned = self.alignment(measured) > 0.95
        return aligned if relaxed else aligned & (distance(measured["pen"], measured["palm"]) < 0.075)

    def failed(self, measured: Measured) -> NDArray[np.bool_]:
        return measured["pen"][..., 2] < 0.075

    @staticmethod
    def alignment(measured: Measured) -> NDArray[np.float64]:
        """Cosine (...) of the angle between the pen and the target pen."""
        points = direction(measured["top"], measured["bottom"])
        return (points * direction(measured["target_top"], measured["target_bottom"])).sum(axis=-1)


class Relocate(SeenAtAnAngle):
    """Carry the ball to a point in the air.

    Not a DP3 task. The camera is on the far side of the table: from any other side the hand hides ball and target.
    """

    name = "relocate"
    description = "Pick up the ball and hold it at the target"
    scene = "adroit_relocate.xml"
    action_size = 30
    full_observation_size = 39
    agent_pos = slice(6, -6)
    cameras = (*AdroitTask.cameras, "front")
    camera = human_camera = "front"
    camera_position = (0.0, 0.75, 0.65)
    camera_tilt: ClassVar[float] = 1.0
    """Tilt of the camera up from straight down, radians."""

    crops: ClassVar = {"legacy": above(0.01, 0.65), "world": above(0.01, 0.0)}
    watched: ClassVar = {"palm": ("site", "S_grasp"), "ball": ("body", "Object"), "target": ("site", "target")}

    def spec(self) -> "mujoco.MjSpec":
        spec = super().spec()
        # Half a turn about z after the tilt about x.
        quaternion = [0, 0, np.sin(self.camera_tilt / 2), np.cos(self.camera_tilt / 2)]
        spec.worldbody.add_camera(name="front", pos=self.camera_position, quat=quaternion)
        return spec

    def place(self, model: "mujoco.MjModel", rng: np.random.Generator) -> None:
        model.body("Object").pos[:2] = rng.uniform(low=[-0.15, -0.15], high=[0.15, 0.3])
        model.site("target").pos[:] = rng.uniform(low=[-0.2, -0.2, 0.15], high=[0.2, 0.2, 0.35])

    def placement(self, model: "mujoco.MjModel") -> dict[str, NDArray[np.float64]]:
        return {"obj_pos": model.body("Object").pos, "target_pos": model.site("target").pos}

    def full_observation(self, model: "mujoco.MjModel", data: "mujoco.MjData") -> NDArray[np.float64]:
        palm, ball, target = data.site("S_grasp").xpos, data.body("Object").xpos, data.site("target").xpos
        return np.concatenate([data.qpos[:-6], palm - ball, palm - target, ball - target])

    def start_of(self, model: "mujoco.MjModel", data: "mujoco.MjData", observation: NDArray[np.float64]) -> State:
        palm = data.site("S_grasp").xpos
        qpos = np.concatenate([observation[:30], data.qpos[-6:]])
        placed = {"obj_pos": palm - observation[30:33], "target_pos": palm - observation[33:36]}
        return {"qpos": qpos, "qvel": np.zeros(model.nv)} | placed

    def reward(self, measured: Measured) -> NDArray[np.float64]:
        palm, ball, target = measured["palm"], measured["ball"], measured["target"]
        away = distance(ball, target)
        reward = -0.1 * distance(palm, ball)
        reward = reward + (ball[..., 2] > 0.04) * (1.0 - 0.5 * distance(palm, target) - 0.5 * away)
        return reward + 10.0 * (away < 0.1) + 20.0 * (away < 0.05)

    def at_goal(self, measured: Measured, relaxed: bool) -> NDArray[np.bool_]:
        return distance(measured["ball"], measured["target"]) < 0.1

    def goal_position(self, data: "mujoco.MjData") -> NDArray[np.float64]:
        return data.site("target").xpos


HAND_TASKS: dict[str, type[HandTask]] = {task.name: task for task in (Hammer, Door, Pen, Relocate)}
"""All tasks of `--env.type=adroit`. For another hand, write a `HandTask` in its own file and add it here."""


def hand_task(name: str) -> HandTask:
    """The task with that name.

    Raises:
        InputError: If there is no such task; the nearest names are offered.
    """
    check_known("task", name, HAND_TASKS)
    return HAND_TASKS[name]()
