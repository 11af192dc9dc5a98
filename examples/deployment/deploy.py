"""Policies at a robot that does not wait: who keeps the deadline, and what it costs not to.

    python examples/deployment/deploy.py --env=metaworld_pc,task=detour,num_points=128,episode_length=120 \\
      --policy=TEACHER,label=dp3 --policy=STUDENT,label=sdm --slowdown 1 2 4 8 16 32 --output=outputs/deployment

The loop is that of `lerobot-rollout` with its synchronous inference engine; the robot is a MetaWorld task whose clock
runs on while a policy thinks (`simulated_robot.py`, `control_loop.py`). Decision times are measured on this machine as
they occur; `--slowdown` multiplies them, to stand for a slower computer, and `--decision-ms` gives times of your own,
for runs that can be repeated. A policy may be a folder of `lerobot-sdm export`, which then runs without torch.
Interrupted, the same command goes on where it stopped. docs/deployment.md explains it.
"""

import argparse
import itertools
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from control_loop import CLOCKS, Controller, ExportedController, run_episode
from deployment_plots import sweep_plot, timeline_plot
from measures import Episode, against, episode_record, summarize
from rich.console import Console
from rich.table import Table
from simulated_robot import HOLDS, MILLISECOND, SimulatedRobot
from tqdm import tqdm

import lerobot_policy_sdm  # noqa: F401 - registers the environment types
import lerobot_sdm.export.formats  # noqa: F401 - adds torch to the formats of exported folders
from lerobot_sdm.envs.metaworld.configuration import MetaWorldPointCloudEnvConfig
from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.export.runtime import MANIFEST, ExportError, sha256
from lerobot_sdm.export.runtime import Policy as ExportedPolicy
from lerobot_sdm.files import read_json, write_json
from lerobot_sdm.measure.comparison import Comparison, row_key
from lerobot_sdm.measure.records import machine
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.policies.source.files import fingerprint
from lerobot_sdm.processors.sizes import check_environment

PACKAGES = ("lerobot_policy_sdm", "lerobot", "torch", "mujoco", "metaworld", "numpy")
TIMELINE_TICKS = 120


@dataclass(frozen=True)
class Deployment:
    """What is tried, and how.

    Args:
        env: A single task of MetaWorld, `metaworld_pc,task=NAME[,FIELD=VALUE...]`.
        policies: The rows; the first is what the others are held against.
        fps: Control periods per second; the environment's own rate if None.
        slowdown: Factors on all measured decision times; one point of the sweep each.
        decision_ms: Times of the decisions that plan, instead of measured ones, over and over again.
        robot_latency_ms: What an observation takes to the policy, and a command to the robot.
        interface: What the robot does without a new command, see `HOLDS`.
        clock: What measures decisions, see `CLOCKS`.
        episodes: For each policy and point.
        seed: Of the first episode; they count up.
        threads: CPU threads of torch.

    Raises:
        InputError: A value cannot work.
    """

    env: str
    policies: tuple[PolicySpec, ...]
    fps: float | None = None
    slowdown: tuple[float, ...] = (1.0,)
    decision_ms: tuple[float, ...] | None = None
    robot_latency_ms: float = 0.0
    interface: str = "position"
    clock: str = "wall"
    episodes: int = 50
    seed: int = 100_000
    threads: int = 1

    def __post_init__(self) -> None:
        config = Comparison(self.env, self.policies, self.episodes, self.seed, threads=self.threads).env_config()
        if not isinstance(config, MetaWorldPointCloudEnvConfig) or len(config.task_names()) != 1:
            raise InputError(f"--env={self.env}: give a single task of MetaWorld, such as metaworld_pc,task=detour.")
        for name, known in (("interface", HOLDS), ("clock", CLOCKS)):
            if getattr(self, name) not in known:
                raise unknown_name(f"--{name}", getattr(self, name), known)
        if self.fps is not None and self.fps <= 0:
            raise InputError(f"--fps={self.fps:g}: give more than 0.")
        if self.robot_latency_ms < 0:
            raise InputError(f"--robot-latency-ms={self.robot_latency_ms:g}: give 0 or more.")
        if min(self.slowdown) <= 0 or len(set(self.slowdown)) < len(self.slowdown):
            raise InputError(f"--slowdown={self.slowdown}: give different factors above 0.")
        if self.decision_ms is not None:
            if min(self.decision_ms) < 0:
                raise InputError(f"--decision-ms={self.decision_ms}: give 0 or more.")
            if self.slowdown != (1.0,):
                raise InputError("--slowdown: is a factor on measured times; leave it out beside --decision-ms.")
        if self.clock == "cpu" and self.threads > 1:
            raise InputError("--clock=cpu: is the time of one thread. Give --threads=1.")

    @property
    def config(self) -> MetaWorldPointCloudEnvConfig:
        """Of the environment."""
        return Comparison(self.env, self.policies).env_config()

    @property
    def period(self) -> int:
        """Nanoseconds of a control period."""
        return round(1000 * MILLISECOND / (self.fps or self.config.fps))

    def settings(self) -> dict[str, Any]:
        """What all points of a folder share, as JSON has it."""
        chosen = {name: value for name, value in asdict(self).items() if name not in ("policies", "slowdown")}
        replayed = None if self.decision_ms is None else list(self.decision_ms)
        return chosen | {"fps": 1000 * MILLISECOND / self.period, "decision_ms": replayed}


