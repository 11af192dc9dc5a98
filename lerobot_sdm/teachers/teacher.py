"""The teacher itself: a frozen diffusion policy, loaded for distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lerobot.configs.policies import PreTrainedConfig
from torch import Tensor

from lerobot_sdm.diffusion.predictions import Denoised
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.sizes import check_sizes, shapes_of
from lerobot_sdm.policies.weights import load_strictly
from lerobot_sdm.teachers.adapters import adapter_for
from lerobot_sdm.teachers.files import WEIGHTS_FILE, fingerprint, read_teacher_config, teacher_file

if TYPE_CHECKING:
    from lerobot_sdm.policies.backbone import Backbone


@dataclass(frozen=True)
class Teacher:
    """A diffusion policy that is distilled.

    Observations are encoded as its own policy does, `n_obs_steps` frames of each of `config.input_features`, in its
    own normalised units.

    Args:
        config: Its configuration: horizon, n_obs_steps, n_action_steps, features and all else.
        network: Encoder and denoiser, frozen, in evaluation mode.
        sha256: Hash of its weights.
    """

    config: PreTrainedConfig
    network: Backbone
    sha256: str

    @property
    def alphas_cumprod(self) -> Tensor:
        """Signal powers of its noise levels (T_train,)."""
        return self.network.alphas_cumprod

    @property
    def num_train_timesteps(self) -> int:
        return self.network.num_train_timesteps

    def encode(self, batch: dict[str, Tensor]) -> Tensor:
        """Condition vectors (B, F) of preprocessed observations, each (B, n_obs_steps, ...)."""
        return self.network.encode(batch)

    def denoise(self, x_t: Tensor, t: Tensor, cond: Tensor) -> Denoised:
        """Clean actions and noise, whichever of the two it predicts.

        Args:
            x_t: Noisy actions (B, T, A).
            t: Timesteps (B,), int64.
            cond: (B, F).
        """
        return self.network.denoise(x_t, t, cond)

    def sample(self, noise: Tensor, cond: Tensor, steps: int | None = None) -> Tensor:
        """Normalised actions (B, T, A) by deterministic DDIM.

        Args:
            noise: Start noise (B, T, A).
            cond: (B, F).
            steps: Network evaluations; None for as many as its configuration says.
        """
        return self.network.sample(noise, cond, self.network.sampler_timesteps(steps))


def load_teacher(path: str, device: str, revision: str | None = None, role: str = "teacher") -> Teacher:
    """Load a teacher with the weights that it acts with, frozen.

    Args:
        path: A checkpoint's `pretrained_model` folder, or a Hub repo id.
        device: Torch device.
        revision: Hub revision.
        role: What the policy there is to the other.

    Raises:
        InputError: Not a policy, not of a type in `ADAPTERS`, or its weights do not fit its configuration.
    """
    config = read_teacher_config(path, revision, role=role)
    config.device = device
    adapter = adapter_for(config.type)
    network = adapter.network(config)
    weights = adapter.weights(teacher_file(path, WEIGHTS_FILE, revision, role))
    load_strictly(network, weights, f"--policy.{role}_path={path}")
    return Teacher(config, network.requires_grad_(False).eval().to(device), fingerprint(path, revision, role))


def check_same_features(
    teacher: dict[str, Any], student: dict[str, Any], role: str = "teacher", path: str | None = None
) -> None:
    """Refuse a dataset that the teacher does not fit.

    Args:
        teacher: The teacher's features, input and output together.
        student: The student's, as they come from the dataset.
        role: What the other policy is to this one, if not its teacher.
        path: Where that policy is, for the message.

    Raises:
        InputError: Names the first feature that differs.
    """
    owner = f"the {role}" if path is None else f"the {role} at {path}"
    fix = f"Give a dataset of the robot that the {role} was trained on, or another {role}."
    check_sizes(shapes_of(student), shapes_of(teacher), "the dataset", owner, fix, complete=True, cut=False)
    extra = sorted(student.keys() - teacher.keys())
    if extra:
        raise InputError(
            f"'{extra[0]}' is in the dataset and unknown to {owner}, and both policies see the same. Leave it out with "
            "--policy.input_features."
        )
