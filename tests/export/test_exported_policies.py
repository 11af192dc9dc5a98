"""Exported policies: exact within their certificate over whole episodes, and without torch."""

import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from lerobot_commands import SMALL_MIXER, lerobot_train, make_small_dataset
from saved_checkpoints import SAVED, observation
from small_exports import EXAMPLE, TOLERANCES, changed, order, with_nan
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.clouds.geometry import inside_box, sample_or_pad
from lerobot_sdm.errors import InputError
from lerobot_sdm.export import formats, runtime
from lerobot_sdm.export.certificate import split
from lerobot_sdm.export.graph import GivenNoise
from lerobot_sdm.export.write import export
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

STEPS = 12


@pytest.fixture(scope="module")
def policies(dataset, tmp_path_factory) -> Path:
    """A folder with the saved checkpoints, and others of a mixer, as `mixer_dp3` and `mixer_sdm`."""
    folder = tmp_path_factory.mktemp("policies")
    for saved in SAVED.iterdir():
        (folder / saved.name).symlink_to(saved)
    teacher = ("--policy.type=dp3", *SMALL_MIXER)
    student = ("--policy.type=sdm", f"--policy.teacher_path={folder / 'mixer_dp3'}", "--policy.n_action_steps=3")
    with pytest.MonkeyPatch.context() as patch:
        for name, flags in (("mixer_dp3", teacher), ("mixer_sdm", student)):
            trained = lerobot_train(patch, dataset, folder / "runs" / name, *flags, steps=3, save_freq=3)
            (folder / name).symlink_to(trained)
    return folder


def torch_episode(policy: str, seed: int) -> np.ndarray:
    """What the policy itself does (STEPS, A) from the runtime's noise."""
    loaded = load_from_spec(PolicySpec.parse(policy))
    random = np.random.default_rng(seed)
    actions = []
    loaded.policy.reset()
    for step in range(STEPS):
        noise = None
        if not loaded.policy._history.planned:
            noise = torch.from_numpy(random.standard_normal((1, JUMPS.get(policy, 1), 8, 4), dtype=np.float32))
        with torch.inference_mode(), GivenNoise(noise):
            start = None if noise is None else noise[:, 0]
            action = loaded.policy.select_action(loaded.preprocess(observation(step, 1)), noise=start)
        actions.append(loaded.postprocess(action)[0].numpy())
    return np.stack(actions)


def runtime_episode(policy: runtime.Policy, seed: int) -> np.ndarray:
    """What an exported policy does (STEPS, A)."""
    policy.reset(seed)
    seen = ({key: value[0].numpy() for key, value in observation(step, 1).items()} for step in range(STEPS))
    return np.stack([policy.act(frame) for frame in seen])


SHORT = "dp3,num_inference_steps=2"
CASES = [
    ("sdm,action_bound=0.5", "onnx", "float32"),
    (SHORT, "onnx", "float32"),
    ("manicm", "onnx", "float32"),
    ("consistency", "onnx", "float32"),
    ("sdm", "openvino", "float32"),
    (SHORT, "openvino", "float32"),
    ("consistency,chaining_times=[20]", "openvino", "float32"),
    ("flow", "onnx", "float32"),
    ("meanflow", "onnx", "float32"),
    ("drift", "openvino", "float32"),
    (SHORT, "torch", "float32"),
    ("edm,num_inference_steps=2", "torch", "float32"),
    ("adjoint_matching,num_inference_steps=2", "torch", "float32"),
    ("sdm", "onnx", "int8"),
    ("sdm", "openvino", "int8"),
    ("mixer_sdm", "onnx", "float32"),
    ("mixer_dp3,num_inference_steps=2", "openvino", "float32"),
    ("mixer_sdm", "torch", "float32"),
    ("mixer_sdm", "onnx", "int8"),
]
"""Each type needs one format, and each format a few types. Steps are few, as each is traced."""
JUMPS = {"manicm": 2, "consistency": 3, "consistency,chaining_times=[20]": 2}
"""How often these policies draw noise; others do it once."""


