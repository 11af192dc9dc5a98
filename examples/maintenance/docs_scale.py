"""The documentation's commands in small: the same programs and options, with little to do; and what cannot run here."""

import re
from pathlib import Path

import yaml
from docs_commands import ROOT, Command

SMALL_NETWORK = ("--policy.down_dims=[8,16,16]", "--policy.diffusion_step_embed_dim=16")
SMALL_ENCODER = ("--policy.blocks_per_level=1", "--policy.encoder_hidden_dims=[8,16]")
NETWORKS = {
    "dp3": (*SMALL_NETWORK, *SMALL_ENCODER),
    **dict.fromkeys(("edm", "flow", "meanflow", "drift"), (*SMALL_NETWORK, *SMALL_ENCODER)),
    "diffusion": (*SMALL_NETWORK, "--policy.n_groups=8"),
}
"""Options that make a network small; all other policies take over the network of one of these."""
SMALL_MIXER = ("--policy.mixer_width=16", "--policy.mixer_depth=2", "--policy.encoder_hidden_dims=[8,16]")

QUICKSTART = (
    *("--episodes=2", "--held-out-episodes=2", "--teacher-steps=4", "--student-steps=4"),
    *("--eval-episodes=2", "--observations=2", "--samples=4"),
)
VERBS: dict[str, tuple[str, ...]] = {
    "quickstart": QUICKSTART,
    "record": ("--episodes=2",),
    "distance": ("--observations=2", "--samples=4"),
    "compare": ("--episodes=1", "--batch-size=1"),
    "view": ("--episode=0",),
    "latency": ("--repeats=1", "--warmup=0"),
    "export": ("--observations=2", "--calibration=2", "--samples=4"),
    "demo": ("--episodes=1", "--filmed=1"),
    "collect-rollouts": ("--episodes=2", "--batch-size=2", "--env.episode_length=30"),
}
SCRIPTS: dict[str, tuple[str, ...]] = {
    "expert_success.py": ("--seeds", "0", "1"),
    "env_throughput.py": ("--steps=5", "--processes", "1", "--renderers", "egl"),
    "inference.py": ("--repeats=1", "--warmup=0", "--only", "student"),
    "random_steps.py": ("--steps=20",),
    "chunk_error.py": ("--every=200",),
    # In the first rounds memory still grows.
    "soak.py": ("--minutes=0", "--batch-size=1", "--env=metaworld_pc,task=detour,episode_length=5", "--max-growth=1e6"),
    "deploy.py": ("--episodes=2", "--slowdown", "1", "4"),
    "exported_success.py": ("--env=metaworld_pc,task=drawer-open,episode_length=5", "--episodes=1"),
}
TINY_SUITE = (
    *("--suite=smoke", "--tasks=handle-press", "--methods=dp3-10,sdm", "--size=tiny", "--jobs=1"),
    *("--protocol=strict,paper", "--paper-methods=sdm"),
)
"""A whole suite takes days, and all but `smoke` need a hundred episodes; two cells of that one take minutes."""

UNREACHABLE: dict[str, str] = {
    "hf": "needs an account of the Hub",
    "publish": "needs an account of the Hub",
    "lerobot-record": "needs a robot",
    "lerobot-rollout": "needs a robot; tests run it with the simulated one",
    "lerobot.async_inference.robot_client": "needs a robot and a server; tests run it with the simulated one",
    "serve": "runs until it is interrupted",
    "--engine=submitit": "needs a cluster",
    "--device=cuda": "needs a GPU",
    "--multi_gpu": "needs GPUs",
    "pip": "changes the environment",
    "add": "changes the environment",
    "sync": "changes the environment",
    "venv": "changes the environment",
    "pytest": "is the test suite itself",
    "examples/maintenance/run_docs.py": "is what wrote this page",
    "examples/studies/gaussian_mixture.py": "trains for minutes; its parts are tested",
    "examples/maintenance/supported_versions.py": "fills environments from the package index, for minutes",
    "examples/maintenance/fuzz.py": "needs atheris; the line before it installs that",
    "examples/benchmarks/growth.py": "measures for half an hour what `inference.py` measures once",
    "--env.assets_dir=path/to/dexart-release/assets": "needs DexArt's official assets",
    "lerobot/pusht": "needs the Hub",
    "--policy.teacher_path=outputs/imported": "needs a published checkpoint; the stand-in has seen other clouds",
}
"""Why a command cannot run here, by one of its arguments; the first that it has counts."""

YOURS = re.compile(r"(?:^|=)(?:me|lerobot)/[\w-]+$")
"""Data or a policy that stands for a reader's own."""

OTHERS = re.compile(r"beat_block_hammer|dataset\.zarr\.zip|bimanual\.zarr")
"""Demonstrations and checkpoints of others that nobody brings along; tests write some of the same structure."""


def reason_to_skip(argv: tuple[str, ...]) -> str | None:
    """Why a command cannot run here; None if it can."""
    reasons = [reason for part, reason in UNREACHABLE.items() if part in argv]
    reasons += ["stands for data or a policy of yours" for argument in argv if YOURS.search(argument)]
    reasons += ["needs data of RoboTwin, UMI or a robot of two arms" for argument in argv if OTHERS.search(argument)]
    return reasons[0] if reasons else None


def in_small(command: Command) -> tuple[str, ...]:
    """A command with options behind its own that leave it little to do; the later of two equal options counts."""
    program, *arguments = command.argv[2:] if command.argv[:2] == ("uv", "run") else command.argv
    if program == "lerobot-train":
        arguments += _training(arguments)
    elif program == "lerobot-eval":
        arguments += ["--eval.n_episodes=1", "--eval.batch_size=1", "--env.episode_length=5"]
    elif program == "lerobot-sdm":
        if arguments[0] == "compare":
            arguments = [f"{text},episode_length=5" if text.startswith("--env=") else text for text in arguments]
        arguments += VERBS.get(arguments[0], ())
        if arguments[0] == "benchmark" and "--dry-run" not in arguments and "--render" not in arguments[1]:
            arguments += TINY_SUITE
    elif program == "python":
        arguments += SCRIPTS.get(Path(arguments[0]).name, ())
    return program, *arguments


def _training(arguments: list[str]) -> list[str]:
    """Two steps of a small network."""
    given = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
    settings = yaml.safe_load((ROOT / given["config_path"]).read_text()) if "config_path" in given else {}
    part = "reward_model" if "reward_model" in settings else "policy"
    kind = given.get("policy.type") or settings[part]["type"]
    steps = ["--steps=2", "--save_freq=2", "--log_freq=1", "--batch_size=4", "--num_workers=0", f"--{part}.device=cpu"]
    mixer = "mixer" in (given.get("policy.backbone"), settings.get(part, {}).get("backbone"))
    return [*steps, *(SMALL_MIXER if mixer and kind in NETWORKS else NETWORKS.get(kind, ()))]
