"""What clouds show in each view: the pictures of docs/views.md and the table of docs/notes/view_points.md.

python examples/view_pictures.py docs/views.png              # pictures of some tasks
python examples/view_pictures.py docs/views.png --table      # and points on each part, all tasks, as Markdown
"""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure

import lerobot_sdm  # noqa: F401 - registers the environments
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.metaworld.tasks import METAWORLD_TASKS
from lerobot_sdm.measure.pictures import save_figure

DRAWN = (
    ("metaworld_pc", "stick-push"),
    ("metaworld_pc", "pick-place"),
    ("metaworld_pc", "shelf-place"),
    ("adroit", "hammer"),
    ("adroit", "pen"),
    ("dexart", "laptop"),
    ("dexart", "faucet"),
)
VIEWS = ("dp3", "workspace")
COLORS = {"hand": "#d55e00", "arm": "#999999", "scenery": "#c8b48a", "goal": "#009e73", "markers": "#009e73"}
OBJECTS = ("#0072b2", "#cc79a7", "#56b4e9", "#e69f00")
SEED = 1


def opened(env_type: str, task: str, view: str):
    """A reset environment."""
    env = gym.make(FAMILIES[env_type].gym_id(task), disable_env_checker=True, view=view).unwrapped
    env.reset(seed=SEED)
    return env


def draw(path: Path) -> None:
    """A row for each view, a column for each task, points colored by what they lie on; world axes."""
    figure = Figure(figsize=(2.6 * len(DRAWN), 5.8), layout="constrained")
    for column, (env_type, task) in enumerate(DRAWN):
        for row, view in enumerate(VIEWS):
            env = opened(env_type, task, view)
            axes = figure.add_subplot(len(VIEWS), len(DRAWN), row * len(DRAWN) + column + 1, projection="3d")
            for name, points, color in parts(env):
                axes.scatter(*points.T, s=3, color=color, depthshade=False, label=f"{name} {len(points)}")
            axes.set_title(f"{env_type.removesuffix('_pc')} {task}\n{view}", fontsize=9)
            axes.set_aspect("equal")
            axes.view_init(elev=25, azim=-60)
            axes.tick_params(labelsize=5)
            axes.legend(fontsize=6, loc="upper left", frameon=False)
            env.close()
    save_figure(figure, path)


def parts(env):
    """Yield (part, its points of a cloud (n, 3) in world axes, color)."""
    points, geoms, _ = env._sensor.points(env._data, goal=env._goal())
    cloud = env._subsample(points, env.cloud_options.num_points)[:, :3]
    cloud = cloud[(cloud != 0).any(axis=1)]
    # `points_by_part` says how many; here each point is wanted with its part.
    nearest = np.linalg.norm(points[None, :, :3] - cloud[:, None], axis=2).argmin(axis=1)
    names = np.array([env._part_of(geom) for geom in geoms[nearest]])
    frame = env.frame
    world = (cloud - frame.translation) @ frame.rotation
    objects = iter(OBJECTS)
    for name in sorted(set(names)):
        yield name, world[names == name], COLORS.get(name) or next(objects)


def table() -> str:
    """Points on each part at the start of an episode, for each task and view, in Markdown."""
    tasks = [("metaworld_pc", task) for task in METAWORLD_TASKS]
    tasks += [(env_type, task) for env_type in ("adroit", "dexart") for task in FAMILIES[env_type].tasks]
    lines = ["| task | `dp3` | `workspace` |", "| --- | --- | --- |"]
    for env_type, task in tasks:
        cells = []
        for view in VIEWS:
            env = opened(env_type, task, view)
            counted = sorted(env.points_by_part().items(), key=lambda item: -item[1])
            cells.append(", ".join(f"{name} {count}" for name, count in counted))
            env.close()
        lines.append(f"| {task if env_type == 'metaworld_pc' else f'{env_type} {task}'} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
    if "--table" in sys.argv:
        print(table())
