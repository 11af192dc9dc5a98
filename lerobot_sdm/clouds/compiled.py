"""Compile this package's compiled code, or load it, on import: once for all programs of a warm process."""

import numpy as np

from lerobot_sdm.clouds.fps import farthest_point_sampling

farthest_point_sampling(np.zeros((2, 3), dtype=np.float32), 1)
