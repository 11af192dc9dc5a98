"""Losses from what `lerobot-train` prints."""

from lerobot_sdm.files import write_json
from lerobot_sdm.measure.records import loss_curve, stage_records
from lerobot_sdm.measure.settings import Training

TRAINING = Training(steps=400, batch_size=50, save_freq=200, options={"log_freq": 100})
START = "INFO train.py:1 dataset.num_frames=1250 (1K)\n"


def line(epochs: float, loss: float) -> str:
    return f"INFO train.py:2 step:1K smpl:5K ep:1 epch:{epochs:.2f} loss:{loss:.3f} grdn:0.1 lr:1e-4 updt_s:0.01\n"


def test_steps_follow_from_epochs(tmp_path):
    """25 steps of 50 see 1250 frames once."""
    log = tmp_path / "log"
    log.write_text(START + line(4.0, 1.5) + line(8.0, 0.5))
    assert loss_curve(log, TRAINING) == [(100, 1.5), (200, 0.5)]


def test_what_was_trained_again_replaces_what_was_lost(tmp_path):
    log = tmp_path / "log"
    before = START + line(4.0, 1.5) + line(8.0, 0.5) + line(12.0, 9.0)
    log.write_text(before + "killed\n" + START + line(12.0, 0.4) + line(16.0, 0.3))
    assert loss_curve(log, TRAINING) == [(100, 1.5), (200, 0.5), (300, 0.4), (400, 0.3)]


def test_what_was_started_anew_has_no_losses_of_before(tmp_path):
    log = tmp_path / "log"
    start, resumption = "$ lerobot-train --policy.type=sdm --steps=400\n", "$ lerobot-train --resume=true\n"
    before = start + START + line(4.0, 1.5) + line(8.0, 0.5) + line(12.0, 9.0)
    log.write_text(before + start + START + line(4.0, 2.5) + resumption + START + line(8.0, 0.7))
    assert loss_curve(log, TRAINING) == [(100, 2.5), (200, 0.7)]


def test_no_losses(tmp_path):
    log = tmp_path / "log"
    log.write_text("Traceback (most recent call last)\n")
    assert loss_curve(log, TRAINING) == []


def test_commands_do_not_name_the_folder_of_a_machine(tmp_path):
    marker = {"seconds": 1.0, "continued": False, "fingerprint": "0"}
    train = f"lerobot-train --dataset.root={tmp_path}/data --output_dir={tmp_path}/teacher"
    write_json(tmp_path / "stages/a.json", marker | {"stage": "train", "command": train, "finished": "2026-01-01T02"})
    write_json(tmp_path / "stages/b.json", marker | {"stage": "check", "command": None, "finished": "2026-01-01T01"})
    commands = [(record["stage"], record["command"]) for record in stage_records(tmp_path)]
    assert commands == [("check", None), ("train", "lerobot-train --dataset.root=data --output_dir=teacher")]
