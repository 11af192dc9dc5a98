"""An hour of evaluation under watch: does memory grow, is every handle given back, do outcomes stay the same?

    python examples/soak.py --policy=outputs/student/checkpoints/last/pretrained_model \
        --env=metaworld_pc,task=detour --minutes=60 --output=outputs/soak

Round after round, environments are made, a batch of episodes is evaluated by LeRobot's own `eval_policy`, and they are
closed again. Behind each round the process is measured: resident memory, open files, threads, child processes, and
OpenGL contexts that nobody freed. `soak.json` is written anew each time, and `soak.png` at the end. The exit status is
1 if memory grows faster than --max-growth over the second half, if the number of any handle goes up and stays up, or
if a seed that comes round again has another outcome than before.
"""

import argparse
import contextlib
import gc
import io
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

HANDLES = ("files", "threads", "processes", "graphics_contexts")
SEED = 100_000


@dataclass(frozen=True)
class Sample:
    """The process behind a round.

    Attributes:
        minutes: Since the start.
        episodes: Finished so far.
        rss_mib: Resident memory of the process and its children.
        files: Open file descriptors.
        threads: Of the process.
        processes: Its children.
        graphics_contexts: Live EGL contexts.
        contexts_in_use: The same before the round's environments were closed.
    """

    minutes: float
    episodes: int
    rss_mib: float
    files: int
    threads: int
    processes: int
    graphics_contexts: int
    contexts_in_use: int


def live_contexts() -> int:
    """EGL contexts that exist and were not freed."""
    egl = sys.modules.get("mujoco.egl")
    if egl is None:
        return 0
    # The exact type: asking `isinstance` of every object would wake lazy modules.
    return sum(1 for thing in gc.get_objects() if type(thing) is egl.GLContext and thing._context)


def measure(start: float, episodes: int, contexts_in_use: int) -> Sample:
    """Take a sample; rubbish is collected first, so that what is left is held by someone."""
    import psutil

    gc.collect()
    process = psutil.Process()
    children = process.children(recursive=True)
    memory = sum(one.memory_info().rss for one in (process, *children))
    return Sample(
        minutes=(time.monotonic() - start) / 60,
        episodes=episodes,
        rss_mib=memory / 2**20,
        files=process.num_fds(),
        threads=process.num_threads(),
        processes=len(children),
        graphics_contexts=live_contexts(),
        contexts_in_use=contexts_in_use,
    )


