"""Load a policy with its own pipelines, ready to act."""

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

from lerobot_sdm import policies, processors
from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.policies.denoiser import denoiser_of
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.safe_files.configurations import read_configuration

Batch = dict[str, Any]


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy with its own input and output pipelines, ready to act."""

    spec: PolicySpec
    policy: Any
    preprocess: Callable[[Batch], Batch]
    postprocess: Callable[[Tensor], Tensor]

    @property
    def config(self) -> Any:
        return self.policy.config

    def reset(self) -> None:
        """Reset the policy; call it at the start of each episode."""
        self.policy.reset()

    def act(self, observation: dict[str, NDArray], noise: Tensor | None = None) -> NDArray[np.float32]:
        """The next action for an environment of this package.

        Args:
            observation: As the environment returns it: `agent_pos` (S,), `point_cloud` (N, 3 or 6) and so on.
            noise: Start noise of a new chunk (1, horizon, A), for policies that take any; None to let the policy draw.

        Returns:
            (A,) in the environment's unit.
        """
        batch = preprocess_observation({key: np.asarray(value)[None] for key, value in observation.items()})
        with torch.inference_mode():
            given = {} if noise is None else {"noise": noise}
            action = self.policy.select_action(self.preprocess(batch), **given)
        return self.postprocess(action)[0].cpu().numpy()

    @property
    def denoiser(self) -> nn.Module:
        """The network whose calls are network evaluations.

        Raises:
            InputError: The policy has none.
        """
        found = denoiser_of(self.policy)
        if found is None:
            raise InputError(
                f"--policy={self.spec.path}: is of type '{self.config.type}', which has no denoiser that makes actions "
                "from noise. Give a policy of another type."
            )
        return found


def read_config(spec: PolicySpec, device: str = "cpu") -> PreTrainedConfig:
    """A checkpoint's configuration with the policy spec's overrides; see `load_from_spec`."""
    policies.register()
    processors.register()
    path = spec.checked().path
    config = read_configuration(PreTrainedConfig, path, f"--policy {path}", [f"--device={device}"])
    known = {item.name for item in fields(config)}
    for key in spec.overrides:
        check_known(f"--policy {path}", key, known)
    overrides = [f"--device={device}", *(f"--{key}={value}" for key, value in spec.overrides.items())]
    config = read_configuration(PreTrainedConfig, path, f"--policy {spec.text()}", overrides, "Correct the value.")
    config.pretrained_path = Path(path)
    return config


def load_from_spec(spec: PolicySpec, device: str = "cpu") -> LoadedPolicy:
    """Load a checkpoint as `lerobot-eval` does, with LeRobot's own functions.

    Raises:
        InputError: There is no checkpoint, its configuration cannot be read, or an override names no field of it or
            gives an impossible value.
    """
    config = read_config(spec, device)
    with redirect_stdout(StringIO()):  # Hides the line that LeRobot prints for every policy it loads.
        policy = get_policy_class(config.type).from_pretrained(spec.path, config=config)
    preprocess, postprocess = make_pre_post_processors(
        policy_cfg=config,
        pretrained_path=spec.path,
        preprocessor_overrides={"device_processor": {"device": device}},
    )
    return LoadedPolicy(spec, policy, preprocess, postprocess)


def same_action_units(a: LoadedPolicy, b: LoadedPolicy) -> bool:
    """Whether both policies map normalized numbers to the same actions.

    The action normalizer is affine per dimension, so three points show whether two of them agree.
    """
    size = a.config.action_feature.shape[0]
    if b.config.action_feature.shape[0] != size:
        return False
    probes = torch.tensor([-1.0, 0.0, 1.0]).unsqueeze(1).expand(3, size).contiguous()
    first, second = (loaded.postprocess(probes.clone()).cpu() for loaded in (a, b))
    return torch.allclose(first, second, rtol=1e-5, atol=1e-6)
