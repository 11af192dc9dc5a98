"""Exports that are refused before anything is left, and what a runtime refuses to read or to act on."""

import json
import shutil
import sys
from collections.abc import Callable

import numpy as np
import pytest
from saved_checkpoints import SAVED
from small_exports import EXAMPLE, changed, order, with_nan
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.export import options, runtime
from lerobot_sdm.export.write import export

BAD_OBSERVATIONS = {
    "missing": ({"observation.state": EXAMPLE["observation.state"]}, "'observation.point_cloud' is missing"),
    "few points": (changed(point_cloud=EXAMPLE[POINT_CLOUD][:11]), r"shape \(11, 3\).*--points=dynamic"),
    "no color": (changed(point_cloud=EXAMPLE[POINT_CLOUD][:, :2]), r"shape \(12, 2\)"),
    "a batch": (changed(point_cloud=EXAMPLE[POINT_CLOUD][None]), r"shape \(1, 12, 3\)"),
    "long state": (changed(state=np.zeros(10)), r"'observation.state' has shape \(10,\)"),
    "NaN in the cloud": (changed(point_cloud=with_nan(EXAMPLE[POINT_CLOUD])), "not finite in 1 of 36"),
    "NaN in the state": (changed(state=with_nan(EXAMPLE["observation.state"])), "not finite in 1 of 9"),
}


@pytest.mark.parametrize(("seen", "told"), BAD_OBSERVATIONS.values(), ids=BAD_OBSERVATIONS)
def test_bad_observations(exported, seen, told):
    with pytest.raises(runtime.ExportError, match=told):
        runtime.Policy(exported("sdm")).act(seen)


def test_clouds_of_another_frame(exported):
    opened = runtime.Policy(exported("sdm"))
    assert opened.manifest["inputs"][POINT_CLOUD]["frame"] is None
    assert opened.act(EXAMPLE, frame="any").shape == (4,)
    opened.manifest["inputs"][POINT_CLOUD]["frame"] = "hand"
    assert opened.act(EXAMPLE, frame="hand").shape == (4,)
    with pytest.raises(runtime.ExportError, match="frame=world: the policy was trained on clouds in frame 'hand'"):
        opened.act(EXAMPLE, frame="world")


def edited(key: str, value) -> Callable[[dict], None]:
    def edit(manifest: dict) -> None:
        *path, last = key.split("/")
        for part in path:
            manifest = manifest[part]
        manifest[last] = value

    return edit


DAMAGE = {
    "another shape": (edited("inputs/observation.state/shape", ["batch", 2, 8]), "the graph has"),
    "another input": (edited("inputs/observation.force", {"shape": ["batch", 2, 3]}), "the graph has"),
    "number as text": (edited("n_obs_steps", "2"), "'n_obs_steps' is not understood"),
    "another version": (edited("version", 2), "'version' is not understood"),
    "another format": (edited("format", "exe"), "'format' is not understood"),
    "no key": (lambda manifest: manifest.pop("output"), "missing or damaged"),
    "no such file": (edited("graph", "../model.onnx"), "is missing, or was changed"),
}


@pytest.mark.parametrize(("damage", "told"), DAMAGE.values(), ids=DAMAGE)
def test_a_manifest_that_does_not_fit(exported, tmp_path, damage, told):
    folder = shutil.copytree(exported("sdm"), tmp_path / "folder")
    manifest = json.loads((folder / runtime.MANIFEST).read_text())
    damage(manifest)
    (folder / runtime.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(runtime.ExportError, match=told):
        runtime.Policy(folder)


@pytest.mark.parametrize("name", ["model.onnx", "certificate.npz", "runtime.py"])
def test_a_file_that_was_changed(exported, tmp_path, name):
    folder = shutil.copytree(exported("sdm"), tmp_path / "folder")
    (folder / name).write_bytes((folder / name).read_bytes() + b"\n")
    done = CliRunner().invoke(app, ["export", f"--verify={folder}"])
    assert done.exit_code == 2
    assert f"{name}: is missing, or was changed after the export" in done.output.replace("\n", "")
    (folder / name).unlink()
    with pytest.raises(runtime.ExportError, match=name):
        runtime.Policy(folder)


@pytest.mark.parametrize("tolerance", [1e-9, None])
def test_above_the_tolerance_nothing_is_left(dataset, tmp_path, monkeypatch, tolerance):
    monkeypatch.chdir(SAVED)
    monkeypatch.setitem(options.TOLERANCES, "int8", 1e-9)
    with pytest.raises(InputError, match=r"--tolerance=1e-09: the largest error is .* Give a larger one"):
        export(order(dataset, tmp_path / "out", precision="int8", tolerance=tolerance))
    assert list(tmp_path.iterdir()) == []


def test_too_few_frames(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(SAVED)
    with pytest.raises(InputError, match=r"--observations=6, --calibration=100: need 106 different frames.* has 55"):
        export(order(dataset, tmp_path / "out", precision="int8", calibration=100))
    assert list(tmp_path.iterdir()) == []


def test_a_type_that_cannot_be_exported(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(SAVED)
    with pytest.raises(InputError, match=r"the type 'difftori' cannot be exported, because it optimizes"):
        export(order(dataset, tmp_path / "out", "difftori"))
    assert list(tmp_path.iterdir()) == []


def test_an_extra_that_is_missing(monkeypatch):
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: None)
    for format_, package in (("onnx", "onnx"), ("openvino", "openvino")):
        with pytest.raises(InputError, match=rf"{package} is not installed. Run `uv sync --extra {format_}`"):
            options.check_options(format_, "float32", "fixed", None)
    monkeypatch.setitem(options.EXTRAS, "openvino", ())
    with pytest.raises(InputError, match="--precision=int8: onnx is not installed"):
        options.check_options("openvino", "int8", "fixed", None)


def test_a_runtime_package_that_is_missing(exported, monkeypatch):
    folder = exported("sdm")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(runtime.ExportError, match="pip install onnxruntime"):
        runtime.Policy(folder)


BAD_OPTIONS = {
    ("--format=onxn",): "onnx",
    ("--precision=int4",): "int8",
    ("--points=any",): "--points",
    ("--tolerance=0",): "--tolerance=0",
    ("--format=torch", "--precision=int8"): "inference_precision=int8",
    ("--observations=0",): "--observations=0",
    ("--samples=1",): "--samples=1: must be at least 2",
    ("--output=.",): "exists already",
}


@pytest.mark.parametrize(("arguments", "told"), BAD_OPTIONS.items(), ids=" ".join)
def test_bad_options(arguments, told):
    argv = ["export", str(SAVED / "sdm"), "--output=out", "--dataset.repo_id=a/b", *arguments]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 2
    assert told in done.output