def growth(samples: Sequence[Sample]) -> float:
    """Slope of memory over the second half, in MiB per 1000 episodes.

    The median of the slopes between all pairs of samples (Theil and Sen): a single jump does not count, a drift does.
    """
    from scipy.stats import theilslopes

    half = samples[len(samples) // 2 :]
    slope = theilslopes([s.rss_mib for s in half], [s.episodes for s in half]).slope
    return 1000 * float(slope) + 0.0  # no "-0.00"


def complaints(samples: Sequence[Sample], changed: Sequence[str], max_growth: float) -> list[str]:
    """What is wrong with a run; empty if nothing is.

    Args:
        samples: Four or more, in order.
        changed: Outcomes that changed, in words.
        max_growth: Of memory, in MiB per 1000 episodes.
    """
    found = [f"outcome: {text}" for text in changed]
    if (slope := growth(samples)) > max_growth:
        found.append(f"memory: grows by {slope:.1f} MiB per 1000 episodes, more than {max_growth:g}")
    quarter = len(samples) // 4
    for name in HANDLES:
        counts = [getattr(sample, name) for sample in samples]
        early, late = max(counts[quarter : 2 * quarter]), min(counts[-quarter:])
        if late > early:
            found.append(f"{name}: {early} at most in the second quarter, {late} at least in the last")
    if left := samples[-1].graphics_contexts:
        found.append(f"graphics_contexts: {left} left behind the last round")
    return found


def rounds(policy: Any, config: Any, options: argparse.Namespace) -> Iterator[tuple[dict[int, tuple], int]]:
    """Evaluate for ever; gives each round's outcomes by seed, and the contexts that its environments used.

    The same seeds come again every `--cycle` rounds, with the same noise of the policy.
    """
    import itertools

    import torch
    from lerobot.envs import close_envs, make_env, make_env_pre_post_processors
    from lerobot.scripts.lerobot_eval import eval_policy

    before, after = make_env_pre_post_processors(env_cfg=config, policy_cfg=policy.config)
    for number in itertools.count():
        seed = SEED + number % options.cycle * options.batch_size
        environments = make_env(config, n_envs=options.batch_size, use_async_envs=options.async_envs)
        ((environment,),) = (tasks.values() for tasks in environments.values())
        torch.manual_seed(seed)
        with contextlib.redirect_stderr(io.StringIO()):  # LeRobot's bars, one for each round
            info = eval_policy(
                environment, policy.policy, before, after, policy.preprocess, policy.postprocess,
                n_episodes=options.batch_size, start_seed=seed,
            )  # fmt: skip
        contexts = live_contexts()
        close_envs(environments)
        yield {one["seed"]: (one["sum_reward"], one["success"]) for one in info["per_episode"]}, contexts


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate until the time is up; writes `soak.json` behind every round and returns what is in it."""
    import torch
    from tqdm import tqdm

    from lerobot_sdm.files import write_json
    from lerobot_sdm.measure.comparison import Comparison
    from lerobot_sdm.policies.loaded_policy import load_from_spec
    from lerobot_sdm.policies.policy_spec import PolicySpec

    torch.set_num_threads(1)
    config = Comparison(options.env, policies=()).env_config()
    policy = load_from_spec(PolicySpec("policy", options.policy))
    settings = {name: value for name, value in vars(options).items() if name not in ("policy", "output")}
    known: dict[int, tuple] = {}
    samples, changed, start = [], [], time.monotonic()
    with tqdm(
        total=round(options.minutes, 1), desc="Evaluating", unit="min", bar_format="{l_bar}{bar}{postfix}"
    ) as bar:
        for outcomes, contexts in rounds(policy, config, options):
            changed += [
                f"seed {seed}: {known[seed]}, then {value} in round {len(samples) + 1}"
                for seed, value in outcomes.items()
                if known.setdefault(seed, value) != value
            ]
            samples.append(measure(start, (len(samples) + 1) * options.batch_size, contexts))
            over = samples[-1].minutes >= options.minutes and len(samples) >= options.min_rounds
            result = {
                "options": settings,
                "finished": over,
                "episodes": samples[-1].episodes,
                "successes": sum(bool(success) for _, success in known.values()),
                "seeds": len(known),
                "outcomes_that_changed": changed,
                "samples": [asdict(sample) for sample in samples],
            }
            if over:
                result["growth_mib_per_1000_episodes"] = growth(samples)
                result["complaints"] = complaints(samples, changed, options.max_growth)
            write_json(options.output / "soak.json", result)
            bar.update(min(samples[-1].minutes, bar.total) - bar.n)
            bar.set_postfix_str(f"{samples[-1].episodes} episodes, {samples[-1].rss_mib:.0f} MiB")
            if over:
                return result


def plot(result: dict[str, Any], path: Path) -> None:
    """Memory and handles over the episodes."""
    from matplotlib.figure import Figure

    samples = {name: np.array([sample[name] for sample in result["samples"]]) for name in result["samples"][0]}
    episodes = samples["episodes"]
    figure = Figure(figsize=(10, 4), layout="constrained")
    memory, handles = figure.subplots(1, 2)
    memory.plot(episodes, samples["rss_mib"], color="#1f6fb4", linewidth=1)
    half, slope = len(episodes) // 2, result["growth_mib_per_1000_episodes"] / 1000
    middle = np.median(samples["rss_mib"][half:] - slope * episodes[half:])
    memory.plot(episodes[half:], middle + slope * episodes[half:], "--", color="#c2410c")
    memory.set_title(f"second half: {1000 * slope:+.2f} MiB per 1000 episodes", loc="left")
    memory.set(xlabel="episodes", ylabel="resident memory, MiB", ylim=(0, 1.15 * samples["rss_mib"].max()))
    for name in (*HANDLES, "contexts_in_use"):
        handles.plot(episodes, samples[name], label=name.replace("_", " "), linewidth=1.5)
    handles.set_title(f"behind each round, {samples['minutes'][-1]:.0f} minutes", loc="left")
    handles.set(xlabel="episodes", ylim=(-0.5, None))
    handles.legend(fontsize=8)
    for axes in (memory, handles):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; refuses what cannot work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", required=True, help="a checkpoint's `pretrained_model` folder, or a Hub repository")
    parser.add_argument("--env", default="metaworld_pc,task=detour", help="TYPE[,FIELD=VALUE...]")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch-size", type=int, default=4, help="episodes of a round, which run together")
    parser.add_argument("--cycle", type=int, default=5, help="rounds until the same seeds come again")
    parser.add_argument("--min-rounds", type=int, default=8, help="whatever the time is")
    parser.add_argument("--async-envs", action="store_true", help="environments in processes of their own")
    parser.add_argument("--max-growth", type=float, default=10, help="MiB per 1000 episodes, over the second half")
    parser.add_argument("--output", type=Path, default=Path("outputs/soak"))
    options = parser.parse_args(arguments)
    for name, least in {"batch_size": 1, "cycle": 1, "min_rounds": 8, "minutes": 0}.items():
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')}={getattr(options, name)}: give {least} or more")
    if (options.output / "soak.json").exists():
        parser.error(f"--output={options.output}: holds the result of another run. Choose another folder.")
    return options


def main() -> None:
    options = parse()
    result = soak(options)
    plot(result, options.output / "soak.png")
    last = result["samples"][-1]
    print(
        f"{result['episodes']} episodes in {last['minutes']:.1f} minutes; {last['rss_mib']:.0f} MiB, over the second "
        f"half {result['growth_mib_per_1000_episodes']:+.2f} MiB per 1000 episodes; "
        + ", ".join(f"{last[name]} {name.replace('_', ' ')}" for name in HANDLES)
    )
    for complaint in result["complaints"]:
        print(f"LEAK OR DRIFT: {complaint}")
    sys.exit(bool(result["complaints"]))


if __name__ == "__main__":
    main()