def make_robot(deployment: Deployment) -> SimulatedRobot:
    """The environment behind a robot's interface."""
    config = deployment.config
    env = config.maker(config.task_names()[0])()
    latency = round(deployment.robot_latency_ms * MILLISECOND)
    return SimulatedRobot(env, deployment.period, latency, HOLDS[deployment.interface])


@dataclass(frozen=True)
class Exported:
    """A policy exported to a folder."""

    spec: PolicySpec
    policy: ExportedPolicy


def load(deployment: Deployment, spec: PolicySpec) -> LoadedPolicy | Exported:
    """A checkpoint, or an exported folder.

    Raises:
        InputError: It cannot be read, does not fit the environment, or options are given for an exported folder.
    """
    if not (Path(spec.path) / MANIFEST).is_file():
        loaded = load_from_spec(spec)
        check_environment(loaded.config, deployment.config, spec.path)
        return loaded
    if spec.overrides:
        raise InputError(f"--policy={spec.text()}: an exported policy has no options. Give them when exporting.")
    try:
        return Exported(spec, ExportedPolicy(spec.path, deployment.threads))
    except ExportError as error:
        raise InputError(f"--policy={spec.text()}: {error}") from error


def weights_of(spec: PolicySpec) -> str:
    """Hash of a policy's weights, or of an exported folder's manifest, which has those of all its files."""
    manifest = Path(spec.path) / MANIFEST
    return sha256(manifest) if manifest.is_file() else fingerprint(spec.path)


def make_controller(
    deployment: Deployment, loaded: LoadedPolicy | Exported, slowdown: float
) -> Controller | ExportedController:
    """A policy at that robot."""
    config, replay = deployment.config, None
    if deployment.decision_ms is not None:
        replay = itertools.cycle(round(value * MILLISECOND) for value in deployment.decision_ms)
    keys = {name: key for name, key in config.features_map.items() if name != "action"}
    if isinstance(loaded, Exported):
        return ExportedController(loaded.policy, keys, CLOCKS[deployment.clock], slowdown, replay)
    size = config.features["action"].shape[0]
    return Controller(loaded, size, keys, CLOCKS[deployment.clock], slowdown, replay)


def run_point(
    deployment: Deployment, robot: SimulatedRobot, loaded: LoadedPolicy | Exported, slowdown: float
) -> tuple[list[Episode], list[dict[str, Any]]]:
    """All episodes of a policy at one point of the sweep.

    Returns:
        A record of each episode, and the first turns of the first one's loop.
    """
    controller = make_controller(deployment, loaded, slowdown)
    robot.reset(deployment.seed)
    controller.warm_up(robot.observe())
    episodes, timeline = [], []
    label = f"{loaded.spec.label}, x{slowdown:g}"
    for seed in tqdm(range(deployment.seed, deployment.seed + deployment.episodes), desc=label, unit="episode"):
        ticks = run_episode(robot, controller, seed)
        episodes.append(episode_record(seed, robot.summary(), ticks, deployment.period))
        timeline = timeline or [asdict(tick) for tick in ticks[:TIMELINE_TICKS]]
    return episodes, timeline


