"""Options of `lerobot-sdm collect-rollouts`, except `--env`. Imports neither torch nor LeRobot."""

from dataclasses import dataclass
from pathlib import Path

from lerobot_sdm.errors import InputError, check_at_least, refuse_existing


@dataclass(kw_only=True)
class RolloutOptions:
    """What to collect, except for the environment. Every field is an option of `lerobot-sdm collect-rollouts`.

    Attributes:
        episodes: Episodes in the dataset.
        seed: Seed of the first episode; counts up from there.
        action_noise: Standard deviation of Gaussian noise on the actions, in the environment's unit, redrawn for each
            action chunk. Without it the data contain little but the policy's preferred actions, and a reward model
            cannot learn what other actions would earn.
        noisy_share: Share of the chunks that get such noise. Below 1, the data also contain undisturbed chunks and
            the states that those reach.
        evaluation_seeds: First and last seed reserved for evaluations; episodes with these seeds are refused.
        root: Folder of the dataset, which must not exist yet. Default: `data/<environment type>-rollouts`.
        repo_id: Name of the dataset. Default: `local/` and the same name.
        batch_size: Episodes that run in parallel.
        device: Torch device of the policy.
    """

    episodes: int = 300
    seed: int = 200_000
    action_noise: float = 0.0
    noisy_share: float = 1.0
    evaluation_seeds: tuple[int, int] = (100_000, 199_999)
    root: Path | None = None
    repo_id: str | None = None
    batch_size: int = 50
    device: str = "cpu"

    def check_values(self) -> None:
        """Refuse values that are invalid in any environment.

        Raises:
            InputError: A value is invalid; nothing has been written.
        """
        for name, least in {"episodes": 1, "batch_size": 1, "seed": 0, "action_noise": 0}.items():
            check_at_least(f"--{name}", getattr(self, name), least)
        if not 0 <= self.noisy_share <= 1:
            raise InputError(
                f"--noisy_share={self.noisy_share}: must be between 0 and 1. Give the share of noisy chunks."
            )
        first, last = self.evaluation_seeds
        if self.seed <= last and first < self.seed + self.episodes:
            raise InputError(
                f"--seed={self.seed}: seeds {self.seed} to {self.seed + self.episodes - 1} overlap those reserved for "
                f"evaluations, {first} to {last} (--evaluation_seeds), which must not be trained on. "
                f"Start at --seed={last + 1}."
            )
        if self.root is not None:
            refuse_existing("--root", self.root)
