"""LeRobot's asynchronous server and client on loopback, with a policy of this package and the simulated robot."""

import contextlib
import itertools
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("grpc")

import grpc
import torch
from lerobot.policies import get_policy_class, make_pre_post_processors
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.transport import services_pb2, services_pb2_grpc

import lerobot_policy_sdm  # noqa: F401 - registers policies and the robot
from lerobot_sdm.errors import InputError
from lerobot_sdm.lerobot_internals import PATCHED
from lerobot_sdm.policy_types import POLICIES
from lerobot_sdm.robots.config_simulated import SimulatedRobotConfig
from lerobot_sdm.robots.simulated import SimulatedRobot

SAVED = Path(__file__).parents[1] / "saved"
STEPS = 20
ENV = f"metaworld_pc,task=detour,num_points=12,camera_size=32,episode_length={STEPS},renderer=raycast"
LONGEST = 60
"""Seconds after which an episode counts as stuck."""


@pytest.fixture(scope="module", autouse=True)
def _in_a_folder(tmp_path_factory):
    """LeRobot's server and client write `logs/` into the current folder when they are imported."""
    with contextlib.chdir(tmp_path_factory.mktemp("serving")):
        yield


@pytest.fixture(scope="module")
def installed(_in_a_folder) -> Iterator[Any]:
    """LeRobot's server module with this package's patches, which end with this module."""
    from lerobot.async_inference import constants, policy_server

    from lerobot_sdm.serving.policy_server import install

    names = ("pickle", "raw_observation_to_observation", "PolicyServer")
    before, types = {name: getattr(policy_server, name) for name in names}, list(constants.SUPPORTED_POLICIES)
    patched = len(PATCHED)
    install()
    yield policy_server
    for name, value in before.items():
        setattr(policy_server, name, value)
    constants.SUPPORTED_POLICIES[:] = types
    del PATCHED[patched:]


