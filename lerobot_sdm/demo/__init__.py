"""A trained teacher and its one-step student, shipped with this package, and what `lerobot-sdm demo` does with them.

`pair` locates them, and `run` runs them; `examples/maintenance/make_demo.py` makes them of a finished quickstart.
"""

from lerobot_sdm.demo.pair import Pair, read_pair

__all__ = ["Pair", "read_pair"]
