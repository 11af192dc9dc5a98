"""The policy spec: how the command line names a policy. Imports neither torch nor LeRobot."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lerobot_sdm.errors import InputError
from lerobot_sdm.specs import split_spec


@dataclass(frozen=True)
class PolicySpec:
    """A policy to load.

    Args:
        label: Its name in tables.
        path: Checkpoint folder (`.../pretrained_model`) or Hub repository.
        overrides: Config fields to override, such as `{"num_inference_steps": "1"}`.
    """

    label: str
    path: str
    overrides: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `PATH[,label=NAME][,FIELD=VALUE...]` from the command line; a list is written `[1,2]`.

        Raises:
            InputError: If a part after the path is not `key=value`.
        """
        path, overrides = split_spec(text, "--policy", "PATH, or PATH,label=NAME,num_inference_steps=1")
        label = overrides.pop("label", None) or _default_label(path, overrides)
        return cls(label, path, overrides)

    def text(self) -> str:
        """The text that `parse` reads as this policy."""
        # The default label may contain commas, which no label on the command line can.
        label = [] if self.label == _default_label(self.path, self.overrides) else [f"label={self.label}"]
        return ",".join([self.path, *label, *_settings(self.overrides)])

    def checked(self) -> Self:
        """This policy, after checking that its local checkpoint exists. Hub repositories are not checked.

        Raises:
            InputError: The folder does not exist, or contains no policy.
        """
        path = Path(self.path)
        if path.is_dir() and not (path / "config.json").is_file():
            raise InputError(
                f"--policy: '{self.path}' holds no config.json. "
                "Give a checkpoint's `pretrained_model` folder, such as RUN/checkpoints/last/pretrained_model."
            )
        if not path.is_dir() and (path.is_absolute() or self.path.count("/") != 1):
            raise InputError(
                f"--policy: '{self.path}' is neither a folder nor a Hub repository (owner/name). Check the path."
            )
        return self


def _default_label(path: str, overrides: dict[str, str]) -> str:
    return ", ".join([path, *_settings(overrides)])


def _settings(overrides: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in overrides.items()]