@pytest.mark.parametrize(("policy", "format_", "precision"), CASES)
def test_acts_as_the_policy_within_the_certificate(exported, policy, format_, precision):
    folder = exported(policy, format_, precision)
    opened = runtime.Policy(folder)
    told = opened.manifest["certificate"]
    assert told["largest_error"] <= told["tolerance"] == TOLERANCES[precision]
    assert (told["largest_error"] > 1e-3) == (precision == "int8")
    assert 0 < told["rms_error"] <= told["largest_error"]
    assert told["spread_of_the_policy"] > 0.05
    assert opened.verify()["largest_error"] == pytest.approx(told["largest_error"], rel=0.5, abs=1e-6)
    assert opened.noise().shape == (1, JUMPS.get(policy, 1), 8, 4)
    difference = (runtime_episode(opened, 5) - torch_episode(policy, 5)) / opened.manifest["output"]["scale"]
    assert np.abs(difference).max() <= told["tolerance"]
    assert np.abs(runtime_episode(opened, 5) - runtime_episode(opened, 6)).max() > 0.01  # The noise matters.


def test_the_pattern_that_is_left_out_makes_no_difference(dataset, policies, exported, tmp_path, monkeypatch):
    """onnxscript's own rules, which take far longer on large graphs, write the same file; and they are back."""
    rewriter = pytest.importorskip("onnxscript.rewriter")
    policy = "sdm,action_bound=0.5"
    quick = (exported(policy) / "model.onnx").read_bytes()
    with formats.single_outputs():
        fewer = rewriter._DEFAULT_REWRITE_RULES
    assert len(rewriter._DEFAULT_REWRITE_RULES) == len(fewer) + 1
    monkeypatch.chdir(policies)
    monkeypatch.setattr(formats, "single_outputs", nullcontext)
    export(order(dataset, tmp_path / "slow", policy))
    assert (tmp_path / "slow" / "model.onnx").read_bytes() == quick


def test_frames_of_calibration_are_not_those_of_the_certificate():
    kept, other = split({"x": torch.arange(26)}, 6)
    assert kept["x"].tolist() == [0, 5, 10, 15, 20, 25]
    assert sorted([*kept["x"].tolist(), *other["x"].tolist()]) == list(range(26))


