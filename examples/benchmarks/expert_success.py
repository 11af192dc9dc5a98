"""How often an expert succeeds, by the environment's own rule, and how long an episode takes it.

    python examples/benchmarks/expert_success.py --env-type=adroit --task=door
    python examples/benchmarks/expert_success.py --env-type=adroit --task=pen --expert-path=pen-v0.pickle --threads=1
    python examples/benchmarks/expert_success.py --task=drawer-open --seeds 0 50

`demonstrations` are the episodes that `lerobot-sdm record` would keep, if they ended where an evaluation ends:
the goal held for as many simulator steps as the DP3 scripts ask for. They are counted where episodes go on after
success (`--env terminate_on_success=false` in MetaWorld). Clouds are left out; they cost little beside
a search. Processor seconds count all threads, and are what to compare on a busy machine.
"""

import argparse
import dataclasses
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lerobot_sdm.measure.expert import ExpertEpisode

# One thread per process: searches bring their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def field_and_value(text: str) -> tuple[str, Any]:
    """Field of an environment and its value, as in YAML, from "field=value"."""
    import yaml

    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: write field=value, such as success_rule=dapg.")
    return name, yaml.safe_load(value)


def row(name: str, successes: int, trials: int) -> str:
    """A line about a rate, with its interval."""
    from lerobot_sdm.measure.statistics import wilson_interval

    rate = wilson_interval(successes, trials)
    return f"{name}: {successes}/{trials} = {rate.estimate:.0%} (95% interval {rate.low:.0%} to {rate.high:.0%})"


def described(episode: "ExpertEpisode") -> str:
    """A line about an episode."""
    values = dataclasses.asdict(episode).items()
    return " ".join(f"{name}={value:.1f}" if isinstance(value, float) else f"{name}={value}" for name, value in values)


def main() -> None:
    """Drive the episodes, print a line about each and the rates, and write everything down if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--env-type", default="metaworld_pc")
    parser.add_argument("--task", default="drawer-open")
    parser.add_argument(
        "--env", type=field_and_value, nargs="*", default=[], metavar="FIELD=VALUE", help="such as success_rule=dapg"
    )
    parser.add_argument("--expert", help="name, or module:Class; the task's own unless given")
    parser.add_argument("--expert-path", type=Path, help="the file or folder that it reads")
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 25], metavar=("FIRST", "END"))
    parser.add_argument("--threads", type=int, help="of a search; all cores unless given")
    parser.add_argument("--out", type=Path, help="JSON file with settings, rates and every episode")
    options = parser.parse_args()

    from lerobot.envs.factory import make_env_config
    from tqdm import tqdm

    import lerobot_policy_sdm  # noqa: F401 - registers the environment types
    from lerobot_sdm.errors import InputError
    from lerobot_sdm.experts import check_expert, default_expert
    from lerobot_sdm.files import write_json
    from lerobot_sdm.measure.expert import expert_episodes
    from lerobot_sdm.measure.statistics import wilson_interval

    if options.out is not None and options.out.exists():
        parser.error(f"--out={options.out}: exists already. Choose another name, or remove it first.")
    if options.seeds[0] >= options.seeds[1]:
        parser.error(f"--seeds {options.seeds[0]} {options.seeds[1]}: give the first seed and one beyond the last.")
    fields = dict(options.env)
    try:
        config = make_env_config(options.env_type, task=options.task, **fields)
        expert = options.expert or default_expert(options.env_type, options.task)
        check_expert(expert, options.env_type, options.expert_path)
    except (InputError, TypeError, ValueError) as error:
        parser.error(str(error))
    chosen = {"path": options.expert_path, "threads": options.threads}
    chosen = {name: value for name, value in chosen.items() if value is not None}

    episodes = []
    seeds = tqdm(range(*options.seeds), desc=f"{options.env_type} {options.task} {expert}", unit="episode")
    for episode in expert_episodes(config, seeds, expert, **chosen):
        episodes.append(episode)
        tqdm.write(described(episode))

    trials = len(episodes)
    counts = {"success": sum(episode.success for episode in episodes)}
    if not config.terminate_on_success:
        counts["demonstrations"] = sum(episode.success_steps >= config.min_success_steps for episode in episodes)
    means = {name: sum(getattr(e, name) for e in episodes) / trials for name in ("steps", "seconds", "cpu_seconds")}
    for name, count in counts.items():
        print(row(name, count, trials))
    print("; ".join(f"{name.replace('_', ' ')} per episode: {mean:.1f}" for name, mean in means.items()))
    if options.out is not None:
        facts = {
            "env": {"type": options.env_type, "task": options.task, **fields},
            "expert": {"name": expert, **chosen, **({"path": options.expert_path.name} if options.expert_path else {})},
            "seeds": options.seeds,
            "counts": counts,
            "rates": {name: dataclasses.asdict(wilson_interval(count, trials)) for name, count in counts.items()},
            "means": means,
            "versions": {name: version(name) for name in ("lerobot_policy_sdm", "mujoco", "numpy")},
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
            "episodes": [dataclasses.asdict(episode) for episode in episodes],
        }
        write_json(options.out, facts)


if __name__ == "__main__":
    main()