def run(deployment: Deployment, output: Path) -> dict[str, Any]:
    """Measure every point that is not there yet, and gather all.

    Args:
        deployment: What to try.
        output: Folder; a finished point is a file in it.

    Returns:
        JSON-compatible results; `timelines` are of the first point.

    Raises:
        InputError: The folder holds points of other settings.
    """
    loaded = [load(deployment, policy) for policy in deployment.policies]
    settings = deployment.settings() | {
        "policies": [asdict(policy) | {"sha256": weights_of(policy)} for policy in deployment.policies]
    }
    if (output / "settings.json").exists() and read_json(output / "settings.json") != settings:
        raise InputError(f"--output={output}: holds points of other settings or weights. Choose another folder.")
    write_json(output / "settings.json", settings)
    robot, points, timelines = make_robot(deployment), [], {}
    for slowdown in deployment.slowdown:
        rows = []
        for policy in loaded:
            file = output / "points" / f"{row_key(policy.spec)}-x{slowdown:g}.json"
            if not file.exists():
                episodes, timeline = run_point(deployment, robot, policy, slowdown)
                write_json(file, {"episodes": episodes, "timeline": timeline})
            rows.append(read_json(file))
            timelines.setdefault(policy.spec.label, rows[-1]["timeline"])
        first = rows[0]["episodes"]
        points.append(
            {
                "slowdown": slowdown,
                "rows": [
                    {
                        "label": policy.spec.label,
                        **summarize(row["episodes"]),
                        "difference_to_first": against(first, row["episodes"]),
                    }
                    for policy, row in zip(loaded, rows, strict=True)
                ],
            }
        )
    return {
        "settings": settings,
        "period_ms": deployment.period / MILLISECOND,
        "measured": deployment.decision_ms is None,
        "points": points,
        "timelines": timelines,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": machine(),
    }


def table(results: dict[str, Any]) -> Table:
    """Everything that was counted, for the terminal."""
    names = ("times as slow", "policy", "plan p50 ms", "p95", "plans late", "periods held", "jitter ms", "success")
    shown = Table(*names, title=f"a control period is {results['period_ms']:g} ms")
    for point in results["points"]:
        for row in point["rows"]:
            rate = row["success_rate"]
            shown.add_row(
                f"{point['slowdown']:g}",
                row["label"],
                f"{row['planning']['p50_ms']:.1f}",
                f"{row['planning']['p95_ms']:.1f}",
                f"{row['planning_missed']}/{row['planning']['count']}",
                f"{row['periods_held']}/{row['periods']}",
                f"{row['jitter_ms']:.1f}",
                f"{sum(row['successes'])}/{len(row['successes'])} "
                f"({100 * rate['low']:.0f} to {100 * rate['high']:.0f}%)",
            )
    return shown


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--env", required=True, help="metaworld_pc,task=NAME[,FIELD=VALUE...]")
    add("--policy", required=True, action="append", help="PATH[,label=NAME][,FIELD=VALUE...], repeatedly")
    add("--output", required=True, type=Path, help="folder for everything")
    add("--fps", type=float, help="control periods per second; the environment's own rate if absent")
    add("--slowdown", type=float, nargs="+", default=[1.0], help="factors on measured decision times")
    add("--decision-ms", type=float, nargs="+", help="times of decisions that plan, instead of measured ones")
    add("--robot-latency-ms", type=float, default=0.0, help="of an observation, and of a command")
    add("--interface", default="position", help=f"without a new command: {', '.join(HOLDS)}")
    add("--clock", default="wall", help=f"what measures decisions: {', '.join(CLOCKS)}")
    add("--episodes", type=int, default=50)
    add("--seed", type=int, default=100_000)
    add("--threads", type=int, default=1)
    options = vars(parser.parse_args(arguments))
    output = options.pop("output")
    try:
        policies = tuple(PolicySpec.parse(text) for text in options.pop("policy"))
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        deployment = Deployment(policies=policies, **options)
        import torch

        torch.set_num_threads(deployment.threads)
        results = run(deployment, output)
    except (InputError, ExportError) as error:
        parser.exit(2, f"Error: {error}\n")
    write_json(output / "results.json", results)
    timeline_plot(results, output / "timeline.png")
    sweep_plot(results, output / "sweep.png")
    console = Console()
    console.print(table(results))
    for name in ("results.json", "timeline.png", "sweep.png"):
        console.print(output / name)


if __name__ == "__main__":
    main()
