"""Which actions of a training batch count in the loss."""

from typing import Any

from torch import Tensor


def real_steps(config: Any, batch: dict[str, Tensor]) -> Tensor | None:
    """Mask (B, T) of the actions of a batch that count in the loss; None for all of them."""
    if not config.do_mask_loss_for_padding or "action_is_pad" not in batch:
        return None
    return ~batch["action_is_pad"]
