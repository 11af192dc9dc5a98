"""Read a training's loss curve from the output of LeRobot's command."""

import re
from pathlib import Path

from lerobot_sdm.measure.settings import Training

FRAMES = re.compile(r"dataset\.num_frames=(\d+)")
LINE = re.compile(r"epch:(\d+\.\d+) loss:(-?\d+\.\d+)")


def loss_curve(log: Path, training: Training) -> list[tuple[int, float]]:
    """Steps and losses of a training.

    LeRobot abbreviates steps ("step:2K") but prints epochs in full, from which the steps follow. Lines of a part that
    was trained again after an interruption replace earlier ones.

    Args:
        log: Output of `lerobot-train`, all attempts in sequence.
        training: Its settings.

    Returns:
        (step, mean loss since the last one) in order of steps.
    """
    text = log.read_text(errors="replace")
    frames = FRAMES.search(text)
    every = training.options.get("log_freq")
    if frames is None or every is None:
        return []
    per_epoch = int(frames[1]) / training.batch_size
    losses = {}
    for epochs, loss in LINE.findall(text):
        losses[every * round(float(epochs) * per_epoch / every)] = float(loss)
    return sorted(losses.items())
