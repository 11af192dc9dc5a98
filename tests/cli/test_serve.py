"""`lerobot-sdm serve`: LeRobot's options, and what it says before it starts. `tests/serving` talks to the server."""

import contextlib
import dataclasses
import importlib.util
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.cli.serve import ServeOptions

SAVED = Path(__file__).parents[1] / "saved"


def test_the_options_are_lerobots():
    pytest.importorskip("grpc")
    from lerobot.async_inference.configs import PolicyServerConfig

    def described(config):
        return [(item.name, item.default) for item in dataclasses.fields(config)]

    assert described(ServeOptions) == described(PolicyServerConfig)


def test_without_grpc_it_names_the_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "grpc" else find(name, *rest))
    done = CliRunner().invoke(app, ["serve"])
    assert done.exit_code == 2
    assert "pip install 'lerobot_policy_sdm[async]'" in done.output


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--port=70000", "--port=70000: must be from 1 to 65535"),
        ("--fps=0", "--fps=0: must be at least 1"),
        ("--obs-queue-timeout=nan", "--obs_queue_timeout=nan: must be a finite number"),
        ("--inference_latency=-1", "--inference_latency=-1.0: must be a finite number"),
        ("--fps=many", "many"),
        ("--policy.path=x", "--policy.path"),
    ],
)
def test_bad_options_are_refused(option, said):
    done = CliRunner().invoke(app, ["serve", option])
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.slow
def test_it_serves_until_it_is_interrupted(tmp_path):
    grpc = pytest.importorskip("grpc")
    from lerobot.async_inference.helpers import RemotePolicyConfig
    from lerobot.transport import services_pb2, services_pb2_grpc

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("lerobot-sdm"))
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen(
            [program, "serve", "--host=127.0.0.1", f"--port={port}"],
            cwd=tmp_path,
            stdout=said,
            stderr=said,
            # Tests in the background ignore interrupts, and hand that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert server.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.2)
        features = {
            "observation.state": {"dtype": "float32", "shape": (9,), "names": [f"s{i}" for i in range(9)]},
            "observation.images.point_cloud": {"dtype": "image", "shape": (12, 3, 1), "names": ["h", "w", "c"]},
        }
        asked = RemotePolicyConfig("sdm", str(SAVED / "sdm"), features, 4)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = services_pb2_grpc.AsyncInferenceStub(channel)
            stub.Ready(services_pb2.Empty())
            stub.SendPolicyInstructions(services_pb2.PolicySetup(data=pickle.dumps(asked)))
    finally:
        server.send_signal(signal.SIGINT)
        code = server.wait(timeout=60)
    text = (tmp_path / "said").read_text()
    assert "Traceback" not in text, text
    assert "Policy type: sdm" in text
    assert code == 130, text
