"""The trained Adroit policies of Rajeswaran et al. (2018), read from a user's `hand_dapg` pickles.

Each is a tanh network with a shift and scale for its inputs and for its outputs. Experts execute its mean action.
"""

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.adroit.tasks import hand_task
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts.base import Expert
from lerobot_sdm.files import sha256
from lerobot_sdm.safe_files.unpickling import Record, inert, load, shown

SCALE_FLOOR = 1e-8
"""Added to the input scale, as in training."""

MLP = "mjrl.policies.gaussian_mlp.MLP"


@dataclass(frozen=True, eq=False)
class MeanPolicy:
    """The mean of a Gaussian policy: action = out_shift + out_scale * net((observation - in_shift) / in_scale).

    Args:
        weights: (out, in) of each layer.
        biases: (out,) of each layer.
        in_shift, in_scale: (D,).
        out_shift, out_scale: (A,).
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    in_shift: NDArray[np.float32]
    in_scale: NDArray[np.float32]
    out_shift: NDArray[np.float32]
    out_scale: NDArray[np.float32]

    def __call__(self, observation: NDArray[np.floating]) -> NDArray[np.float32]:
        """Actions (..., A) for full observations (..., D)."""
        x = (np.asarray(observation, dtype=np.float32) - self.in_shift) / (self.in_scale + np.float32(SCALE_FLOOR))
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.tanh(x @ weight.T + bias)
        return (x @ self.weights[-1].T + self.biases[-1]) * self.out_scale + self.out_shift

    @property
    def sizes(self) -> tuple[int, int]:
        """D and A."""
        return self.weights[0].shape[1], self.weights[-1].shape[0]


class DAPGExpert(Expert):
    """A policy from a `hand_dapg` pickle, such as `door-v0.pickle`.

    It was trained to act every 10 ms; here it acts every `action_repeat` times 10 ms.

    Args:
        task, action_noise, clip: See `Expert`.
        path: The pickle.

    Attributes:
        policy: The policy in the file.

    Raises:
        InputError: The file belongs to another task, is not such a policy, or tries to run code.
    """

    name: ClassVar[str] = "dapg"
    env_types: ClassVar[tuple[str, ...]] = ("adroit",)
    reads: ClassVar[str] = "a policy of hand_dapg, such as door-v0.pickle"
    needs_path: ClassVar[bool] = True

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True, path: Path | None = None):
        super().__init__(task, action_noise, clip)
        if path is None:
            raise InputError(f"--expert-path: is missing. Expert '{self.name}' needs {self.reads}.")
        self._path = Path(path)
        self.policy = load_policy(self._path)
        self._digest = sha256(self._path)
        known = hand_task(task)
        inputs, actions = self.policy.sizes
        if (inputs, actions) != (known.full_observation_size, known.action_size):
            raise InputError(
                f"--expert-path={path}: maps {inputs} observations to {actions} actions, but {task} has "
                f"{known.full_observation_size} and {known.action_size}. Give the file of {task}."
            )

    def plan(self, env: gym.Env) -> np.ndarray:
        """The policy's mean action for `env.unwrapped.expert_state`, (A,)."""
        return self.policy(env.unwrapped.expert_state)

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"file": self._path.name, "sha256": self._digest}


def load_policy(path: Path) -> MeanPolicy:
    """Read a `hand_dapg` policy without running any code in it.

    Args:
        path: The pickle.

    Raises:
        InputError: It is not such a policy, or uses names that such a policy does not need.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Give a file such as door-v0.pickle.") from error
    saved = load(content, _allowed(), source=str(path))
    try:
        network = _state(saved, MLP)["model"]
        fields = _state(network, "mjrl.utils.fc_network.FCNetwork")
        if fields["nonlinearity"].args[1] != "tanh":
            raise ValueError(f"its nonlinearity is {shown(fields['nonlinearity'].args[1])}, not tanh")
        layers = _entries(_entries(fields["_modules"])["fc_layers"].state["_modules"])
        parameters = [_entries(layers[str(number)].state["_parameters"]) for number in range(len(layers))]
        scales = {name: fields[name] for name in ("in_shift", "in_scale", "out_shift", "out_scale")}
        policy = MeanPolicy(
            weights=tuple(entries["weight"] for entries in parameters),
            biases=tuple(entries["bias"] for entries in parameters),
            **scales,
        )
        _check(policy)
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a policy of hand_dapg ({error}). Give a file such as door-v0.pickle.") from error
    return policy


def _check(policy: MeanPolicy) -> None:
    """Check that shapes fit each other and all values are finite."""
    inputs, actions = policy.sizes
    widths = [inputs, *(weight.shape[0] for weight in policy.weights)]
    expected = {
        "weights": [(after, before) for before, after in itertools.pairwise(widths)],
        "biases": [(after,) for after in widths[1:]],
        "scales": [(inputs,), (inputs,), (actions,), (actions,)],
    }
    scales = (policy.in_shift, policy.in_scale, policy.out_shift, policy.out_scale)
    found = {"weights": policy.weights, "biases": policy.biases, "scales": scales}
    for name, arrays in found.items():
        shapes = [array.shape for array in arrays]
        if shapes != expected[name]:
            raise ValueError(f"its {name} have shapes {shapes}, not {expected[name]}")
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"its {name} are not all finite")


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    """Names used by the public files and by policies saved with a later PyTorch. Only tensors are built."""
    return inert(
        MLP,
        "mjrl.utils.fc_network.FCNetwork",
        "builtins.getattr",
        "builtins.set",
        "collections.OrderedDict",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "torch._C._VariableFunctions",
        "torch._C._VariableFunctionsClass",
        "torch.nn.backends.thnn._get_thnn_function_backend",
        "torch.nn.modules.container.ModuleList",
        "torch.nn.modules.linear.Linear",
    ) | {
        ("torch.storage", "_load_from_bytes"): _storage,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
    }


def _storage(content: Any) -> NDArray[np.float32]:
    """(n,) the numbers of a torch storage, which is embedded in the pickle in its own format."""
    import torch

    if not isinstance(content, bytes):
        raise TypeError("a storage is not bytes")
    try:
        # PyTorch's own allow-list contains only tensors and storages.
        storage = torch.load(io.BytesIO(content), weights_only=True)
        return torch.tensor([], dtype=storage.dtype).set_(storage).numpy().astype(np.float32)
    except Exception as error:  # PyTorch can raise any exception here.
        raise ValueError(f"a storage cannot be read: {type(error).__name__}") from error


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> NDArray[np.float32]:
    """A tensor as an array, if it is one contiguous block of its storage."""
    if not isinstance(storage, np.ndarray) or not all(isinstance(n, int) and n > 0 for n in (*size, *stride)):
        raise TypeError("a tensor is malformed")
    contiguous = tuple(int(np.prod(size[axis + 1 :])) for axis in range(len(size)))
    count = int(np.prod(size))
    if tuple(stride) != contiguous or not 0 <= offset <= len(storage) - count:
        raise ValueError("a tensor is not one contiguous block of its storage")
    return storage[offset : offset + count].reshape(size)


def _parameter(tensor: Any, *_: Any) -> NDArray[np.float32]:
    if not isinstance(tensor, np.ndarray):
        raise TypeError("a parameter is not a tensor")
    return tensor


def _state(saved: Any, name: str) -> dict[str, Any]:
    if not isinstance(saved, Record) or saved.name != name:
        raise ValueError(f"it contains no {name}")
    return saved.state


def _entries(saved: Any) -> dict[str, Any]:
    """Entries of a dict, or of the OrderedDict that older PyTorch saved."""
    return saved if isinstance(saved, dict) else saved.entries
