"""What the recordings of these tests hold."""

import numpy as np

EPISODES, FRAMES, POINTS = 2, 8, 40
FPS = 20


def values(episode: int, frame: int) -> dict[str, np.ndarray]:
    """A plate of points that moves along x, with eight rows of padding; colors, image and numbers to recognize."""
    rng = np.random.default_rng(0)
    cloud = np.zeros((POINTS, 6), dtype=np.float32)
    cloud[:-8, :3] = rng.uniform([0.5, -0.2, 0], [0.9, 0.2, 0.1], (POINTS - 8, 3))
    cloud[:-8, 0] += 0.01 * frame
    cloud[:-8, 3:] = [200, 100, 50]
    image = np.full((16, 24, 3), 10 * frame + episode, dtype=np.uint8)
    state = np.float32([frame, -frame, episode])
    action = np.linspace(-1, 1, 15, dtype=np.float32) * frame
    return {"cloud": cloud, "image": image, "state": state, "action": action}
