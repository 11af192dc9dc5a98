"""Exact farthest point sampling, compiled."""

import numba
import numpy as np
from numpy.typing import NDArray

# The maximum is kept per lane so that the compiler can use vector instructions: exact, no fast-math, 3x faster.
LANES = 64


# Deliberately without fast-math: depth grids are full of near-ties, which reassociated or fused arithmetic would break
# differently on each machine.
@numba.njit(cache=True, nogil=True)
def _pick(x, y, z, count):  # pragma: no cover - compiled
    """Indices of `count` greedy picks from the columns x, y, z (n,)."""
    picked = np.empty(count, dtype=np.int64)
    # Squared distance of each point to its nearest pick. Picked points, and the padding to whole lanes, are at -1:
    # below every real distance, so that no point is picked twice, not even among duplicates.
    nearest = np.full(-(-x.size // LANES) * LANES, -1.0, dtype=np.float32)
    nearest[: x.size] = np.inf
    lane_best = np.empty(LANES, dtype=np.float32)
    last = 0
    for k in range(count):
        picked[k] = last
        nearest[last] = -1.0
        px, py, pz = x[last], y[last], z[last]
        for i in range(x.size):
            dx, dy, dz = x[i] - px, y[i] - py, z[i] - pz
            distance = dx * dx + dy * dy + dz * dz
            nearest[i] = distance if distance < nearest[i] else nearest[i]
        lane_best[:] = -1.0
        for start in range(0, nearest.size, LANES):
            for lane in range(LANES):
                value = nearest[start + lane]
                lane_best[lane] = value if value > lane_best[lane] else lane_best[lane]
        farthest = lane_best.max()
        last = 0
        while nearest[last] != farthest:
            last += 1
    return picked


def farthest_point_sampling(points: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Pick `count` points, each the farthest from all picked before it, starting with row 0.

    Greedy and exact in float32; the lowest index wins a tie, as in the CUDA operator of the DP3 pipeline. The first k
    picks are themselves a farthest point sample of k points.

    Args:
        points: (n, C) with x, y, z in the first three columns; finite.
        count: How many to pick, at most n.

    Returns:
        (count,) distinct row indices in the order of picking.

    Raises:
        ValueError: If `count` is negative or more than n.
    """
    if not 0 <= count <= len(points):
        raise ValueError(f"cannot pick {count} of {len(points)} points")
    columns = np.ascontiguousarray(points[:, :3].T, dtype=np.float32)
    return _pick(columns[0], columns[1], columns[2], count)
