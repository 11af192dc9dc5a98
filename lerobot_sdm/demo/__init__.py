"""A trained teacher and its one-step student, shipped with this package, and what `lerobot-sdm demo` does with them.

`pair` locates them, `run` runs them, `build` makes them from a finished quickstart.
"""

from lerobot_sdm.demo.pair import Pair, read_pair

__all__ = ["Pair", "read_pair"]
