"""Combine LeRobot's evaluation videos into one that shows the table's rows side by side on the same episodes."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from lerobot.utils.io_utils import write_video
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lerobot_sdm.files import new_file
from lerobot_sdm.measure.methods import SHOWN
from lerobot_sdm.measure.plan import RunLayout

EPISODES = 3
FPS = 30  # Simulated at 80, so this is slow motion that a viewer can follow.
HOLD = 30  # Frames for which an episode's last frame is held.


def comparison_video(results: dict[str, Any], layout: RunLayout, path: Path) -> list[int]:
    """Write the side-by-side video (MP4) of the rows of a quickstart's `results.json`, from the videos that
    `lerobot-eval` wrote of their first episodes. Returns the seeds of the episodes shown."""
    outcomes = {row["key"]: row["successes"] for row in results["rows"]}
    videos = {key: episode_videos(layout.evaluation(key)) for key in SHOWN}
    # LeRobot also films episodes that fill up its last batch but are not counted.
    counted = range(len(next(iter(outcomes.values()))))
    available = set(counted).intersection(*videos.values())
    shown = choose_episodes(outcomes, sorted(available))
    frames: list[NDArray[np.uint8]] = []
    first_seed = results["evaluation_seeds"][0]
    for episode in shown:
        clips = {key: iio.imread(videos[key][episode], plugin="pyav") for key in SHOWN}
        captions = {key: f"{SHOWN[key]}: {'success' if outcomes[key][episode] else 'failure'}" for key in SHOWN}
        frames += side_by_side(clips, captions, f"seed {first_seed + episode}")
    save_video(frames, path)
    return [first_seed + episode for episode in shown]


def save_video(frames: list[NDArray[np.uint8]], path: Path) -> None:
    """Write frames (H, W, 3) as MP4, atomically."""
    with new_file(path) as temporary:
        write_video(temporary, frames, FPS)


def episode_videos(folder: Path) -> dict[int, Path]:
    """Videos of an evaluation by episode number."""
    return {int(path.stem.rpartition("_")[2]): path for path in folder.glob("videos/*/eval_episode_*.mp4")}


def choose_episodes(outcomes: dict[str, list[bool]], available: list[int], count: int = EPISODES) -> list[int]:
    """Choose episodes to show: first those in which the rows differ, then any, each in order of seeds.

    The video illustrates the differences in the table; it is not evidence of its own.

    Args:
        outcomes: Success of each row, episode by episode.
        available: Episodes with videos.
    """
    differing = [episode for episode in available if len({outcomes[key][episode] for key in SHOWN}) > 1]
    same = [episode for episode in available if episode not in differing]
    return sorted((differing + same)[:count])


def side_by_side(clips: dict[str, NDArray[np.uint8]], captions: dict[str, str], footer: str) -> list[NDArray[np.uint8]]:
    """Put clips (T, H, W, 3) next to each other, the shorter ones waiting on their last frame.

    Args:
        clips: Frames by row; all of one height and width.
        captions: Text above each clip.
        footer: Text at the bottom left.
    """
    length = max(len(clip) for clip in clips.values()) + HOLD
    return [
        np.hstack(
            [
                _captioned(clip[min(index, len(clip) - 1)], captions[key], footer if number == 0 else "")
                for number, (key, clip) in enumerate(clips.items())
            ]
        )
        for index in range(length)
    ]


def _captioned(frame: NDArray[np.uint8], caption: str, footer: str) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    bar = 24
    # H.264 needs even sizes.
    image = Image.new("RGB", (width + width % 2, height + bar + height % 2), "white")
    image.paste(Image.fromarray(frame), (0, bar))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=13)
    draw.text((6, 4), caption, fill="black", font=font)
    draw.text((6, bar + height - 20), footer, fill="white", font=font, stroke_width=1, stroke_fill="black")
    return np.asarray(image)
