"""Recording demonstrations: an expert drives, episodes that count are kept, a LeRobotDataset comes out."""

import contextlib
import dataclasses
import hashlib
import inspect
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import draccus
from lerobot.envs.configs import EnvConfig
from tqdm import tqdm

from lerobot_sdm.datasets.collect import Driver, Setting, outcomes
from lerobot_sdm.datasets.disk import disk_full_is_an_input_error
from lerobot_sdm.datasets.episodes import Episode, Rules
from lerobot_sdm.datasets.names import check_lerobot_can_read
from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.experts import check_expert, default_expert, expert_class

logger = logging.getLogger(__name__)

KEEP = ("any", "last", "all")


@dataclass
class RecordConfig:
    """What to record. Every field is an option of `lerobot-sdm record`.

    Attributes:
        env: The environment, `--env.type=metaworld_pc --env.task=drawer-open` and any other of its fields.
        episodes: Episodes in the dataset.
        root: Folder of the dataset, which must not exist yet; unless given, `data/<task>`, or `data/adroit-<task>`.
        repo_id: Name of the dataset; unless given, `local/` and the same name.
        seed: Seed of the first start state; the next start state takes the next seed, and so on.
        workers: Processes that drive at the same time. The dataset does not depend on it.
        expert: Who drives: a registered name, or "module:Class"; unless given, the task's own.
        expert_path: The file or folder that the expert reads, where it reads one.
        action_noise: Standard deviation of Gaussian noise on the expert's actions.
        clip_actions: Record actions clipped to [-1, 1]; false keeps what the expert asked for, as DP3 does.
        keep: `any`: success at any step; `last`: success at the last step too; `all`: failed episodes too.
        min_success_steps: For how many simulator steps the goal must hold for `any` and `last`; unless given, what
            the DP3 scripts ask for, 5 in MetaWorld and 10 in Adroit.
        stop_after_success: Cut episodes this many steps after their first success; unless given, they are
            recorded at their full length.
        max_failures: Failed episodes after which recording gives up; max(20, 3 * episodes) unless given.
        image: Also record the camera's picture, as `observation.image`.
    """

    env: EnvConfig
    episodes: int = 10
    root: Path | None = None
    repo_id: str | None = None
    seed: int = 0
    workers: int = 1
    expert: str | None = None
    expert_path: Path | None = None
    action_noise: float = 0.0
    clip_actions: bool = True
    keep: str = "any"
    min_success_steps: int | None = None
    stop_after_success: int | None = None
    max_failures: int | None = None
    image: bool = False

    def recording_env(self) -> PointCloudEnvConfig:
        """The environment as it is recorded: one task, going on after success, with pictures if asked for.

        Raises:
            InputError: The environment has no expert's state, or names more than one task.
        """
        if not isinstance(self.env, PointCloudEnvConfig):
            raise InputError(
                f"--env.type={self.env.type}: no expert can drive it. Record from an environment of this package."
            )
        tasks = self.env.task_names()
        if len(tasks) != 1:
            raise InputError(
                f"--env.task={self.env.task}: stands for {len(tasks)} tasks. A dataset holds one: record each apart."
            )
        return self.env.as_recorded(tasks[0], pixels=self.image)

    def checked(self) -> "RecordConfig":
        """This configuration with its blanks filled in.

        Raises:
            InputError: A value that cannot work; nothing has been written then.
        """
        lowest = {"episodes": 1, "workers": 1, "min_success_steps": 1, "seed": 0}
        # LeRobot cannot store an episode of a single frame, so at least one follows the first success.
        lowest |= {"stop_after_success": 1, "max_failures": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"--{name}={value}: give {least} or more.")
        if self.keep not in KEEP:
            raise unknown_name("--keep", self.keep, KEEP)
        env = self.recording_env()
        expert = self.expert or default_expert(env.type, env.task)
        check_expert(expert, env.type, self.expert_path)
        variants = expert_class(expert).variants
        if self.episodes % variants:
            raise InputError(
                f"--episodes={self.episodes}: expert '{expert}' records every start {variants} times. "
                f"Give a multiple of {variants}."
            )
        name = env.dataset_name(env.task)
        root = self.root or Path("data") / name
        if root.exists():
            raise InputError(f"--root={root}: exists already. Choose another folder.")
        check_lerobot_can_read("--root", root)
        return dataclasses.replace(
            self,
            env=env,
            expert=expert,
            root=root,
            repo_id=self.repo_id or f"local/{name}",
            min_success_steps=env.min_success_steps if self.min_success_steps is None else self.min_success_steps,
            max_failures=max(20, 3 * self.episodes) if self.max_failures is None else self.max_failures,
        )


