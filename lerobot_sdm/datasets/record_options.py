"""The options of `lerobot-sdm record` except `--env`. Imports neither torch nor LeRobot."""

from dataclasses import dataclass
from pathlib import Path

from lerobot_sdm.errors import check_at_least, check_known, refuse_existing
from lerobot_sdm.experts import check_expert, check_variants, default_expert


@dataclass(kw_only=True)
class RecordOptions:
    """What to record, except the environment. Every field is an option of `lerobot-sdm record`.

    Attributes:
        episodes: Number of episodes in the dataset.
        root: Folder of the dataset, which must not exist yet; defaults to `data/<task>`, where the name of
            a task that is not MetaWorld's begins with `adroit-`, `dexart-` or `dexart-official-`.
        repo_id: Name of the dataset; defaults to `local/` and the same name.
        seed: Seed of the first start state; each further start state takes the next seed.
        workers: Processes that record at the same time, at most one per core; another one starts as soon as it saves
            more time than it takes to start. The dataset does not depend on this number.
        expert: The expert that acts: a registered name or "module:Class"; defaults to the task's own.
        expert_path: The file or folder that the expert reads, if any.
        action_noise: Standard deviation of Gaussian noise on the expert's actions.
        clip_actions: Record actions clipped to [-1, 1]; false keeps the expert's unclipped actions, as DP3 does.
        keep: `any`: success at any step; `last`: also at the last step; `all`: failed episodes too.
        min_success_steps: Simulator steps for which the goal must hold for `any` and `last`; defaults to the value of
            the DP3 scripts: 5 in MetaWorld, 10 in Adroit, 1 in DexArt.
        stop_after_success: Cut episodes this many steps after their first success; defaults to full length.
        max_failures: Failed episodes after which recording stops; defaults to max(20, 3 * episodes).
        image: Also record the camera image, as `observation.image`.
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
        """Refuse values that are invalid in every environment.

        Raises:
            InputError: A value is invalid; nothing has been written.
        """
        lowest = {"episodes": 1, "workers": 1, "min_success_steps": 1, "seed": 0}
        # LeRobot cannot store an episode of a single frame, so at least one must follow the first success.
        lowest |= {"stop_after_success": 1, "max_failures": 0, "action_noise": 0}
        for name, least in lowest.items():
            check_at_least(f"--{name}", getattr(self, name), least)
        check_known("--keep", self.keep, ("any", "last", "all"))
        if self.root is not None:
            refuse_existing("--root", self.root)

    def checked_expert(self, env_type: str, task: str) -> str:
        """The name of the expert that acts in this environment and task.

        Raises:
            InputError: The expert does not support them, or `episodes` is not a multiple of its variants.
        """
        name = self.expert or default_expert(env_type, task)
        check_expert(name, env_type, self.expert_path)
        check_variants("--episodes", self.episodes, name)
        return name
