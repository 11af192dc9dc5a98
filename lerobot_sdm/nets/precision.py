"""Lower-precision weights for inference: at batch size 1, reading the weights takes most of the time.

Only a U-Net's convolutions, which have most of its weights, and a mixer's layers over channels, a third of its weights,
change; the activations between them, normalization, FiLM, gates and the encoder stay in float32. Not exact:
`lerobot-sdm latency` reports by how much actions change.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.nets.mixer import ReducibleLinear
from lerobot_sdm.nets.trimmed_convolution import TrimmedConvolution


class BFloat16Product(nn.Module):
    """x W^T with weights and inputs rounded to 8 significant bits, accumulated in float32.

    Args:
        weight: (C_out, C_in).
    """

    weight: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("weight", weight.detach().to(torch.bfloat16), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.to(torch.bfloat16), self.weight).to(x.dtype)


class Int8Product(nn.Module):
    """x W^T on a CPU with int8 weights from -127 to 127, with a scale for each output, and quantized inputs, with one
    scale for all that is recomputed in each call.

    Args:
        weight: (C_out, C_in).
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        weight = weight.detach().cpu().float()
        scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        zeros = torch.zeros_like(scale, dtype=torch.int64)
        quantized = torch.quantize_per_channel(weight.contiguous(), scale, zeros, 0, torch.qint8)
        self.nbytes = quantized.numel() + scale.nbytes
        self._packed = torch.ops.quantized.linear_prepack(quantized, None)

    def forward(self, x: Tensor) -> Tensor:
        # Inputs get only seven bits, so that sums of two products cannot overflow 16 bits on processors without VNNI.
        return torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)


def packed_bytes(network: nn.Module) -> int:
    """Size in bytes of the packed weights, which are neither parameters nor buffers."""
    return sum(module.nbytes for module in network.modules() if isinstance(module, Int8Product))


REDUCIBLE = (TrimmedConvolution, ReducibleLinear)
"""Layers whose weights are reduced; each has a `matrix` and a `product`."""

PRODUCTS: dict[str, Callable[[Tensor], nn.Module]] = {"bfloat16": BFloat16Product, "int8": Int8Product}
PRECISIONS = ("float32", *PRODUCTS)
"""What `InferenceConfig` offers."""


@torch.no_grad()
def lower_precision(network: nn.Module, precision: str, device: torch.device | str | None = None) -> None:
    """Convert the weights of a network's `REDUCIBLE` layers to one of `PRECISIONS`; float32 changes nothing.

    In place and irreversibly: the float32 weights are discarded, and the network can no longer be saved.

    Args:
        network: Modified in place.
        precision: One of `PRECISIONS`.
        device: Device that the network will run on; None for the one that its weights are on.

    Raises:
        InputError: The precision is unknown, or not supported on this device.
    """
    check_known("--policy.inference_precision", precision, PRECISIONS)
    if precision == "float32":
        return
    kind = torch.device(device or next(network.parameters()).device).type
    if precision == "int8" and kind != "cpu":
        raise InputError(f"--policy.inference_precision=int8: runs only on a CPU, not on {kind}. Use bfloat16 there.")
    for module in network.modules():
        if isinstance(module, REDUCIBLE):
            module.product = PRODUCTS[precision](module.matrix())
            module.register_parameter("weight", None)