@pytest.fixture
def address(installed) -> Iterator[str]:
    """Address of a running server; LeRobot's `serve` differs from this in that it never ends."""
    from lerobot.async_inference.configs import PolicyServerConfig

    served = installed.PolicyServer(
        PolicyServerConfig(host="127.0.0.1", fps=100, inference_latency=0, obs_queue_timeout=0.1)
    )
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services_pb2_grpc.add_AsyncInferenceServicer_to_server(served, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    served.stop()
    server.stop(None).wait()


def make_client(address: str, policy: Path, kind: str | None = None, robot: str = ENV, **options: Any) -> Any:
    from lerobot.async_inference.configs import RobotClientConfig
    from lerobot.async_inference.robot_client import RobotClient

    settings = {"fps": 100, "actions_per_chunk": 100, "aggregate_fn_name": "latest_only"}
    return RobotClient(
        RobotClientConfig(
            policy_type=kind or policy.name,
            pretrained_name_or_path=str(policy),
            robot=SimulatedRobotConfig(env=robot),
            server_address=address,
            **{**settings, **options},
        )
    )


class Received(NamedTuple):
    """A chunk as the client got it: number of its first action, and actions (T, A)."""

    first: int
    actions: torch.Tensor


class Episode(NamedTuple):
    """What went over the line in an episode.

    Attributes:
        observations: Number of the last executed action, -1 before any -> the observations sent with it, in order.
        chunks: The chunks, in order.
        executed: Number of an action, and the action (A,) that the robot executed, in order.
    """

    observations: dict[int, list[dict[str, Any]]]
    chunks: list[Received]
    executed: list[tuple[int, torch.Tensor]]


def run_episode(client: Any, monkeypatch: pytest.MonkeyPatch, seed: int = 5) -> Episode:
    """Let LeRobot's client run its threads until the robot's first episode is over, and watch what it does."""
    episode = Episode({}, [], [])
    send, aggregate, act = client.send_observation, client._aggregate_action_queues, client.control_loop_action

    def watch_send(timed):
        episode.observations.setdefault(client.latest_action, []).append(dict(timed.get_observation()))
        return send(timed)

    def watch_chunk(incoming, aggregate_fn=None):
        actions = torch.stack([action.get_action() for action in incoming])
        episode.chunks.append(Received(incoming[0].get_timestep(), actions))
        aggregate(incoming, aggregate_fn)

    def watch_action(verbose=False):
        done = act(verbose)
        episode.executed.append((client.latest_action, torch.tensor(list(done.values()))))
        if client.robot.outcomes:
            client.shutdown_event.set()  # The episode is over.
        return done

    monkeypatch.setattr(client, "send_observation", watch_send)
    monkeypatch.setattr(client, "_aggregate_action_queues", watch_chunk)
    monkeypatch.setattr(client, "control_loop_action", watch_action)
    assert client.start()
    torch.manual_seed(seed)  # From here on, only the policy draws from this generator.
    stuck = threading.Timer(LONGEST, client.shutdown_event.set)
    stuck.start()
    receiver = threading.Thread(target=client.receive_actions, daemon=True)
    receiver.start()
    client.control_loop(task="")
    stuck.cancel()
    outcomes = list(client.robot.outcomes)
    client.stop()
    receiver.join()
    assert len(outcomes) == 1, "the episode got stuck"
    return episode


def asked_directly(policy: Path, episode: Episode, seed: int = 5) -> list[torch.Tensor]:
    """The chunks (T, A) of a policy without server and client, for the observations of the same moments."""
    loaded = get_policy_class(policy.name).from_pretrained(policy)
    before, after = make_pre_post_processors(loaded.config, pretrained_path=str(policy))

    def frame(seen: dict[str, Any]) -> dict[str, torch.Tensor]:
        state = [value for key, value in seen.items() if key.startswith("state_")]
        cloud = torch.from_numpy(seen["point_cloud"][..., 0])
        return before({"observation.state": torch.tensor(state)[None], "observation.point_cloud": cloud[None]})

    chunks = []
    torch.manual_seed(seed)
    for chunk in episode.chunks:
        number = chunk.first - 1
        newest = frame(episode.observations[number][0])
        before_it = episode.observations.get(number - 1) if number > 0 else None
        window = [frame(before_it[-1]) if before_it else newest, newest]
        batch = {key: torch.stack([seen[key] for seen in window], dim=1) for key in loaded.config.input_features}
        actions = loaded.predict_action_chunk(batch)[0]
        chunks.append(torch.stack([after(action[None])[0] for action in actions]))
    return chunks


@pytest.mark.parametrize("kind", ["sdm", "dp3"])
@pytest.mark.parametrize("threshold", [0, 1], ids=["a chunk at a time", "a chunk every step"])
def test_an_episode_over_loopback(address, monkeypatch, kind, threshold):
    """Every chunk is the policy's own answer to the observations before it, and the robot executes these actions."""
    client = make_client(address, SAVED / kind, chunk_size_threshold=threshold)
    episode = run_episode(client, monkeypatch)
    numbers = [number for number, _ in episode.executed]
    # None is left out. LeRobot's client may execute one twice, if a chunk arrives while it does.
    assert {after - before for before, after in itertools.pairwise([-1, *numbers])} <= (
        {1} if threshold == 0 else {0, 1}
    )
    # An action that is executed twice may lead into the wall, and that ends the episode.
    assert len(numbers) == STEPS or (len(set(numbers)) < len(numbers) < STEPS)
    expected = asked_directly(SAVED / kind, episode)
    assert len(episode.chunks) >= (STEPS // len(expected[0]) if threshold == 0 else 3)
    for received, wanted in zip(episode.chunks, expected, strict=True):
        torch.testing.assert_close(received.actions, wanted, atol=1e-5, rtol=1e-4)
    planned = {chunk.first + place: action for chunk in episode.chunks for place, action in enumerate(chunk.actions)}
    if threshold == 0:  # Chunks do not overlap, so what was executed is what was planned.
        for number, action in episode.executed:
            torch.testing.assert_close(action, planned[number].clip(-1, 1))
    assert torch.stack([action for _, action in episode.executed]).std(dim=0).min() > 0


def test_every_policy_type_is_served(address, monkeypatch):
    """Each saved policy answers a first observation; their network evaluations differ, the server does not."""
    for kind in POLICIES:
        client = make_client(address, SAVED / kind)
        try:
            assert client.start(), kind
            client.control_loop_observation(task="")
            timeout = time.monotonic() + LONGEST
            while not (data := client.stub.GetActions(services_pb2.Empty()).data):
                assert time.monotonic() < timeout, kind
            actions = pickle.loads(data)
            assert [action.get_timestep() for action in actions] == list(range(len(actions))), kind
            assert all(action.get_action().isfinite().all() for action in actions), kind
        finally:
            client.stop()


def refusal(client: Any) -> str:
    """What the server says to a client that it refuses."""
    try:
        client.stub.Ready(services_pb2.Empty())
        with pytest.raises(grpc.RpcError) as error:
            client.stub.SendPolicyInstructions(services_pb2.PolicySetup(data=pickle.dumps(client.policy_config)))
        assert not client.start()  # LeRobot's client logs the message and ends.
        return error.value.details()
    finally:
        client.stop()


def test_unknown_policy_types_are_refused(address):
    said = refusal(make_client(address, SAVED / "sdm", kind="sdn"))
    assert "Policy type sdn not supported" in said
    assert "'sdm'" in said


def test_another_type_than_the_checkpoints_is_refused(address):
    said = refusal(make_client(address, SAVED / "dp3", kind="sdm"))
    assert f"--policy_type=sdm: the checkpoint {SAVED / 'dp3'} holds a policy of type 'dp3'" in said


def test_a_robot_that_does_not_fit_is_refused(address):
    said = refusal(make_client(address, SAVED / "sdm", robot="adroit,task=door,num_points=12"))
    assert "'observation.state' has 24 numbers from the robot and 9 in the checkpoint" in said


def test_a_robot_without_images_is_refused(address, monkeypatch):
    features = SimulatedRobot.observation_features.fget
    blind = property(lambda self: {key: kind for key, kind in features(self).items() if kind is float})
    monkeypatch.setattr(SimulatedRobot, "observation_features", blind)
    said = refusal(make_client(address, SAVED / "sdm"))
    assert "'observation.point_cloud' is missing among the robot's observations" in said


class Malicious:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_programs_in_messages_are_not_run(address, tmp_path):
    client = make_client(address, SAVED / "sdm")
    data = pickle.dumps(Malicious(tmp_path / "run"))
    try:
        assert client.start()
        for call in (
            lambda: client.stub.SendPolicyInstructions(services_pb2.PolicySetup(data=data)),
            lambda: client.stub.SendObservations(iter([services_pb2.Observation(transfer_state=3, data=data)])),
        ):
            with pytest.raises(grpc.RpcError) as error:
                call()
            assert "message: asks for 'pathlib.Path.touch'" in error.value.details()
    finally:
        client.stop()
    assert not (tmp_path / "run").exists()
    pickle.loads(data)
    assert (tmp_path / "run").exists()  # It was no harmless message.


def test_other_policies_keep_lerobots_way(installed):
    """LeRobot's own policies get its numbering, its filter of similar observations, and its resized images."""
    from lerobot.async_inference.configs import PolicyServerConfig

    server = installed.PolicyServer(PolicyServerConfig())
    server.policy = get_policy_class("act")(
        ACTConfig(
            input_features={
                "observation.state": feature("STATE", 2),
                "observation.images.top": feature("VISUAL", 3, 64, 64),
            },
            output_features={"action": feature("ACTION", 2)}, device="cpu", pretrained_backbone_weights=None,
        )
    )  # fmt: skip
    server._chunks = 1
    assert [action.get_timestep() for action in server._time_action_chunk(0.0, [torch.zeros(2)] * 2, 7)] == [7, 8]
    features = {
        "observation.state": {"dtype": "float32", "shape": (2,), "names": ["a", "b"]},
        "observation.images.top": {"dtype": "image", "shape": (96, 96, 3), "names": ["height", "width", "channels"]},
    }
    raw = {"a": 1.0, "b": 2.0, "top": np.full((96, 96, 3), 255, np.uint8), "task": "x"}
    seen = installed.raw_observation_to_observation(raw, features, server.policy_image_features)
    assert seen["observation.images.top"].shape == (1, 3, 64, 64)
    assert seen["task"] == "x"
    torch.testing.assert_close(seen["observation.state"], torch.tensor([[1.0, 2.0]]))


def feature(kind: str, *shape: int) -> Any:
    from lerobot.configs.types import FeatureType, PolicyFeature

    return PolicyFeature(FeatureType(kind), shape)


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_in_use_is_an_input_error(installed, shared):
    """Also if it is shared, as gRPC's servers do."""
    from lerobot.async_inference.configs import PolicyServerConfig

    from lerobot_sdm.serving.policy_server import serve

    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"^--host=127\.0\.0\.1 --port={port}: cannot be bound"):
            serve(PolicyServerConfig(host="127.0.0.1", port=port))
