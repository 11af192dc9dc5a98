"""Regression of a one-step generator onto its teacher's samples from the same start noise."""

from torch import Tensor


def regression_loss(prediction: Tensor, target: Tensor, delta: float | None) -> Tensor:
    """Mean of `regression_errors` over the batch: scalar."""
    return regression_errors(prediction, target, delta).mean()


def regression_errors(prediction: Tensor, target: Tensor, delta: float | None) -> Tensor:
    """Squared error, or the pseudo-Huber loss of each sample as a whole.

    With the error e = sqrt(mean|prediction - target|^2) of one sample, the loss is
    2 delta (sqrt(e^2 + delta^2) - delta): e^2 for e far below delta, 2 delta e far above (Song & Dhariwal 2023,
    "Improved Techniques for Training Consistency Models", eq. 7, scaled so that small errors weigh as in the squared
    error). If similar start noise leads the teacher to two different modes, the squared error is smallest halfway
    between them, where there is no mode; a linear error is smallest at one of the modes.

    Args:
        prediction: Generator samples (B, T, A).
        target: Teacher samples (B, T, A).
        delta: Error in normalized action units above which the loss is linear; None for the squared error.

    Returns:
        (B,).
    """
    squared = (prediction - target).square().flatten(1).mean(1)
    if delta is None:
        return squared
    return 2 * delta * ((squared + delta**2).sqrt() - delta)
