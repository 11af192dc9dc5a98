"""How a training went, read from what LeRobot's command printed."""

import re
from pathlib import Path

from lerobot_sdm.measure.settings import Training

FRAMES = re.compile(r"dataset\.num_frames=(\d+)")
LINE = re.compile(r"epch:(\d+\.\d+) loss:(-?\d+\.\d+)")


def loss_curve(log: Path, training: Training) -> list[tuple[int, float]]:
    """Steps and losses of a training.

    LeRobot prints steps shortened ("step:2K") but epochs in full, from which steps follow. Lines of a part that was
    trained again after an interruption replace earlier ones.

    Args:
        log: Output of `lerobot-train`, all attempts after one another.
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
