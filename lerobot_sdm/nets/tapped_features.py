"""Read the outputs of layers inside a network while it runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def tapped(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Context within which the outputs of layers are collected, in the order of their calls.

    Args:
        layers: Modules of one network.
    """
    outputs: list[Tensor] = []
    handles = [layer.register_forward_hook(lambda _, __, output: outputs.append(output)) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
