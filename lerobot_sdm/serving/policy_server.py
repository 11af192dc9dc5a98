"""LeRobot's asynchronous policy server, for this package's policies as well.

LeRobot's own server refuses policy types outside a list and does not discover plugins. For policies that see point
clouds and several frames, four more things are needed, each one override below. Everything else is LeRobot's.
"""

import socket
from collections.abc import Mapping
from typing import Any

import torch
from lerobot.async_inference import policy_server
from lerobot.async_inference.configs import PolicyServerConfig
from lerobot.async_inference.constants import SUPPORTED_POLICIES
from lerobot.async_inference.helpers import RemotePolicyConfig, TimedAction, TimedObservation, make_lerobot_observation
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot.utils.constants import OBS_IMAGES, OBS_STATE
from torch import Tensor

from lerobot_sdm.clouds import POINT_CLOUD, ROBOT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.lerobot_internals import patch
from lerobot_sdm.plugin import register_all
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.history import History
from lerobot_sdm.policy_types import POLICIES
from lerobot_sdm.safe_files.configurations import read_configuration
from lerobot_sdm.serving import messages

FRAMES_BEHIND = 8
"""Frames that may arrive while a chunk is planned from an earlier one, without its window losing a frame."""

convert_images = policy_server.raw_observation_to_observation


def with_clouds(
    raw: dict[str, Any], lerobot_features: dict[str, dict], policy_image_features: Mapping[str, Any]
) -> dict[str, Any]:
    """Convert a robot's observation, keeping images that the policy's processors and not its network need.

    LeRobot's conversion resizes every image to what the policy expects, and fails for images that it does not. Depth
    images and clouds go to the processors unchanged instead, as in `lerobot-rollout`.

    Args:
        raw: As the robot gives it; images (H, W, C).
        lerobot_features: The robot's features as those of a dataset.
        policy_image_features: The images that the network takes.

    Returns:
        State and images, each (1, ...), and the task.
    """
    kept = {
        key
        for key, feature in lerobot_features.items()
        if feature["dtype"] in ("image", "video") and key not in policy_image_features
    }
    others = {key: feature for key, feature in lerobot_features.items() if key not in kept}
    observation = convert_images(raw, others, dict(policy_image_features))
    frame = make_lerobot_observation(raw, {key: lerobot_features[key] for key in kept})
    images = prepare_observation_for_inference(frame, torch.device("cpu"))
    return {**observation, **{key: images[key] for key in kept}}


