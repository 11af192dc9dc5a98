"""Convolutions that keep only the taps that can reach data: on short sequences most of a kernel only sees padding.

At horizon 4 the levels of DP3's U-Net are 4, 2 and 1 steps long. A kernel of five taps then has five, three and one
that ever meet a value; the others are multiplied by zeros, receive no gradient, and are two thirds of the network.
Leaving them out changes no output. Checkpoints keep the whole kernels, dead taps as zeros, so that they are the same
files with and without this rewrite.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LiveTaps(nn.Module):
    """What both kinds of convolution share: a kernel cut to a range of taps, whole in state dicts.

    Args:
        conv: The convolution to replace; its weights are taken over.
        first: The first tap that meets data.
        stop: One beyond the last.
    """

    def __init__(self, conv: nn.Conv1d | nn.ConvTranspose1d, first: int, stop: int):
        super().__init__()
        self.kernel_size, self.stride, self.padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        self.first, self.stop = first, stop
        self.weight = nn.Parameter(conv.weight.detach()[..., first:stop].clone(), conv.weight.requires_grad)
        self.bias = conv.bias

    @property
    def taps(self) -> int:
        """How many are left."""
        return self.stop - self.first

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, taps {self.first} to {self.stop - 1} of {self.kernel_size}"

    def _save_to_state_dict(self, destination: OrderedDict, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        dead_after = self.kernel_size - self.stop
        destination[f"{prefix}weight"] = F.pad(destination[f"{prefix}weight"], (self.first, dead_after))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        name = f"{prefix}weight"
        if name in state_dict and state_dict[name].shape[-1] == self.kernel_size:
            state_dict[name] = state_dict[name][..., self.first : self.stop]
        super()._load_from_state_dict(state_dict, prefix, *args)


class LiveConv1d(LiveTaps):
    """`nn.Conv1d` for inputs of one length.

    Args:
        conv: The convolution to replace, without dilation or groups.
        length: L, of its inputs (B, C, L).
    """

    def __init__(self, conv: nn.Conv1d, length: int):
        kernel_size, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        outputs = (length + 2 * padding - kernel_size) // stride + 1
        # Output o meets input i = o * stride + tap - padding.
        live = [
            tap
            for tap in range(kernel_size)
            if any(0 <= output * stride + tap - padding < length for output in range(outputs))
        ]
        super().__init__(conv, live[0], live[-1] + 1)
        before = padding - self.first
        self.length = length
        self.pads = before, (outputs - 1) * stride + self.taps - length - before
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, C_in, L). Returns: (B, C_out, L_out)."""
        if x.shape[-1] != self.length:
            raise ValueError(f"x: {x.shape[-1]} steps, and taps were kept for {self.length}.")
        before, after = self.pads
        # As one matrix product the weights are read in place, which convolution routines first bring into another
        # order; the data are copied instead. That pays where the weights are more than the data.
        as_product = self.outputs <= 2 or len(x) * self.outputs < len(self.weight)
        if not as_product and before == after:
            return F.conv1d(x, self.weight, self.bias, self.stride, before)
        x = F.pad(x, self.pads) if before or after else x
        if not as_product:
            return F.conv1d(x, self.weight, self.bias, self.stride)
        windows = x.unfold(-1, self.taps, self.stride).transpose(1, 2).flatten(2)
        return F.linear(windows, self.weight.flatten(1), self.bias).transpose(1, 2)


class LiveConvTranspose1d(LiveTaps):
    """`nn.ConvTranspose1d` for inputs of one length.

    Args:
        conv: The convolution to replace, without dilation, groups or output padding.
        length: L, of its inputs (B, C, L).
    """

    def __init__(self, conv: nn.ConvTranspose1d, length: int):
        kernel_size, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        outputs = (length - 1) * stride - 2 * padding + kernel_size
        # Input i reaches output o = i * stride + tap - padding.
        live = [
            tap
            for tap in range(kernel_size)
            if any(0 <= step * stride + tap - padding < outputs for step in range(length))
        ]
        super().__init__(conv, live[0], live[-1] + 1)
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, C_in, L). Returns: (B, C_out, L_out)."""
        if x.shape[-1] != self.length:
            raise ValueError(f"x: {x.shape[-1]} steps, and taps were kept for {self.length}.")
        if self.length == 1:
            # Tap after tap is output step after output step.
            reached = (x.squeeze(-1) @ self.weight.flatten(1)).unflatten(-1, (-1, self.taps))
            return reached + self.bias[:, None]
        padding = self.padding - self.first
        return F.conv_transpose1d(x, self.weight, self.bias, self.stride, padding)


REPLACEMENTS = {nn.Conv1d: LiveConv1d, nn.ConvTranspose1d: LiveConvTranspose1d}


@torch.no_grad()
def keep_live_taps(network: nn.Module, forward: Callable[[], object]) -> None:
    """Cut every one-dimensional convolution of a network to the taps that meet data; outputs stay the same.

    Args:
        network: Changed in place. It must see sequences of one length only from now on.
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
    """Number of weights with whole kernels: as checkpoints hold and papers count them."""
    parameters = {name for name, _ in network.named_parameters()}
    return sum(value.numel() for name, value in network.state_dict().items() if name in parameters)