def record(config: RecordConfig) -> Path:
    """Record a dataset.

    Finished attempts are kept beside the dataset until it is complete: the same call, repeated after an
    interruption, goes on with them. The dataset appears under its root whole or not at all.

    Args:
        config: What to record.

    Returns:
        The folder of the dataset.

    Raises:
        InputError: A value cannot work, the expert failed too often, or the disk is full.
    """
    from lerobot_sdm.datasets.write import verify, write

    config = config.checked()
    options = {"action_noise": config.action_noise, "clip": config.clip_actions}
    if config.expert_path is not None:
        options["path"] = config.expert_path
    setting = Setting(
        env_config=config.env,
        expert_class=expert_class(config.expert),
        expert_options=options,
        rules=Rules(config.keep, config.min_success_steps, config.stop_after_success),
        seed=config.seed,
    )
    folder = config.root.parent / f".{config.root.name}.recording-{_fingerprint(config)}"
    driver = Driver(setting, folder)
    with contextlib.closing(driver.env), disk_full_is_an_input_error(config.root):
        # Whatever is wrong with the scene, with graphics or with what the expert reads shows here, before anything
        # is written.
        driver.expert.start(driver.env, config.seed)
        folder.mkdir(parents=True, exist_ok=True)
        if finished := len(list(folder.glob("attempt-*.npz"))):
            logger.warning("Going on with %d attempts of an earlier run of this recording.", finished)
        kept, failed = _collect(config, driver)
        facts = {
            "task": config.env.task,
            "task_description": driver.env.unwrapped.task_description,
            "env": draccus.encode(config.env) | {"type": config.env.type},
            "expert": driver.expert.provenance(),
            "rules": dataclasses.asdict(setting.rules),
            "seed": config.seed,
            "failed": [dataclasses.asdict(episode.attempt) for episode in failed],
        }
        unfinished = folder / "dataset"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        paths = [driver.path(episode.attempt) for episode in kept]
        write(unfinished, config.repo_id, config.env, paths, facts)
        verify(unfinished, config.repo_id, paths)
    unfinished.rename(config.root)
    shutil.rmtree(folder)
    return config.root


def _collect(config: RecordConfig, driver: Driver) -> tuple[list[Episode], list[Episode]]:
    """Drive until there are enough episodes; returns the outcomes kept and those that failed, in order."""
    variants = driver.setting.expert_class.variants
    kept: list[Episode] = []
    failed: list[Episode] = []
    with (
        tqdm(total=config.episodes, desc=config.env.task, unit="episode") as bar,
        contextlib.closing(outcomes(driver, min(config.workers, config.episodes))) as stream,
    ):
        while len(kept) < config.episodes and len(failed) <= config.max_failures:
            # Every variant of a start counts or none does: the ways to act stay balanced.
            start = [next(stream) for _ in range(variants)]
            if all(episode.kept for episode in start):
                kept += start
                bar.update(variants)
            else:
                failed += start
                bar.set_postfix(failed=len(failed))
    if len(kept) < config.episodes:
        raise _gave_up(config, driver.folder, kept, failed)
    return kept, failed


def _gave_up(config: RecordConfig, folder: Path, kept: list[Episode], failed: list[Episode]) -> InputError:
    attempted = len(kept) + len(failed)
    message = (
        f"--env.task={config.env.task}: expert '{config.expert}' failed {len(failed)} of {attempted} episodes "
        f"(--keep={config.keep} --min-success-steps={config.min_success_steps}), {len(kept)} of "
        f"{config.episodes} are recorded. "
    )
    if kept:
        return InputError(f"{message}They are kept: a larger --max-failures than {config.max_failures} goes on.")
    shutil.rmtree(folder)
    return InputError(f"{message}Choose another expert or task, or ask for less with --min-success-steps.")


def _fingerprint(config: RecordConfig) -> str:
    """Of everything that decides what the attempts contain, so that no other recording's are taken for them."""
    from lerobot_sdm.datasets.write import versions

    ignored = ("root", "repo_id", "episodes", "workers", "max_failures")
    decisive = {key: value for key, value in draccus.encode(config).items() if key not in ignored}
    driver_code = Path(inspect.getfile(expert_class(config.expert))).read_text()
    text = json.dumps([decisive, versions(), driver_code, _content(config.expert_path)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _content(path: Path | None) -> list:
    """What an expert reads: a file by its content; a folder, which may be large, by names, sizes and dates."""
    if path is None:
        return []
    if path.is_file():
        return [hashlib.sha256(path.read_bytes()).hexdigest()]
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    return [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