def test_any_batch_and_any_number_of_points(exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    folder = exported("sdm", points="dynamic")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    with np.load(folder / runtime.EVIDENCE) as stored:
        given = {name: stored[name] for name in stored}
    wanted = given.pop("action")
    assert np.abs(session.run(None, given)[0] - wanted).max() < 1e-4
    # Repeated points change nothing, because the encoder takes the maximum over points.
    given[POINT_CLOUD] = np.concatenate([given[POINT_CLOUD], given[POINT_CLOUD][:, :, :5]], axis=2)
    assert np.abs(session.run(None, given)[0] - wanted).max() < 1e-4
    opened = runtime.Policy(folder)
    for points in (7, 30):
        action = opened.act({**EXAMPLE, POINT_CLOUD: np.resize(EXAMPLE[POINT_CLOUD], (points, 3))})
        assert np.isfinite(action).all()


ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
import numpy as np
"""
ACT = """
policy = Policy(sys.argv[1])
policy.reset(7)
random = np.random.default_rng(0)
for _ in range(6):
    seen = {"observation.state": random.uniform(-1, 1, 9), "observation.point_cloud": random.uniform(-1, 1, (20, 3))}
    print(*policy.act(seen))
policy.verify()
"""


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_runs_without_torch(exported, format_, tmp_path):
    """Both as part of the package, without torch and LeRobot, and as a copied folder, without the package as well."""
    folder = shutil.copytree(exported("sdm", format_), tmp_path / "robot")
    inside = ALONE + "from lerobot_sdm.export.runtime import Policy" + ACT
    copied = ALONE + "sys.path.insert(0, sys.argv[1])\nfrom runtime import Policy" + ACT
    told = []
    for code, blocked in (
        (inside, {"torch", "lerobot"}),
        (copied, {"torch", "lerobot", "lerobot_sdm", "gymnasium", "draccus", "scipy", "numba"}),
    ):
        argv = [sys.executable, "-c", f"BLOCKED = {blocked}\n{code}", str(folder)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        told.append(done.stdout)
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == 6


def test_runtime_is_short():
    assert len(Path(runtime.__file__).read_text().splitlines()) <= 200


def test_clouds_are_made_as_in_training(exported):
    opened = runtime.Policy(exported("sdm"))
    told = opened.manifest["inputs"][POINT_CLOUD]
    random = np.random.default_rng(0)
    points = random.uniform(-1, 1, (300, 6)).astype(np.float32)
    points[3] = np.nan
    told["crop"] = [[-0.5, -0.6, -0.7], [0.5, 0.6, 0.7]]
    origin = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    kept = np.delete(points, 3, axis=0)[:, :3]
    kept = kept[inside_box(kept, *told["crop"])] - origin
    assert np.array_equal(opened.cloud(points, origin), sample_or_pad(kept, 12))
    few = points[:2].copy()
    told["crop"] = None
    assert np.array_equal(opened.cloud(few), sample_or_pad(few[:, :3], 12))
    told["view"] = {"crop": None}  # The environment's own box, which is not told.
    with pytest.raises(runtime.ExportError, match="lacks the box"):
        opened.cloud(few)
    ties = np.round(random.uniform(-1, 1, (200, 3)), 1).astype(np.float32)
    assert np.array_equal(ties[runtime.farthest_points(ties, 50)], sample_or_pad(ties, 50))


def test_invalid_points_are_dropped_if_the_policy_does(exported):
    opened = runtime.Policy(exported("sdm"))
    cloud = with_nan(EXAMPLE[POINT_CLOUD])
    whole = np.delete(cloud, 1, axis=0)
    opened.manifest["invalid_points"] = "drop"
    opened.reset(1)
    dropped = opened.act(changed(point_cloud=cloud))
    opened.reset(1)
    assert np.array_equal(dropped, opened.act(changed(point_cloud=np.resize(whole, (12, 3)))))


@pytest.mark.parametrize("format_", ["onnx", "torch"])
def test_verify(exported, format_):
    done = CliRunner().invoke(
        app, ["export", f"--verify={exported({'onnx': 'sdm', 'torch': SHORT}[format_], format_)}"]
    )
    assert done.exit_code == 0, done.output
    assert "verified" in done.output


def test_long_work_is_told_of(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(SAVED)
    export(order(dataset, tmp_path / "out"), typer.echo)
    assert capsys.readouterr().out.splitlines() == [
        "Running the policy itself",
        "Tracing and converting",
        "Comparing the graph with the policy",
    ]


@pytest.fixture(scope="module")
def larger_clouds(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "larger", points=15)


def test_clouds_of_another_number_of_points(larger_clouds, tmp_path, monkeypatch):
    monkeypatch.chdir(SAVED)
    told = r"--dataset\.repo_id=local/small: its clouds have 15 points, and those of the training have 12.*=dynamic"
    with pytest.raises(InputError, match=told):
        export(order(larger_clouds, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
    export(order(larger_clouds, tmp_path / "out", points="dynamic"))
    with np.load(tmp_path / "out" / runtime.EVIDENCE) as evidence:
        assert evidence[POINT_CLOUD].shape == (6, 2, 15, 3)


def test_vectors_of_one_number(tmp_path, monkeypatch):
    """A gripper's width as the only state and action: LeRobot's reader leaves out the axis of such vectors."""
    gripper = make_small_dataset(tmp_path / "data", state_dim=1, action_dim=1)
    trained = lerobot_train(monkeypatch, gripper, tmp_path / "run", "--policy.type=flow", *SMALL_MIXER, steps=2)
    export(order(gripper, tmp_path / "out", str(trained)))
    opened = runtime.Policy(tmp_path / "out")
    assert opened.act({**EXAMPLE, "observation.state": np.array([0.3])}).shape == (1,)
