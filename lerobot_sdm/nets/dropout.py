"""Add dropout to LeRobot's residual blocks without renaming their weights."""

from functools import partial

from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalResidualBlock1d
from torch import Tensor, nn
from torch.nn import functional as F


def add_dropout(block: DiffusionConditionalResidualBlock1d, rate: float) -> None:
    """Add dropout at the two places where Consistency Policy has it: between the first convolution and FiLM, and after
    the residual sum.

    Args:
        block: Modified in place; its weights keep their names.
        rate: Dropout rate.
    """
    block.conv1.block.append(nn.Dropout(rate))
    block.register_forward_hook(partial(_drop_output, rate=rate))


def _drop_output(block: nn.Module, _: tuple, output: Tensor, rate: float) -> Tensor:
    return F.dropout(output, rate, block.training)
