"""The options of `lerobot-sdm collect-rollouts` but for `--env`. Light: neither torch nor LeRobot."""

from dataclasses import dataclass
from pathlib import Path

from lerobot_sdm.errors import InputError, refuse_existing


@dataclass(kw_only=True)
class RolloutOptions:
    """What to collect, but for the environment. Every field is an option of `lerobot-sdm collect-rollouts`.

    Attributes:
        episodes: Episodes in the dataset.
        seed: Seed of the first episode; the next one takes the next seed, and so on.
        action_noise: Standard deviation of Gaussian noise on the actions, in the environment's unit, drawn anew with
            each chunk of the policy. Without it the data hardly hold other actions than the policy's favorites, so
            that a reward model cannot tell what other actions would bring.
        noisy_share: Share of the chunks that get such noise. With less than 1 the data also hold what the policy does
            undisturbed, and reach the places that it reaches.
        evaluation_seeds: First and last seed that are kept for evaluations; episodes with one of them are refused.
        root: Folder of the dataset, which must not exist yet; unless given, `data/<environment type>-rollouts`.
        repo_id: Name of the dataset; unless given, `local/` and the same name.
        batch_size: Episodes that run together.
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
        """Refuse what cannot work whatever the environment.

        Raises:
            InputError: As said; nothing has been written then.
        """
        for name, least in {"episodes": 1, "batch_size": 1, "seed": 0, "action_noise": 0}.items():
            if getattr(self, name) < least:
                raise InputError(f"--{name}={getattr(self, name)}: give {least} or more.")
        if not 0 <= self.noisy_share <= 1:
            raise InputError(f"--noisy_share={self.noisy_share}: a share of the chunks lies in 0 ... 1.")
        first, last = self.evaluation_seeds
        if self.seed <= last and first < self.seed + self.episodes:
            raise InputError(
                f"--seed={self.seed}: episodes with seeds {self.seed} to {self.seed + self.episodes - 1} overlap those "
                f"kept for evaluations, {first} to {last} (--evaluation_seeds). What is learned from an evaluation's "
                f"episodes cannot be measured on them; begin at {last + 1}."
            )
        if self.root is not None:
            refuse_existing("--root", self.root)
