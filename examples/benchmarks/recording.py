"""How fast an expert's episodes become a LeRobot dataset, beside the driving itself.

    python examples/benchmarks/recording.py --task=drawer-open --episodes=10 --workers 1 2

`driving` is the limit of one process: environment and expert alone, with clouds, nothing kept. What recording takes
beyond it is storing attempts, writing the dataset and reading it back; what workers gain, they gain in driving.
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")


def drive(config, episodes: int) -> tuple[float, int]:
    """Seconds and frames of so many attempts of a recording, none of them stored."""
    from lerobot_sdm.datasets.driving import Driver, Setting
    from lerobot_sdm.datasets.episodes import Rules, attempts
    from lerobot_sdm.datasets.episodes import drive as drive_attempt
    from lerobot_sdm.experts import expert_class

    rules = Rules("all", config.min_success_steps, config.stop_after_success)
    expert = expert_class(config.expert)
    setting = Setting(config.env, expert, {"action_noise": config.action_noise, "clip": True}, rules, config.seed)
    driver = Driver(setting, Path())
    starts = attempts(setting.seed, expert.variants)
    drive_attempt(driver.env, driver.expert, next(starts), rules, setting.columns)  # compiles, opens graphics
    started, frames = time.perf_counter(), 0
    for _ in range(episodes):
        episode = drive_attempt(driver.env, driver.expert, next(starts), rules, setting.columns)
        frames += len(episode.frames["action"])
    driver.env.close()
    return time.perf_counter() - started, frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env-type", default="metaworld_pc")
    parser.add_argument("--task", default="drawer-open")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()

    from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
    from lerobot.envs.factory import make_env_config

    import lerobot_policy_sdm  # noqa: F401 - registers the environment types
    from lerobot_sdm.datasets.record import RecordConfig, record

    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {options.env_type} {options.task}, {options.episodes} episodes"
    )
    env = make_env_config(options.env_type, task=options.task)
    seconds, frames = drive(RecordConfig(env=env, root=Path("nowhere")).checked(), options.episodes)
    limit = frames / seconds
    print(f"driving alone: {limit:.0f} frames per second")
    with tempfile.TemporaryDirectory() as scratch:
        for workers in options.workers:
            root = Path(scratch) / f"by-{workers}"
            config = RecordConfig(env=env, episodes=options.episodes, root=root, workers=workers, keep="all")
            started = time.perf_counter()
            root = record(config)
            seconds = time.perf_counter() - started
            rate = LeRobotDatasetMetadata("local/benchmark", root=root).total_frames / seconds
            print(f"recording, {workers} worker(s): {rate:.0f} frames per second, {rate / limit:.2f} of driving alone")


if __name__ == "__main__":
    main()
