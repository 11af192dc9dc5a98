"""Make a moving picture (GIF) of a video, for a README or a card, which show no videos.

    uv run python examples/moving_picture.py outputs/quickstart/comparison.mp4 docs/detour.gif --width=600 --fps=8

`--start` and `--seconds` show a part of it.
"""

import argparse
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

COLORS = 128
SAMPLED = 16
"""Pictures that the colors are chosen from."""


def moving_picture(video: Path, output: Path, width: int, fps: float, start: float, seconds: float | None) -> int:
    """Write a GIF, whole or not at all.

    Args:
        video: Any video that ffmpeg reads.
        output: GIF to write.
        width: Of the picture, in pixels; its height follows.
        fps: Pictures per second, or nearly: each one is a frame of the video, shown as long as it stands for.
        start: Seconds of the video to leave out.
        seconds: How much of it to show; to its end if None.

    Returns:
        How many pictures it has.

    Raises:
        ValueError: If nothing of the video is left.
    """
    rate = iio.immeta(video, plugin="pyav")["fps"]
    frames = iio.imread(video, plugin="pyav")
    stop = len(frames) if seconds is None else round((start + seconds) * rate)
    step = max(1, round(rate / fps))
    shown = frames[round(start * rate) : stop : step]
    if not len(shown):
        raise ValueError(f"{video} has {len(frames) / rate:.1f} s, none of them behind second {start:g}.")
    height = round(shown.shape[1] * width / shown.shape[2])
    pictures = [Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS) for frame in shown]
    # One palette for all: colors that change from picture to picture flicker, and cost bytes.
    some = np.concatenate([np.asarray(picture) for picture in pictures[:: max(1, len(pictures) // SAMPLED)]])
    palette = Image.fromarray(some).quantize(COLORS)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    temporary = output.with_name(f".{output.name}.tmp")
    pictures[0].save(
        temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=round(1000 * step / rate), loop=0
    )
    temporary.replace(output)
    return len(pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--width", type=int, default=720)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--seconds", type=float)
    options = parser.parse_args()
    count = moving_picture(**vars(options))
    print(f"{options.output}: {count} pictures, {options.output.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
