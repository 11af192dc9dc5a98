"""A teacher and its student in one folder, with their facts. Imports neither torch nor LeRobot."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.measure.methods import SHOWN
from lerobot_sdm.safe_files.json_files import read_object

SHIPPED = Path(__file__).parent / "pair"
FACTS_FILE = "pair.json"
RUNS = ("teacher", "student")
FACTS = {"env_type": str, "task": str, "env": dict, "first_seed": int, "measured": dict, "provenance": dict}
"""What `pair.json` holds: name -> type."""
FIX = "Give a folder that examples/maintenance/make_demo.py wrote."


@dataclass(frozen=True)
class Pair:
    """Two policies for one task, with their measured results.

    Attributes:
        folder: Folder that holds `teacher/` and `student/`.
        env_type: Environment type, as `--env.type`.
        task: Short name of the task.
        env: `--env.*` options that differ from the defaults.
        first_seed: Seed of the first evaluation episode; no policy was trained on these seeds.
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
        """The task's Gymnasium environment, as the policies see it; options are fields such as `render_size`."""
        import gymnasium as gym

        config = FAMILIES[self.env_type].configuration(task=self.task, **self.env | options)
        return gym.make(config.gym_id, disable_env_checker=True, **config.gym_kwargs)


def read_pair(folder: Path | None = None) -> Pair:
    """Read a pair's facts.

    Args:
        folder: Written by `examples/maintenance/make_demo.py`; the shipped pair if None.

    Raises:
        InputError: There is no pair, or its facts are damaged.
    """
    place = folder or SHIPPED
    if not (place / FACTS_FILE).is_file():
        if folder is None:
            raise InputError(
                "--pair: is missing, because this version ships no trained pair. Make one from a finished quickstart: "
                "python examples/maintenance/make_demo.py outputs/quickstart --output=outputs/pair"
            )
        raise InputError(f"--pair={folder}: contains no {FACTS_FILE}. {FIX}")
    facts = read_object(place / FACTS_FILE, f"--pair={place}: {FACTS_FILE}", FIX)
    for name, kind in FACTS.items():
        if not isinstance(facts.get(name), kind):
            raise InputError(
                f"--pair={place}: '{name}' in {FACTS_FILE} is missing, or not of type {kind.__name__}. {FIX}"
            )
    check_known(f"--pair={place}: env_type", facts["env_type"], FAMILIES)
    for name in facts["env"]:
        check_known(f"--pair={place}: env", name, FAMILIES[facts["env_type"]].fields())
    measured = {}
    for key in SHOWN:
        match facts["measured"].get(key):
            case [int(successes), int(episodes)]:
                measured[key] = successes, episodes
            case _:
                raise InputError(f"--pair={place}: 'measured' in {FACTS_FILE} lacks the two numbers of '{key}'. {FIX}")
    return Pair(folder=place, **{name: facts[name] for name in FACTS} | {"measured": measured})