class PluginPolicyServer(policy_server.PolicyServer):
    """LeRobot's server, also for policies that plan from several frames. Other policies get LeRobot's behavior."""

    def __init__(self, config: PolicyServerConfig):
        super().__init__(config)
        self._forget()

    def _forget(self) -> None:
        self.last_processed_obs = None
        self._frames: dict[int, TimedObservation] = {}
        self._newest = self._planning_from = -1
        self._chunks = 0

    @property
    def _ours(self) -> bool:
        return isinstance(self.policy, ChunkPolicy)

    def _reset_server(self) -> None:
        super()._reset_server()
        self._forget()

    def SendPolicyInstructions(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Load the policy that a client asks for; see LeRobot's server.

        Raises:
            InputError: The checkpoint holds another type, or does not fit the robot; the client shows the message.
        """
        asked = messages.loads(request.data)
        if isinstance(asked, RemotePolicyConfig) and asked.policy_type in SUPPORTED_POLICIES:
            _check_type(asked)
        answer = super().SendPolicyInstructions(request, context)
        if self._ours:
            _check_robot(self.policy.config, self.lerobot_features)
        return answer

    def _enqueue_observation(self, obs: TimedObservation) -> bool:
        """Remember each frame, and plan from those that are newer than all before.

        LeRobot skips observations whose state has changed by less than 1, which suits degrees. For a state in meters,
        that is all of them, and the robot would stand still at the end of every chunk.
        """
        if not self._ours:
            return super()._enqueue_observation(obs)
        step = obs.get_timestep()
        is_newer = step > self._newest
        self._newest = max(self._newest, step)
        frames = {**self._frames, step: obs}
        oldest = self._newest - self.policy.config.n_obs_steps - FRAMES_BEHIND
        self._frames = {key: frame for key, frame in frames.items() if key > oldest}
        return (is_newer or obs.must_go) and super()._enqueue_observation(obs)

    def _obs_sanity_checks(self, obs: TimedObservation, previous_obs: TimedObservation) -> bool:
        return self._ours or super()._obs_sanity_checks(obs, previous_obs)

    def _predict_action_chunk(self, observation_t: TimedObservation) -> list[TimedAction]:
        self._planning_from = observation_t.get_timestep()
        return super()._predict_action_chunk(observation_t)

    def _get_action_chunk(self, observation: dict[str, Tensor]) -> Tensor:
        """Plan from the last frames, oldest first; one that was not received is replaced by the one after it."""
        if not self._ours:
            return super()._get_action_chunk(observation)
        config = self.policy.config
        newest = self._planning_from
        window = [observation]
        for step in range(newest - 1, newest - config.n_obs_steps, -1):
            earlier = self._frames.get(step)
            window.insert(0, window[0] if earlier is None else self._preprocessed(earlier))
        history = History(config.n_obs_steps)
        for frame in window:
            history.add({key: frame[key] for key in config.input_features if key in frame})
        return self.policy.predict_action_chunk(history.window())[:, : self.actions_per_chunk]

    def _preprocessed(self, timed: TimedObservation) -> dict[str, Tensor]:
        raw = timed.get_observation()
        return self.preprocessor(with_clouds(raw, self.lerobot_features, self.policy_image_features))

    def _time_action_chunk(self, t_0: float, action_chunk: list[Tensor], i_0: int) -> list[TimedAction]:
        """Number a chunk's actions from the one that comes after the observation.

        An observation carries the number of the last executed action, and 0 before any. LeRobot gives this number to
        the first action of each chunk, and its client then drops it as executed already.
        """
        first = i_0 + 1 if self._ours and self._chunks else i_0
        self._chunks += 1
        return super()._time_action_chunk(t_0, action_chunk, first)


def _check_type(asked: RemotePolicyConfig) -> None:
    """Refuse a checkpoint of another type than the client names: LeRobot would fail with a missing attribute."""
    name = asked.pretrained_name_or_path
    found = read_configuration(PreTrainedConfig, name, f"the checkpoint {name}").type
    if found != asked.policy_type:
        raise InputError(
            f"--policy_type={asked.policy_type}: the checkpoint {name} holds a policy of "
            f"type '{found}'. Start the client with --policy_type={found}."
        )


def _check_robot(config: Any, robot: Mapping[str, dict]) -> None:
    """Refuse a robot whose observations the policy cannot use, before the first of them."""
    found = {OBS_STATE: (0,)} | {key: tuple(feature["shape"]) for key, feature in robot.items()}
    wanted = tuple(config.input_features[OBS_STATE].shape)
    if found[OBS_STATE] != wanted:
        raise InputError(
            f"'{OBS_STATE}' has {found[OBS_STATE][0]} numbers from the robot and {wanted[0]} in the checkpoint. "
            "Use the robot that the policy was trained with."
        )
    if POINT_CLOUD in config.input_features and not any(key.startswith(OBS_IMAGES) for key in robot):
        raise InputError(
            f"'{POINT_CLOUD}' is missing among the robot's observations ({', '.join(robot)}). Give it a depth camera "
            f"that the policy was trained with, or a camera '{ROBOT_CLOUD.removeprefix(f'{OBS_IMAGES}.')}' of shape "
            "(N, C, 1) whose images are clouds."
        )


def install() -> None:
    """Let LeRobot's server serve this package's policies."""
    register_all()
    SUPPORTED_POLICIES.extend(name for name in POLICIES if name not in SUPPORTED_POLICIES)
    patch(policy_server, "pickle", messages)
    patch(policy_server, "raw_observation_to_observation", with_clouds)
    patch(policy_server, "PolicyServer", PluginPolicyServer)


def serve(config: PolicyServerConfig) -> None:
    """Run LeRobot's server until it is interrupted.

    Raises:
        InputError: The address cannot be bound.
    """
    install()
    try:
        # gRPC would share the port with another of its servers, and clients would reach either.
        host = config.host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, config.port), family=family).close()
        policy_server.serve(config)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "bind" not in str(error):
            raise
        raise InputError(
            f"--host={config.host} --port={config.port}: cannot be bound, because the port is in use or the address is "
            "not this computer's. Choose another port, or end the other server."
        ) from error
