"""Loading the policies that take part in a comparison."""

from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.envs.utils import preprocess_observation
from lerobot.policies import make_pre_post_processors
from lerobot.policies.factory import get_policy_class
from numpy.typing import NDArray
from torch import Tensor, nn

from lerobot_sdm.errors import unknown_name
from lerobot_sdm.measure.policy_spec import Contender
from lerobot_sdm.plugin import register_all

Batch = dict[str, Any]


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

    def reset(self) -> None:
        """Forget the last episode; call it whenever one starts."""
        self.policy.reset()

    def act(self, observation: dict[str, NDArray]) -> NDArray[np.float32]:
        """The next action for an environment of this package.

        Args:
            observation: As the environment gives it, `agent_pos` (S,), `point_cloud` (N, 3 or 6) and so on.

        Returns:
            (A,) in the environment's unit.
        """
        batch = preprocess_observation({key: np.asarray(value)[None] for key, value in observation.items()})
        with torch.inference_mode():
            action = self.policy.select_action(self.preprocess(batch))
        return self.postprocess(action)[0].cpu().numpy()

    @property
    def denoiser(self) -> nn.Module:
        """The network whose calls are network evaluations; LeRobot's `diffusion` has it elsewhere."""
        return self.policy.diffusion.unet if self.config.type == "diffusion" else self.policy.denoiser


def read_config(contender: Contender, device: str = "cpu") -> PreTrainedConfig:
    """A checkpoint's configuration with what differs from it; see `load_contender`."""
    config = _read_config(contender, [f"--device={device}"])
    known = {item.name for item in fields(config)}
    for key in contender.overrides:
        if key not in known:
            raise unknown_name(f"--policy {contender.path}", key, known)
    overrides = [f"--{key}={value}" for key, value in contender.overrides.items()]
    config = _read_config(contender, [f"--device={device}", *overrides])
    config.pretrained_path = Path(contender.path)
    return config


def load_contender(contender: Contender, device: str = "cpu") -> LoadedPolicy:
    """Load a checkpoint as `lerobot-eval` does, with LeRobot's own functions.

    Args:
        contender: What to load.
        device: Torch device of the network and its inputs.

    Raises:
        InputError: If there is no checkpoint or it has no field of an overridden name.
    """
    config = read_config(contender, device)
    with redirect_stdout(StringIO()):  # LeRobot prints a line for every policy that it loads.
        policy = get_policy_class(config.type).from_pretrained(contender.path, config=config)
    preprocess, postprocess = make_pre_post_processors(
        policy_cfg=config,
        pretrained_path=contender.path,
        preprocessor_overrides={"device_processor": {"device": device}},
    )
    return LoadedPolicy(contender, policy, preprocess, postprocess)


def same_action_units(a: LoadedPolicy, b: LoadedPolicy) -> bool:
    """Whether both policies mean the same action by the same normalized numbers.

    The action normalizer is affine per dimension, so three points show whether two of them agree.
    """
    size = a.config.action_feature.shape[0]
    if b.config.action_feature.shape[0] != size:
        return False
    probes = torch.tensor([-1.0, 0.0, 1.0]).unsqueeze(1).expand(3, size).contiguous()
    first, second = (loaded.postprocess(probes.clone()).cpu() for loaded in (a, b))
    return torch.allclose(first, second, rtol=1e-5, atol=1e-6)


def _read_config(contender: Contender, overrides: list[str]) -> PreTrainedConfig:
    register_all()
    return PreTrainedConfig.from_pretrained(contender.checked().path, cli_overrides=overrides)
