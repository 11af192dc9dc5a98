"""What never passes silently: losses and actions that are not finite, and steps that are none."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lerobot_sdm.errors import InputError

ADVICE = (
    "Look for values that are not finite in the dataset, lower the learning rate, or train without mixed precision."
)


class NonFiniteError(RuntimeError):
    """A number that must not be used: a loss that would spoil the weights, an action that would reach a robot."""


def check_whole_steps(policy: str) -> None:
    """Refuse accelerate's gradient accumulation, of which LeRobot's training only takes a part: it divides the loss,
    and then steps the optimizer behind every batch. Networks that learn in turns would mix theirs besides.

    Args:
        policy: Its type, for the message.

    Raises:
        InputError: Accumulation was asked for, by accelerate's configuration or by its environment variable.
    """
    from accelerate.state import GradientState

    steps = GradientState().num_steps
    if steps != 1:
        raise InputError(
            f"gradient_accumulation_steps={steps}, in accelerate's configuration (accelerate config, or "
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS): LeRobot's training does not accumulate gradients, and a "
            f"{policy} policy takes a step with every batch. Set it to 1, and --batch_size={steps} times as large, or "
            f"train in {steps} processes."
        )


class LossGuard:
    """Refuses a loss that is not finite when the next one comes, or a checkpoint is written.

    One step late, because asking for a value waits for the device, and by then LeRobot has waited anyway.
    """

    def __init__(self) -> None:
        self._last: tuple[int, Tensor] | None = None

    def watch(self, loss: Tensor, step: int) -> Tensor:
        """The loss () of a training step, unchanged.

        Raises:
            NonFiniteError: The loss before it was not finite.
        """
        self.check()
        self._last = step, loss.detach()
        return loss

    def check(self) -> None:
        """Raises: NonFiniteError: The last loss was not finite."""
        if self._last is not None and not bool(self._last[1].isfinite().all()):
            step, loss = self._last
            raise NonFiniteError(f"training step {step}: the loss is {loss.item()}. {ADVICE}")


def check_weights(weights: Mapping[str, Tensor]) -> None:
    """Refuse to write down weights that are not finite.

    Raises:
        NonFiniteError: Names the first of them.
    """
    for name, value in weights.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise NonFiniteError(f"weights: '{name}' is not finite; no checkpoint is written. {ADVICE}")


def checked_actions(actions: Tensor, bound: float | None, policy: str) -> Tensor:
    """Actions as they may reach a robot.

    Args:
        actions: Normalized (B, T, A), planned from finite observations.
        bound: Actions are clipped to plus and minus this; None leaves them.
        policy: Its type, for the message.

    Raises:
        NonFiniteError: Says which.
    """
    finite = actions.isfinite()
    if not bool(finite.all()):
        row, step, dim = (~finite).nonzero()[0].tolist()
        raise NonFiniteError(
            f"{policy}: {int((~finite).sum())} planned values are not finite, the first for environment {row}, step "
            f"{step}, dimension {dim} of the action ({actions[row, step, dim].item()}); all observations are finite. "
            "Nothing was executed."
        )
    return actions if bound is None else torch.clamp(actions, -bound, bound)
