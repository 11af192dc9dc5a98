"""How many control steps per second the point-cloud environments make.

    python examples/benchmarks/env_throughput.py --steps=200 --processes 1 2
    python examples/benchmarks/env_throughput.py --env-type=adroit --task hammer door pen --camera-size=84

Each process owns one environment and steps it with random actions, which includes physics, depth picture,
crop and farthest point sampling. Processes start together, and the slowest one counts. Run it on an idle machine.
The last columns say where a step's time goes: the simulator and its reward, the depth picture (OpenGL or ray casting),
and the rest, which is this package's own: rays, crop, sampling, checks. Steps per processor second count the time of
all threads, those that draw included; they are what to compare where the machine is busy.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
import time
from pathlib import Path

# One thread per process: otherwise the processes compete for cores, and numbers say nothing.
os.environ.setdefault("OMP_NUM_THREADS", "1")
WARM_UP_STEPS = 5


class Stopwatch:
    """Adds up the seconds spent in a method of an object."""

    def __init__(self, owner: object, name: str):
        self.seconds = 0.0
        method = getattr(owner, name)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            result = method(*args, **kwargs)
            self.seconds += time.perf_counter() - start
            return result

        setattr(owner, name, timed)


def step_many(env_type: str, settings: dict, steps: int, barrier) -> tuple[float, float, float, float, float]:
    """Step one environment; returns start and end on the system's clock, what the simulator and the depth picture took
    of it, and the processor's time, in seconds."""
    from lerobot.envs.factory import make_env_config

    import lerobot_policy_sdm  # noqa: F401 - registers the environment types

    config = make_env_config(env_type, **settings, terminate_on_success=False)
    (vector_env,) = config.create_envs(1)[config.task].values()
    env = vector_env.envs[0].unwrapped
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(WARM_UP_STEPS):
        env.step(env.action_space.sample())
    simulator, picture = Stopwatch(env, "_advance"), Stopwatch(env._camera, "take")
    barrier.wait()
    start, processor_start = time.time(), time.process_time()
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    end, processor_end = time.time(), time.process_time()
    env.close()
    return start, end, simulator.seconds, picture.seconds, processor_end - processor_start


def steps_per_second(env_type: str, settings: dict, steps: int, processes: int) -> tuple[float, float, float, float]:
    """Steps of all processes together, divided by the time from the first start to the last end, and by the processor's
    time; and the shares of the simulator and of the depth picture."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(processes) as pool:
        barrier = manager.Barrier(processes)
        spans = pool.starmap(step_many, [(env_type, settings, steps, barrier)] * processes)
    starts, ends, simulator, picture, processor_seconds = zip(*spans, strict=True)
    busy, done = sum(ends) - sum(starts), processes * steps
    rates = done / (max(ends) - min(starts)), done / sum(processor_seconds)
    return *rates, sum(simulator) / busy, sum(picture) / busy


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def main() -> None:
    """Measure every combination of task, renderer, number of points and number of processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-type", default="metaworld_pc")
    parser.add_argument("--task", nargs="+", default=["drawer-open"])
    parser.add_argument("--steps", type=int, default=200, help="per process, after the warm-up")
    parser.add_argument("--renderers", nargs="+", default=["egl", "raycast"])
    parser.add_argument("--num-points", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--camera-size", type=int, default=128)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()

    import mujoco

    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}", end="")
    print(f", MuJoCo {mujoco.__version__}, OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}")
    print(f"{options.env_type}, camera {options.camera_size} px, {options.steps} steps per process")
    print("\n| task | renderer | points | processes | control steps/s | per processor s | simulator | picture | ours |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    combinations = (options.task, options.renderers, options.num_points, options.processes)
    for task, renderer, points, processes in itertools.product(*combinations):
        settings = {
            "task": task,
            "renderer": renderer,
            "num_points": points,
            "camera_size": options.camera_size,
        }
        rate, per_processor, simulator, picture = steps_per_second(options.env_type, settings, options.steps, processes)
        shares = " | ".join(f"{share:.0%}" for share in (simulator, picture, 1 - simulator - picture))
        print(
            f"| {task} | {renderer} | {points} | {processes} | {rate:.0f} | {per_processor:.0f} | {shares} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
