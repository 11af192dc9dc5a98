"""A teacher and its student in one folder, with what is known of them. Light: neither torch nor LeRobot."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot_sdm.errors import InputError

SHIPPED = Path(__file__).parent / "pair"
FACTS_FILE = "pair.json"
RUNS = ("teacher", "student")


@dataclass(frozen=True)
class Pair:
    """Two policies for one task, and how they were measured.

    Attributes:
        folder: Where they lie, in `teacher/` and `student/`.
        env_type: Environment type, as `--env.type`.
        task: Short name of the task.
        env: `--env.*` options that differ from the defaults.
        first_seed: Seed of the first episode of the evaluation; no policy was trained on these.
        measured: Row of the quickstart's table -> (successful episodes, all episodes) in the evaluation.
        provenance: Commit, commands, hashes and seeds, for the card.
    """

    folder: Path
    env_type: str
    task: str
    env: dict[str, Any]
    first_seed: int
    measured: dict[str, tuple[int, int]]
    provenance: dict[str, Any]

    @property
    def teacher(self) -> Path:
        """The teacher, as `--policy.path` takes it."""
        return self.folder / "teacher"

    @property
    def student(self) -> Path:
        """The student, as `--policy.path` takes it."""
        return self.folder / "student"

    def make_env(self, **options: Any) -> Any:
        """The Gymnasium environment of the task, as the policies see it.

        Args:
            options: Fields of its configuration that differ, such as `render_size`.
        """
        import gymnasium as gym

        from lerobot_sdm.envs.families import FAMILIES

        config = FAMILIES[self.env_type].configuration(task=self.task, **self.env | options)
        return gym.make(config.gym_id, disable_env_checker=True, **config.gym_kwargs)


def read_pair(folder: Path | None = None) -> Pair:
    """Read what is known of a pair.

    Args:
        folder: What `examples/maintenance/make_demo.py` wrote; the pair that is shipped if None.

    Raises:
        InputError: There is none.
    """
    place = folder or SHIPPED
    if not (place / FACTS_FILE).is_file():
        if folder is None:
            raise InputError(
                "--pair: is missing, because this version ships no trained pair. Make one of a finished quickstart: "
                "python examples/maintenance/make_demo.py outputs/quickstart --output=outputs/pair"
            )
        raise InputError(
            f"--pair={folder}: holds no {FACTS_FILE}. Give a folder that examples/maintenance/make_demo.py wrote."
        )
    facts = json.loads((place / FACTS_FILE).read_text(encoding="utf-8"))
    measured = {key: (successes, episodes) for key, (successes, episodes) in facts.pop("measured").items()}
    return Pair(folder=place, measured=measured, **facts)
