"""What happens where data or weights that cells rest on are made again. Weights here are any bytes."""

import re

import pytest
from benchmark_cells import made_cell, write_cells

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json, write_json, write_text
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.provenance import RESUMING, check_data_stages, check_training_stage, data_hash, weights_hash


@pytest.fixture
def layout(tmp_path):
    return RunLayout(tmp_path / "out" / "tasks" / "reach")


def train(layout, name: str, weights: str) -> None:
    """A finished training with three checkpoints."""
    for step in ("000010", "000020", "000030"):
        checkpoint = layout.training(name) / "checkpoints" / step
        write_text(checkpoint / "pretrained_model" / "model.safetensors", f"{weights} {step}")
        write_text(checkpoint / "pretrained_model" / "training_state.safetensors", "critic")
        write_text(checkpoint / "training_state" / "optimizer_state.safetensors", "momenta")
    (layout.training(name) / "checkpoints" / "last").symlink_to("000030")


def finish(layout, *stages: str) -> None:
    for stage in stages:
        write_json(layout.root / "stages" / f"{stage}.json", {})


def finished(layout) -> set[str]:
    return {path.stem for path in (layout.root / "stages").glob("*.json")}


def check(layout, run: str = "dp3", seed: int = 1):
    stage = check_training_stage(layout.root.parents[1] / "cells", "reach", layout, run, seed)
    stage.function()
    return stage


def cell_on(weights: str, method: str = "dp3-10", task: str = "reach", seed: int = 1):
    return made_cell(task, "easy", method, "xx..", seed) | {"hashes": {"dp3": weights}}


def test_what_only_resuming_needs_is_dropped(layout):
    train(layout, "dp3_seed1", "a")
    check(layout)
    checkpoints = [layout.training("dp3_seed1") / "checkpoints" / step for step in ("000010", "000020", "000030")]
    for part in RESUMING:
        assert [(path / part).exists() for path in checkpoints] == [False, False, True]
    assert all((path / "pretrained_model" / "model.safetensors").exists() for path in checkpoints)


def test_the_same_weights_again(layout):
    """Other tasks and other seeds may rest on whatever they like."""
    train(layout, "dp3_seed1", "a")
    same = weights_hash(layout, "dp3_seed1")
    cells = [cell_on(same), cell_on("x", task="reach-wall"), cell_on("x", method="sdm", seed=2)]
    write_cells(layout.root.parents[1], cells)
    stage = check(layout)
    assert read_json(stage.produces) == {"dp3": same}
    assert stage.produces.is_relative_to(layout.training("dp3_seed1"))


def test_other_weights_are_refused_and_both_hashes_kept(layout):
    train(layout, "dp3_seed1", "a")
    now = weights_hash(layout, "dp3_seed1")
    write_cells(layout.root.parents[1], [cell_on("0" * 64), cell_on("0" * 64, "sdm")])
    message = (
        f"'dp3' of reach, made again, has SHA-256 {now[:12]}..., but the finished cells of that task used "
        "000000000000..., as happens on another processor"
    )
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        check(layout)
    assert "delete reach.dp3-10.seed1, reach.sdm.seed1 to redo" in str(caught.value)
    differs = read_json(layout.root / "differs.json")
    assert differs["made_now"] == {"dp3": now}
    assert differs["cells_rest_on"]["reach.sdm.seed1"] == {"dp3": "0" * 64}


def test_other_demonstrations_are_refused_before_anything_is_trained(layout):
    for dataset in (layout.demonstrations, layout.held_out):
        write_text(dataset / "data" / "chunk-000" / "file-000.parquet", str(dataset.name))
    hashes = {"demonstrations": data_hash(layout.demonstrations), "held_out": data_hash(layout.held_out)}
    root = layout.root.parents[1]
    write_cells(root, [made_cell("reach", "easy", "sdm", "xx..", seed=7) | {"hashes": hashes}])
    stages = dict(zip(hashes, check_data_stages(root / "cells", "reach", layout), strict=True))
    for name, stage in stages.items():
        stage.function()
        assert read_json(stage.produces) == {name: hashes[name]}
    # A dataset that is made again takes the product of its own check along, so that the check is repeated.
    assert stages["demonstrations"].produces.is_relative_to(layout.demonstrations)
    assert stages["held_out"].produces.is_relative_to(layout.held_out)
    write_cells(root, [made_cell("reach", "easy", "sdm", "xx..", seed=7) | {"hashes": hashes | {"held_out": "other"}}])
    stages["demonstrations"].function()
    with pytest.raises(InputError, match="'held_out' of reach, made again"):
        stages["held_out"].function()


def test_what_rests_on_other_weights_is_made_again(layout):
    """Cells were deleted to measure all rows anew: outcomes and students of the old teacher must not slip in."""
    train(layout, "dp3_seed1", "a")
    check(layout)
    for name in ("sdm_seed1", "sdm_seed2", "manicm_seed1"):
        train(layout, name, "student")
    of_the_teacher = {"evaluate_dp3-1_seed1", "evaluate_sdm_seed1", "evaluate_sdm_seed1_step10", "measure_sdm_seed1"}
    of_the_teacher |= {"train_sdm_seed1", "check_sdm_seed1", "train_manicm_seed1"}
    others = {"record", "train_dp3_seed1", "train_sdm_seed2", "evaluate_dp3-1_seed2", "evaluate_dp3-1_seed10"}
    others |= {"evaluate_edm_seed1", "train_edm_seed1"}
    finish(layout, *of_the_teacher, *others)
    check(layout)  # The same weights again change nothing.
    assert finished(layout) == of_the_teacher | others
    assert layout.training("sdm_seed1").exists()

    last = layout.checkpoint("dp3_seed1") / "model.safetensors"
    write_text(last, "b")
    check(layout)
    assert finished(layout) == others
    assert not layout.training("sdm_seed1").exists()
    assert not layout.training("manicm_seed1").exists()
    assert layout.training("sdm_seed2").exists()
