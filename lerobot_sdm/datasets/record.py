"""Records demonstrations: an expert acts, the successful episodes become a LeRobotDataset."""

import contextlib
import dataclasses
import inspect
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import draccus
from lerobot.envs.configs import EnvConfig
from tqdm import tqdm

from lerobot_sdm.datasets.disk import disk_full_is_an_input_error
from lerobot_sdm.datasets.driving import Driver, Setting
from lerobot_sdm.datasets.episodes import Episode, Rules
from lerobot_sdm.datasets.helpers import Helpers, outcomes
from lerobot_sdm.datasets.names import check_new_dataset, only_writer
from lerobot_sdm.datasets.processes import killed_worker_is_an_input_error
from lerobot_sdm.datasets.record_options import RecordOptions
from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts import expert_class
from lerobot_sdm.files import digest, sha256
from lerobot_sdm.processes.threads import available_cores

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class RecordConfig(RecordOptions):
    """What to record. Every field is an option of `lerobot-sdm record`; see `RecordOptions` for the others.

    Attributes:
        env: The environment, such as `--env.type=metaworld_pc --env.task=drawer-open`, with any of its fields.
    """

    env: EnvConfig

    def recording_env(self) -> PointCloudEnvConfig:
        """The environment for recording: one task, does not stop at success, renders pictures if `image` is set.

        Raises:
            InputError: Experts cannot act in this environment, or it names more than one task.
        """
        if not isinstance(self.env, PointCloudEnvConfig):
            raise InputError(f"--env.type={self.env.type}: has no expert. Record from an environment of this package.")
        tasks = self.env.task_names()
        if len(tasks) != 1:
            raise InputError(
                f"--env.task={self.env.task}: stands for {len(tasks)} tasks. Give one; each needs its own dataset."
            )
        return self.env.as_recorded(tasks[0], pixels=self.image)

    def checked(self) -> "RecordConfig":
        """This configuration with its defaults filled in.

        Raises:
            InputError: A value is invalid; nothing has been written.
        """
        self.check_values()
        env = self.recording_env()
        expert = self.checked_expert(env.type, env.task)
        name = env.dataset_name(env.task)
        root = self.root or Path("data") / name
        check_new_dataset(root)
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
    """Record a dataset and return its folder.

    Finished attempts are kept next to the dataset until it is complete: the same call, repeated after an
    interruption, resumes from them. The dataset appears at its root only when it is complete.

    Raises:
        InputError: A value is invalid, the expert failed too often, or the disk is full.
    """
    from lerobot_sdm.datasets.write import new_dataset, write

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
    workers = min(config.workers, config.episodes, available_cores())
    with contextlib.ExitStack() as locked, contextlib.ExitStack() as opened:
        helpers = opened.enter_context(contextlib.closing(Helpers(workers - 1, setting, folder)))
        driver = Driver(setting, folder)
        opened.enter_context(contextlib.closing(driver.env))
        opened.enter_context(disk_full_is_an_input_error(config.root))
        # Errors in the scene, the graphics, or the expert's files show up here, before anything is written.
        driver.expert.start(driver.env, config.seed)
        locked.enter_context(only_writer(folder))
        if finished := len(list(folder.glob("attempt-*.npz"))):
            logger.warning("Resuming with %d attempts of an earlier run of this recording.", finished)
        opened.enter_context(killed_worker_is_an_input_error())
        kept, failed = _collect(config, driver, helpers)
        facts = {
            "task": config.env.task,
            "task_description": driver.env.unwrapped.task_description,
            "env": draccus.encode(config.env) | {"type": config.env.type},
            "view": config.env.cloud_view(),
            "expert": driver.expert.provenance(),
            "rules": dataclasses.asdict(setting.rules),
            "seed": config.seed,
            "failed": [dataclasses.asdict(episode.attempt) for episode in failed],
        }
        paths = [driver.path(episode.attempt) for episode in kept]
        opened.close()
        with disk_full_is_an_input_error(config.root), new_dataset(folder, config.root) as unfinished:
            write(unfinished, config.repo_id, config.env, paths, facts)
    return config.root


def _collect(config: RecordConfig, driver: Driver, helpers: Helpers) -> tuple[list[Episode], list[Episode]]:
    """Run attempts until there are enough episodes; returns the kept and the failed outcomes, in order."""
    variants = driver.setting.expert_class.variants
    kept: list[Episode] = []
    failed: list[Episode] = []
    with (
        tqdm(total=config.episodes, desc=config.env.task, unit="episode") as bar,
        contextlib.closing(outcomes(driver, helpers, lambda: config.episodes - len(kept))) as stream,
    ):
        while len(kept) < config.episodes and len(failed) <= config.max_failures:
            # Keep all variants of a start state or none, so that the variants stay balanced.
            start = [next(stream) for _ in range(variants)]
            if all(episode.kept for episode in start):
                kept += start
                bar.update(variants)
            else:
                failed += start
                bar.set_postfix(failed=len(failed))
    if len(kept) < config.episodes:
        helpers.close()  # An attempt that still runs would create its folder again.
        raise _gave_up(config, driver.folder, kept, failed)
    return kept, failed


def _gave_up(config: RecordConfig, folder: Path, kept: list[Episode], failed: list[Episode]) -> InputError:
    attempted = len(kept) + len(failed)
    message = (
        f"--env.task={config.env.task}: expert '{config.expert}' failed {len(failed)} of {attempted} episodes "
        f"(--keep={config.keep} --min-success-steps={config.min_success_steps}) and recorded {len(kept)} of "
        f"{config.episodes}. "
    )
    if kept:
        return InputError(f"{message}They are kept. Rerun with --max-failures above {config.max_failures} to resume.")
    shutil.rmtree(folder)
    return InputError(f"{message}Choose another expert or task, or lower --min-success-steps.")


def _fingerprint(config: RecordConfig) -> str:
    """Hash of everything that determines the attempts, so that attempts of another recording are not reused."""
    from lerobot_sdm.datasets.write import versions

    ignored = ("root", "repo_id", "episodes", "workers", "max_failures")
    decisive = {key: value for key, value in draccus.encode(config).items() if key not in ignored}
    driver_code = Path(inspect.getfile(expert_class(config.expert))).read_text()
    return digest([decisive, versions(), driver_code, _content(config.expert_path)])


def _content(path: Path | None) -> list:
    """What an expert reads: a file by its content; a folder, which may be large, by names, sizes, and dates."""
    if path is None:
        return []
    if path.is_file():
        return [sha256(path)]
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    return [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
