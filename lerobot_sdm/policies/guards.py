"""Reject non-finite losses, weights and actions, and unsupported gradient accumulation."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lerobot_sdm.errors import InputError

ADVICE = (
    "Look for values that are not finite in the dataset, lower the learning rate, or train without mixed precision."
)

NEEDS_FLOAT32 = "a {} policy learns from a derivative of its network, which needs float32."


class NonFiniteError(RuntimeError):
    """A loss, weight, observation or action is NaN or infinite and must not be used."""


def check_whole_steps(policy: str) -> None:
    """Refuse accelerate's gradient accumulation, which LeRobot's training does not fully support: it divides the loss,
    but steps the optimizer after every batch. It would also mix up the turns of alternately trained networks.

    Raises:
        InputError: Accumulation is enabled, in accelerate's configuration or by its environment variable.
    """
    from accelerate.state import GradientState

    steps = GradientState().num_steps
    if steps != 1:
        raise InputError(
            f"gradient_accumulation_steps={steps}, in accelerate's configuration (accelerate config, or "
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS): LeRobot's training does not accumulate gradients, and a "
            f"{policy} policy takes a step for every batch. Set it to 1, and --batch_size={steps} times as large, or "
            f"train in {steps} processes."
        )


def check_full_precision(policy: str, use_amp: bool, device: torch.device | str) -> None:
    """Refuse mixed precision, for a policy type whose training needs derivatives that it would ruin.

    Raises:
        InputError: Mixed precision is enabled, by the option, by accelerate's configuration, or around this call.
    """
    from accelerate.state import AcceleratorState

    why = NEEDS_FLOAT32.format(policy)
    if use_amp:
        raise InputError(f"--policy.use_amp=true: {why} Drop the option.")
    shared = AcceleratorState().mixed_precision if AcceleratorState._shared_state else "no"
    if shared != "no":
        raise InputError(
            f"mixed_precision={shared}, in accelerate's configuration (accelerate config, or "
            f"ACCELERATE_MIXED_PRECISION): {why} Set it to no."
        )
    check_no_autocast(policy, device)


def check_no_autocast(policy: str, device: torch.device | str) -> None:
    """Raises: InputError: `torch.autocast` is active on a device."""
    kind = torch.device(device).type
    if torch.is_autocast_enabled(kind):
        raise InputError(f"torch.autocast({kind!r}): {NEEDS_FLOAT32.format(policy)} Train without autocast.")


class LossGuard:
    """Rejects a non-finite loss at the next training step, or when a checkpoint is written.

    Checking one step late avoids an extra device synchronization, because by then LeRobot has synchronized anyway.
    """

    def __init__(self) -> None:
        self._last: tuple[int, Tensor] | None = None

    def watch(self, loss: Tensor, step: int) -> Tensor:
        """Return the loss () of a training step unchanged, and check the previous one.

        Raises:
            NonFiniteError: The previous loss was not finite.
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
    """Raises: NonFiniteError: A weight is not finite, so it must not be saved; names the first one."""
    for name, value in weights.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise NonFiniteError(f"weights: '{name}' is not finite; no checkpoint is written. {ADVICE}")


def checked_actions(actions: Tensor, bound: float | None, policy: str) -> Tensor:
    """Clip normalized actions (B, T, A), planned from finite observations, to [-bound, bound], None for no clipping.

    Before they can reach a robot, it is checked that they are finite.

    Raises:
        NonFiniteError: An action is not finite; names the first one.
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
