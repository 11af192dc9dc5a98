"""`lerobot-sdm convert` from its command line."""

from pathlib import Path

import pytest
from make_stores import demonstrations, write_store
from typer.testing import CliRunner

from lerobot_sdm.cli import main


def run(*arguments: str):
    return CliRunner().invoke(main.app, ["convert", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def demo(tmp_path) -> Path:
    return write_store(tmp_path / "demo.zarr", *demonstrations())


def test_shows_the_guess_and_converts(demo, tmp_path):
    result = run(demo, "--root", tmp_path / "out", "--fps=20", "--workers=1", "--resample-points=8", "--images=skip")
    assert result.exit_code == 0, result.output
    for said in (
        "observation.point_cloud",
        "float32 (8, 6), numbers, resampled",
        "TIFF, lossless, assumed to be m",
        "3 episodes, 12 frames",
    ):
        assert said in result.output
    assert "observation.image" not in result.output
    assert (tmp_path / "out/meta/info.json").exists()


def test_a_dry_run_writes_nothing(demo, tmp_path):
    given = ("--map", "state[:2]=observation.state", "--map", "full_state=privileged", "--skip=depth")
    result = run(demo, "--dry-run", "--fps=20", "--task=Pick it up", *given)
    assert result.exit_code == 0, result.output
    for said in ("state[:2]", "privileged", "'Pick it up'", "layout other"):
        assert said in result.output
    assert "depth" not in result.output
    assert list(tmp_path.iterdir()) == [demo]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--fps: is missing"),
        (("--fps=20", "--map=stat=observation.state"), "Did you mean 'state'"),
        (("--fps=20", "--images=vido"), "Did you mean 'video'"),
        (("--fps=20", "--layout=metawrld"), "metaworld"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(demo, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = run(demo, *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [demo]


def test_the_store_of_this_folder(demo, tmp_path, monkeypatch):
    """`data/<name>` of the working directory would be the store's own data, which nobody may be told to remove."""
    monkeypatch.chdir(demo)
    before = sorted(demo.rglob("*"))
    for arguments in ((), ("--root=data",), (f"--root={demo}/new",), ("--root=.",)):
        result = run(".", "--fps=20", *arguments)
        assert result.exit_code == 2
        assert "is inside the store demo.zarr" in result.output
        assert "remove" not in result.output
    assert sorted(demo.rglob("*")) == before
    result = run(".", "--fps=20", "--dry-run", f"--root={tmp_path / 'out'}")
    assert result.exit_code == 0, result.output
    assert "task 'demo'" in result.output


def test_a_dataset_that_exists_is_left_alone(demo, tmp_path):
    for root in (tmp_path, demo.parent):
        result = run(demo, "--fps=20", f"--root={root}")
        assert (result.exit_code, "exists already. Choose another name." in result.output) == (2, True)


@pytest.mark.parametrize("name", ["Tür öffnen", "a,b=c", "v1.2.zarr-old", "x y.zarr", "--root", "a]b"])
def test_names_of_every_kind(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays, ends = demonstrations((4,))
    kept = {"action": arrays["action"], "state": arrays["state"]}
    source = write_store(tmp_path / name / f"{name}.zarr", kept, ends)
    result = run(source, "--fps=20", "--workers=1")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "data" / name / "meta/info.json").exists()
    result = run(source, "--fps=20", "--workers=1", f"--root={name}/{name}")
    assert result.exit_code == 0, result.output
    assert (tmp_path / name / name / "meta/info.json").exists()


@pytest.mark.parametrize("name", ["[d]", "what?", "a*"])
def test_folders_that_lerobot_takes_for_patterns(name, demo, tmp_path):
    result = run(demo, "--fps=20", f"--root={tmp_path / name / 'out'}")
    assert result.exit_code == 2
    assert "LeRobot cannot read datasets under a path that contains" in result.output
    assert list(tmp_path.iterdir()) == [demo]
