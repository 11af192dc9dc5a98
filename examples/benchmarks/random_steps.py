"""Whether DexArt's physics stays sane under random actions: what MuJoCo warns of, and how wild things get.

    python examples/benchmarks/random_steps.py --task laptop faucet bucket toilet --steps 10000

In every other episode an action is drawn anew at each step; in the others it is held for a second, so that the arm goes
places and runs into things. Each episode draws one of all stand-ins, seen and unseen. Clouds are as small as can be:
this is about physics.
"""

import argparse
import os
from collections import Counter
from dataclasses import dataclass, field

# One thread per process: linear algebra this small only gets slower with more.
os.environ.setdefault("OMP_NUM_THREADS", "1")
HELD_STEPS = 25


@dataclass
class Stability:
    """What came of random steps.

    Attributes:
        steps, episodes: How many.
        not_finite: Steps whose observation, reward or state held a number that is none.
        warnings: What MuJoCo warned of, and how often.
        fastest_joint: Highest speed of a joint of the robot, rad/s.
        fastest_hinge: Highest speed of the object's hinge, rad/s.
        deepest: Deepest that one solid was inside another, mm.
    """

    steps: int = 0
    episodes: int = 0
    not_finite: int = 0
    warnings: Counter = field(default_factory=Counter)
    fastest_joint: float = 0.0
    fastest_hinge: float = 0.0
    deepest: float = 0.0


def shaken(task: str, steps: int, episode_length: int | None = None, seed: int = 0) -> Stability:
    """Step an environment at random.

    Args:
        task: One of DexArt's.
        steps: Control steps.
        episode_length: Of each episode; the rule set's for None.
        seed: Of actions and starts.
    """
    import mujoco
    import numpy as np
    from tqdm import trange

    from lerobot_sdm.envs.dexart.env import DexArtPointCloudEnv
    from lerobot_sdm.envs.dexart.objects import SPLITS, object_names

    objects = ",".join(name for split in SPLITS for name in object_names(task, split, official=False))
    env = DexArtPointCloudEnv(
        task, objects, num_points=1, camera_size=1, episode_length=episode_length, terminate_on_success=False
    )
    rng, found, over = np.random.default_rng(seed), Stability(), True
    for step in trange(steps, desc=task, unit="step"):
        if over:
            env.reset(seed=seed if found.episodes == 0 else None)
            began, held, found.episodes = step, found.episodes % 2 == 1, found.episodes + 1
        if not held or (step - began) % HELD_STEPS == 0:
            action = rng.uniform(-1, 1, env.action_space.shape)
        observation, reward, terminated, truncated, _ = env.step(action)
        over, data = terminated or truncated, env.world.data
        numbers = (*observation.values(), np.array(reward), data.qpos, data.qvel)
        found.steps += 1
        found.not_finite += not all(np.isfinite(part).all() for part in numbers)
        found.fastest_joint = max(found.fastest_joint, float(np.abs(env.measured.qvel).max()))
        found.fastest_hinge = max(found.fastest_hinge, float(np.abs(data.joint("handle").qvel).max()))
        found.deepest = max(found.deepest, -1000 * float(data.contact.dist.min(initial=0.0)))
        if over or step == steps - 1:  # A reset forgets them.
            names = [warning.name for warning in mujoco.mjtWarning.__members__.values()]
            counts = zip(names, data.warning.number, strict=False)
            found.warnings.update({name: int(count) for name, count in counts if count})
    env.close()
    return found


def main() -> None:
    """Print a line for each task."""
    from lerobot_sdm.envs.dexart.tasks import DEXART_TASKS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", default=[*DEXART_TASKS], choices=[*DEXART_TASKS])
    parser.add_argument("--steps", type=int, default=10_000, help="control steps of each task")
    options = parser.parse_args()
    print("| task | steps | episodes | not finite | warnings | joint, rad/s | hinge, rad/s | deepest contact, mm |")
    print("|---|---:|---:|---:|---|---:|---:|---:|")
    for task in options.task:
        found = shaken(task, options.steps)
        warnings = ", ".join(f"{name} {count}" for name, count in found.warnings.items()) or "none"
        print(f"| {task} | {found.steps} | {found.episodes} | {found.not_finite} | {warnings}", end="")
        print(f" | {found.fastest_joint:.0f} | {found.fastest_hinge:.0f} | {found.deepest:.1f} |", flush=True)


if __name__ == "__main__":
    main()
