"""The options of `lerobot-sdm record` but for `--env`. Light: neither torch nor LeRobot."""

from dataclasses import dataclass
from pathlib import Path

from lerobot_sdm.errors import InputError, refuse_existing, unknown_name
from lerobot_sdm.experts import check_expert, default_expert, expert_class

KEEP = ("any", "last", "all")


@dataclass(kw_only=True)
class RecordOptions:
    """What to record, but for the environment. Every field is an option of `lerobot-sdm record`.

    Attributes:
        episodes: Episodes in the dataset.
        root: Folder of the dataset, which must not exist yet; unless given, `data/<task>`, or `data/adroit-<task>`.
        repo_id: Name of the dataset; unless given, `local/` and the same name.
        seed: Seed of the first start state; the next start state takes the next seed, and so on.
        workers: Processes that drive at the same time, at most as many as there are cores; further ones join as soon
            as that saves more time than they take to start. The dataset does not depend on it.
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

    def check_values(self) -> None:
        """Refuse what cannot work whatever the environment.

        Raises:
            InputError: As said; nothing has been written then.
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
        if self.root is not None:
            refuse_existing("--root", self.root)

    def checked_expert(self, env_type: str, task: str) -> str:
        """The name of the expert that drives.

        Args:
            env_type, task: What it drives in.

        Raises:
            InputError: It cannot drive there, or does not record so many episodes.
        """
        name = self.expert or default_expert(env_type, task)
        check_expert(name, env_type, self.expert_path)
        variants = expert_class(name).variants
        if self.episodes % variants:
            raise InputError(
                f"--episodes={self.episodes}: expert '{name}' records every start {variants} times. "
                f"Give a multiple of {variants}."
            )
        return name
