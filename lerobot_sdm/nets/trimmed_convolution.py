"""Trimmed convolutions, without the taps that only see padding: on short sequences, most of a kernel does.

At horizon 4 the levels of DP3's U-Net are 4, 2 and 1 steps long. Of a kernel's five taps, five, three and one then see
data; the others are multiplied by zeros, receive no gradient, and make up two thirds of the network. Removing them does
not change any output. Checkpoints contain the full kernels, with zeros for the removed taps, so the files are the same
with and without trimming.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_COPIES = 64
"""Batch size times squared length up to which a matrix product is faster than a convolution routine, timed on a CPU:
lengths of 1 to 64, batches of 1 to 128, 64 to 1024 channels. Sequences of one step are products anyway."""


class TrimmedConvolution(nn.Module, ABC):
    """Base class of trimmed convolutions: the kernel only has the taps that see data, but is full in state dicts.

    A matrix product reads the weights in place, while convolution routines reorder them first; the data are copied
    instead. That pays off if there are more weights than data.

    Args:
        conv: The convolution to replace, without dilation or groups; its weights are reused.
        length: Length L of its inputs (B, C_in, L).
        outputs: Length L_out of its outputs (B, C_out, L_out).

    Attributes:
        product: Replaces `weight` and `bias` by a product of lower precision, see `nets.precision`; None to use them.
    """

    def __init__(self, conv: nn.Conv1d | nn.ConvTranspose1d, length: int, outputs: int):
        super().__init__()
        self.length, self.outputs = length, outputs
        self.kernel_size, self.stride, self.padding = conv.kernel_size[0], conv.stride[0], padding_of(conv)
        seeing = [tap for tap in range(self.kernel_size) if self._sees_data(tap)]
        self.first, self.stop = seeing[0], seeing[-1] + 1
        self.taps = self.stop - self.first
        self.out_channels = conv.out_channels
        self.weight = nn.Parameter(conv.weight.detach()[..., self.first : self.stop].clone(), conv.weight.requires_grad)
        self.bias = conv.bias
        self.product: nn.Module | None = None

    @abstractmethod
    def _sees_data(self, tap: int) -> bool:
        """Whether a tap connects any input to any output."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """(C, K): the kernel as a matrix, for a product with rows of K values."""

    @abstractmethod
    def _convolve(self, x: Tensor) -> Tensor:
        """(B, C_in, L) -> (B, C_out, L_out) with a convolution routine."""

    @abstractmethod
    def _multiply(self, x: Tensor) -> Tensor:
        """The same with one matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, C_in, L). Returns: (B, C_out, L_out)."""
        if x.shape[-1] != self.length:
            raise ValueError(f"x: has {x.shape[-1]} steps, but the kernel was trimmed for {self.length}.")
        shortest = min(self.length, self.outputs)
        # An exported graph must not depend on the batch size that it was traced with, and robots plan one chunk.
        batch = 1 if torch.compiler.is_exporting() else len(x)
        if self.product is not None or shortest == 1 or batch * shortest**2 <= MOST_COPIES:
            return self._multiply(x)
        return self._convolve(x)

    def extra_repr(self) -> str:
        return f"{self.length} -> {self.outputs} steps, taps {self.first} to {self.stop - 1} of {self.kernel_size}"

    def _rows_times_matrix(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.matrix()) if self.product is None else self.product(rows)

    def _save_to_state_dict(self, destination: OrderedDict, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        dead_after = self.kernel_size - self.stop
        destination[f"{prefix}weight"] = F.pad(destination[f"{prefix}weight"], (self.first, dead_after))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        name = f"{prefix}weight"
        if name in state_dict and state_dict[name].shape[-1] == self.kernel_size:
            state_dict[name] = state_dict[name][..., self.first : self.stop]
        super()._load_from_state_dict(state_dict, prefix, *args)


class TrimmedConv1d(TrimmedConvolution):
    """Trimmed `nn.Conv1d` for inputs of one length."""

    def __init__(self, conv: nn.Conv1d, length: int):
        outputs = (length + 2 * padding_of(conv) - conv.kernel_size[0]) // conv.stride[0] + 1
        super().__init__(conv, length, outputs)
        before = self.padding - self.first
        self.pads = before, (outputs - 1) * self.stride + self.taps - length - before

    def _sees_data(self, tap: int) -> bool:
        return any(0 <= step * self.stride + tap - self.padding < self.length for step in range(self.outputs))

    def matrix(self) -> Tensor:
        return self.weight.flatten(1)

    def _convolve(self, x: Tensor) -> Tensor:
        before, after = self.pads
        if before == after:
            return F.conv1d(x, self.weight, self.bias, self.stride, before)
        return F.conv1d(F.pad(x, self.pads), self.weight, self.bias, self.stride)

    def _multiply(self, x: Tensor) -> Tensor:
        padded = F.pad(x, self.pads)
        if torch.compiler.is_exporting():  # Not every converter knows `unfold`.
            steps = [out * self.stride + tap for out in range(self.outputs) for tap in range(self.taps)]
            taken = padded.index_select(-1, torch.tensor(steps))
            windows = taken.unflatten(-1, (self.outputs, self.taps)).transpose(1, 2).flatten(2)
        else:
            windows = padded.unfold(-1, self.taps, self.stride).transpose(1, 2).flatten(2)
        rows = self._rows_times_matrix(windows)
        return (rows if self.bias is None else rows + self.bias).transpose(1, 2)


class TrimmedConvTranspose1d(TrimmedConvolution):
    """Trimmed `nn.ConvTranspose1d` for inputs of one length, without output padding."""

    def __init__(self, conv: nn.ConvTranspose1d, length: int):
        outputs = (length - 1) * conv.stride[0] - 2 * padding_of(conv) + conv.kernel_size[0]
        super().__init__(conv, length, outputs)

    def _sees_data(self, tap: int) -> bool:
        return any(0 <= step * self.stride + tap - self.padding < self.outputs for step in range(self.length))

    def matrix(self) -> Tensor:
        return self.weight.flatten(1).t()

    def _convolve(self, x: Tensor) -> Tensor:
        return F.conv_transpose1d(x, self.weight, self.bias, self.stride, self.padding - self.first)

    def _multiply(self, x: Tensor) -> Tensor:
        parts = self._rows_times_matrix(x.transpose(1, 2)).transpose(1, 2)  # (B, C_out * taps, L)
        padding, stride = (0, self.padding - self.first), (1, self.stride)
        folded = F.fold(parts, (1, self.outputs), (1, self.taps), padding=padding, stride=stride)
        return folded.squeeze(2) if self.bias is None else folded.squeeze(2) + self.bias[:, None]


def padding_of(conv: nn.Conv1d | nn.ConvTranspose1d) -> int:
    """Zeros that a convolution adds at each end; torch's names "same" and "valid" are not supported."""
    padding = conv.padding[0]
    if not isinstance(padding, int):
        raise ValueError(f"padding={conv.padding!r}: must be a number of steps.")
    return padding


REPLACEMENTS: dict[type[nn.Module], Callable[..., TrimmedConvolution]] = {
    nn.Conv1d: TrimmedConv1d,
    nn.ConvTranspose1d: TrimmedConvTranspose1d,
}


@torch.no_grad()
def trim_convolutions(network: nn.Module, forward: Callable[[], object]) -> None:
    """Trim every 1D convolution of a network to the taps that see data; outputs stay the same.

    Args:
        network: Modified in place. From now on, it only accepts sequences of one length.
        forward: Runs it once on inputs of that length; values do not matter.
    """
    lengths: dict[str, int] = {}
    convolutions = {name: module for name, module in network.named_modules() if type(module) in REPLACEMENTS}
    handles = [
        module.register_forward_hook(lambda _, args, __, name=name: lengths.update({name: args[0].shape[-1]}))
        for name, module in convolutions.items()
    ]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    for name, length in lengths.items():
        network.set_submodule(name, REPLACEMENTS[type(convolutions[name])](convolutions[name], length))


def whole_size(network: nn.Module) -> int:
    """Number of weights with full kernels, as stored in checkpoints and counted in papers."""
    parameters = {name for name, _ in network.named_parameters()}
    return sum(value.numel() for name, value in network.state_dict().items() if name in parameters)
