"""Adroit's dexterous tasks with point clouds and, by default, the DP3 benchmark's success rule."""

from collections import deque
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.adroit.scenes import ARM, HAND, SCENERY
from lerobot_sdm.envs.adroit.tasks import hand_task
from lerobot_sdm.envs.adroit.views import views
from lerobot_sdm.envs.base import Outcome, PointCloudEnv
from lerobot_sdm.envs.coordinate_frames import Frame
from lerobot_sdm.envs.hand_task import SIMULATOR_RATE, SUCCESS_RULES, State, actions_to_controls
from lerobot_sdm.envs.options import DEFAULT_VIEW, require_positive
from lerobot_sdm.errors import check_known

PHYSICS_STEPS = 5
"""Physics steps of 2 ms per simulator step."""


class AdroitPointCloudEnv(PointCloudEnv):
    """An Adroit task; see `PointCloudEnv` for observations.

    `agent_pos` is (24,): the angles of the hand's joints in radians, without arm, velocities or objects. An action
    is a set point for each actuator, arm first, where -1 and 1 are the ends of its range; it is held for
    `action_repeat` simulator steps of 10 ms, whose rewards are summed.

    Relocate needs its target, which no camera sees, so clouds show it as a ball. A dropped pen ends an episode, except
    by the success rule of Gymnasium-Robotics.

    For the arguments, see the fields of `AdroitPointCloudEnvConfig`.

    Raises:
        InputError: For a value that cannot work, before anything is built.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 - Gymnasium's convention
    arm = ARM
    hand = HAND
    scenery = SCENERY

    def __init__(
        self,
        task: str = "hammer",
        view: str = DEFAULT_VIEW,
        success_rule: str = "dp3",
        action_repeat: int = 2,
        episode_length: int | None = None,
        terminate_on_success: bool = False,
        **options: Any,
    ):
        self.hand_task = hand_task(task)
        self.task = task
        self.human_camera = self.hand_task.human_camera
        check_known("success_rule", success_rule, SUCCESS_RULES)
        require_positive("action_repeat", action_repeat)
        if episode_length is None:
            episode_length = self.hand_task.episode_substeps // action_repeat
        super().__init__(
            views(self.hand_task),
            view=view,
            cameras=self.hand_task.cameras,
            agent_pos_size=self.hand_task.agent_pos_size,
            action_size=self.hand_task.action_size,
            episode_length=episode_length,
            terminate_on_success=terminate_on_success,
            **options,
        )
        self.action_repeat = action_repeat
        self.metadata = {**self.metadata, "render_fps": round(SIMULATOR_RATE / action_repeat)}
        self._rule = SUCCESS_RULES[success_rule]
        self._recent: deque[bool] = deque(maxlen=self._rule.last_steps)

    @property
    def task_description(self) -> str:
        return self.hand_task.description

    @property
    def model(self) -> mujoco.MjModel:
        """The scene with this episode's object placement. For experts."""
        self._require_reset("model")
        return self._model

    @property
    def data(self) -> mujoco.MjData:
        """The scene's state. For experts, which must not change it."""
        self._require_reset("data")
        return self._data

    @property
    def expert_state(self) -> NDArray[np.float64]:
        """The original environments' full observation: 46 numbers for hammer, 39 door, 45 pen, 39 relocate."""
        self._require_reset("expert_state")
        return self.hand_task.full_observation(self._model, self._data)

    @property
    def env_state(self) -> State:
        """The complete state: qpos, qvel, and where the task placed objects."""
        self._require_reset("env_state")
        state = {"qpos": self._data.qpos, "qvel": self._data.qvel, **self.hand_task.placement(self._model)}
        return {name: np.array(values) for name, values in state.items()}

    def set_env_state(self, state: State) -> None:
        """Restore a state that `env_state` returned, in this or another process."""
        self._require_reset("set_env_state")
        for name, placed in self.hand_task.placement(self._model).items():
            placed[:] = state[name]
        self._data.qpos[:] = state["qpos"]
        self._data.qvel[:] = state["qvel"]
        # The solver warm-starts from the last step's solution, so earlier steps would change the last bits.
        self._data.qacc_warmstart[:] = 0
        self._frame_cache = None
        mujoco.mj_forward(self._model, self._data)

    @property
    def physics_steps(self) -> int:
        """Physics steps in a control step, for planners."""
        return PHYSICS_STEPS * self.action_repeat

    def _load(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = self.hand_task.make_model()
        return model, mujoco.MjData(model)

    @property
    def frame(self) -> Frame:
        return self.hand_task.frame(self.cloud_options.frame)

    def _restart(self, seed: int | None, options: dict[str, Any]) -> None:
        mujoco.mj_resetData(self._model, self._data)
        self.hand_task.place(self._model, self.np_random)
        mujoco.mj_forward(self._model, self._data)
        self._recent.clear()
        if "state" in options:
            self.set_env_state(options["state"])

    def _advance(self, action: NDArray[np.float64]) -> Outcome:
        model, data, task = self._model, self._data, self.hand_task
        data.ctrl[:] = actions_to_controls(model, action)
        reward, goal_steps, at_goal, failed = 0.0, 0, False, False
        for _ in range(self.action_repeat):
            mujoco.mj_step(model, data, PHYSICS_STEPS)
            measured = task.measure(model, data.qpos, data.qvel, data.sensordata)
            reward += float(task.reward(measured))
            at_goal = bool(task.at_goal(measured, self._rule.relaxed_goal))
            goal_steps += at_goal
            failed = self._rule.failure_ends and bool(task.failed(measured))
            if failed:
                break
        self._recent.append(at_goal)
        return Outcome(reward, goal_steps, at_goal, failed)

    def _verdict(self, outcome: Outcome, over: bool) -> bool:
        rule = self._rule
        if rule.counted:
            return self._success_steps > self.hand_task.dapg_steps
        if rule.last_steps is None:
            return self._success_steps > 0
        return over and len(self._recent) == rule.last_steps and all(self._recent)

    def _agent_pos(self) -> NDArray[np.float64]:
        return self._data.qpos[self.hand_task.agent_pos]

    def _goal(self) -> NDArray[np.float64] | None:
        return None if self.cloud_options.show_goal is False else self.hand_task.goal_position(self._data)
