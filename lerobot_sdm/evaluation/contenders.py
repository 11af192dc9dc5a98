"""A policy that takes part in a comparison: which checkpoint, under which name, with which settings."""

from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field, fields
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies import make_pre_post_processors
from lerobot.policies.factory import get_policy_class
from torch import Tensor, nn

from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.specs import split_spec

Batch = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """One row of a comparison.

    Args:
        label: Its name in tables.
        path: Checkpoint folder (`.../pretrained_model`) or Hub repository.
        overrides: Config fields that differ from the checkpoint, such as `{"num_inference_steps": "1"}`.
    """

    label: str
    path: str
    overrides: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Contender":
        """Read `PATH[,label=NAME][,FIELD=VALUE...]`, the form that the command line takes; a list is `[1,2]`.

        Raises:
            InputError: If a part after the path is not `key=value`.
        """
        path, overrides = split_spec(text, "--policy", "PATH, or PATH,label=NAME,num_inference_steps=1")
        label = overrides.pop("label", None) or ", ".join([path, *(f"{key}={v}" for key, v in overrides.items())])
        return cls(label, path, overrides)


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy with its own input and output pipelines, ready to act."""

    contender: Contender
    policy: Any
    preprocess: Callable[[Batch], Batch]
    postprocess: Callable[[Tensor], Tensor]

    @property
    def config(self) -> Any:
        return self.policy.config

    @property
    def denoiser(self) -> nn.Module:
        """The network whose calls are network evaluations; LeRobot's `diffusion` has it elsewhere."""
        return self.policy.diffusion.unet if self.config.type == "diffusion" else self.policy.denoiser


def load_contender(contender: Contender, device: str = "cpu") -> LoadedPolicy:
    """Load a checkpoint as `lerobot-eval` does, with LeRobot's own functions.

    Args:
        contender: What to load.
        device: Torch device of the network and its inputs.

    Raises:
        InputError: If there is no checkpoint or it has no field of an overridden name.
    """
    config = _read_config(contender, [f"--device={device}"])
    known = {item.name for item in fields(config)}
    for key in contender.overrides:
        if key not in known:
            raise unknown_name(f"--policy {contender.path}", key, known)
    overrides = [f"--{key}={value}" for key, value in contender.overrides.items()]
    config = _read_config(contender, [f"--device={device}", *overrides])
    config.pretrained_path = Path(contender.path)
    with redirect_stdout(StringIO()):  # LeRobot prints a line for every policy that it loads.
        policy = get_policy_class(config.type).from_pretrained(contender.path, config=config)
    preprocess, postprocess = make_pre_post_processors(
        policy_cfg=config,
        pretrained_path=contender.path,
        preprocessor_overrides={"device_processor": {"device": device}},
    )
    return LoadedPolicy(contender, policy, preprocess, postprocess)


def same_action_units(a: LoadedPolicy, b: LoadedPolicy) -> bool:
    """Whether both policies mean the same action by the same normalised numbers.

    The action normaliser is affine per dimension, so three points show whether two of them agree.
    """
    size = a.config.action_feature.shape[0]
    if b.config.action_feature.shape[0] != size:
        return False
    probes = torch.tensor([-1.0, 0.0, 1.0]).unsqueeze(1).expand(3, size).contiguous()
    first, second = (loaded.postprocess(probes.clone()).cpu() for loaded in (a, b))
    return torch.allclose(first, second, rtol=1e-5, atol=1e-6)


def _read_config(contender: Contender, overrides: list[str]) -> PreTrainedConfig:
    path = Path(contender.path)
    if path.is_dir() and not (path / "config.json").is_file():
        raise InputError(
            f"--policy: '{contender.path}' holds no config.json. "
            "Give a checkpoint's `pretrained_model` folder, such as RUN/checkpoints/last/pretrained_model."
        )
    if not path.is_dir() and (path.is_absolute() or contender.path.count("/") != 1):
        raise InputError(
            f"--policy: there is no folder '{contender.path}', and it is no Hub repository (owner/name). "
            "Check the path."
        )
    return PreTrainedConfig.from_pretrained(contender.path, cli_overrides=overrides)
