"""Dropout in LeRobot's residual blocks, which have none, without new names for their weights."""

from functools import partial

from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalResidualBlock1d
from torch import Tensor, nn
from torch.nn import functional as F


def add_dropout(block: DiffusionConditionalResidualBlock1d, rate: float) -> None:
    """Drop channels' entries at both places where Consistency Policy does: behind the first convolution, before FiLM,
    and behind the residual sum.

    Args:
        block: Changed in place; its weights keep their names.
        rate: Share of entries dropped in training.
    """
    block.conv1.block.append(nn.Dropout(rate))
    block.register_forward_hook(partial(_drop_output, rate=rate))


def _drop_output(block: nn.Module, _: tuple, output: Tensor, rate: float) -> Tensor:
    return F.dropout(output, rate, block.training)
