"""Whether an exported policy succeeds as often as the policy itself: the same episodes, the same start noise.

    python examples/benchmarks/exported_success.py --env=metaworld_pc,task=detour,num_points=128,episode_length=120 \\
      --policy=STUDENT --exported exported/onnx exported/int8 --episodes=50 --output=exported_success.json

Episode i of every row has seed `--seed` + i for the environment and for the noise, which the policy itself gets from
the runtime's generator. Success rates have Wilson intervals, differences the paired interval of
`lerobot_sdm.measure.statistics`. While the policy itself acts, every exported one sees the same observations: `largest
difference` is that of their actions over all these steps, in normalized units.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

import lerobot_policy_sdm  # noqa: F401 - registers the environment types
import lerobot_sdm.export.formats  # noqa: F401 - adds torch to the formats of exported folders
from lerobot_sdm.errors import refuse_existing
from lerobot_sdm.export import runtime
from lerobot_sdm.export.graph import GivenNoise
from lerobot_sdm.files import write_json, write_text
from lerobot_sdm.measure import tables
from lerobot_sdm.measure.comparison import Comparison
from lerobot_sdm.measure.records import machine, versions
from lerobot_sdm.measure.statistics import paired_difference, success_rate
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

Observation = dict[str, NDArray]
Act = Callable[[Observation], NDArray[np.float32]]


class Original:
    """The policy itself, with the noise that the runtime would draw.

    Args:
        loaded: The policy with its pipelines.
        noise_shape: (1, J, horizon, A) of the exported graph.
    """

    def __init__(self, loaded: LoadedPolicy, noise_shape: tuple[int, ...]):
        self._loaded, self._shape = loaded, noise_shape
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start an episode."""
        self._random = np.random.default_rng(seed)
        self._loaded.reset()
        self._left = 0

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The next action (A,)."""
        noise = None
        if self._left == 0:
            noise = torch.from_numpy(self._random.standard_normal(self._shape, dtype=np.float32))
            self._left = self._loaded.config.n_action_steps
        self._left -= 1
        with GivenNoise(noise):
            return self._loaded.act(observation, None if noise is None else noise[:, 0])


def run_episode(env: gym.Env, seed: int, act: Act, watch: Callable[[Observation, NDArray], None]) -> bool:
    """Run an episode; `watch` sees each observation and action. Returns whether it succeeded."""
    observation, _ = env.reset(seed=seed)
    over = succeeded = False
    while not over:
        action = act(observation)
        watch(observation, action)
        observation, _, terminated, truncated, info = env.step(action)
        over = terminated or truncated
        succeeded |= bool(info["is_success"])
    return succeeded


def named(observation: Observation, names: dict[str, str]) -> Observation:
    """An environment's observation by the policy's names."""
    return {names[key]: value for key, value in observation.items() if key in names}


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table: success in percent, differences in points, actions in normalized units."""
    lines = [
        ("policy", "success", "95% interval", "against the policy", "largest difference of actions", "certificate")
    ]
    for row in rows:
        against = ("", "", "")
        if "difference_to_the_policy" in row:
            errors = (row["largest_action_difference"], row["certificate"]["largest_error"])
            against = (tables.points(row["difference_to_the_policy"]), *(f"{error:.2g}" for error in errors))
        lines.append((row["label"], tables.count(row["successes"]), tables.limits(row["success_rate"]), *against))
    return tables.markdown(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", required=True, help="TYPE,FIELD=VALUE...")
    parser.add_argument("--policy", required=True, help="the policy itself: PATH[,FIELD=VALUE...]")
    parser.add_argument("--exported", required=True, nargs="+", type=Path, help="folders of `lerobot-sdm export`")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", required=True, type=Path, help="JSON file; the table goes beside it, as .md")
    options = parser.parse_args()
    refuse_existing("--output", options.output)
    torch.set_num_threads(options.threads)
    spec = PolicySpec.parse(options.policy)
    config = Comparison(options.env, (spec,)).env_config()
    loaded = load_from_spec(spec)
    exported = {str(folder): runtime.Policy(folder, options.threads) for folder in options.exported}
    first = next(iter(exported.values()))
    original = Original(loaded, first.noise().shape)
    env = gym.make(config.gym_id, disable_env_checker=True, **config.gym_kwargs)
    names = {name: key for name, key in config.features_map.items() if name != "action"}
    outcomes: dict[str, list[bool]] = {label: [] for label in ("policy", *exported)}
    differences = dict.fromkeys(exported, 0.0)

    def compare(observation: Observation, action: NDArray) -> None:
        for label, policy in exported.items():
            difference = (policy.act(named(observation, names)) - action) / policy.manifest["output"]["scale"]
            differences[label] = max(differences[label], float(np.abs(difference).max()))

    for seed in tqdm(range(options.seed, options.seed + options.episodes), unit="episode"):
        for policy in (original, *exported.values()):
            policy.reset(seed)
        outcomes["policy"].append(run_episode(env, seed, original.act, compare))
        for label, policy in exported.items():
            policy.reset(seed)

            def act(observation: Observation, policy: runtime.Policy = policy) -> NDArray:
                return policy.act(named(observation, names))

            outcomes[label].append(run_episode(env, seed, act, lambda *_: None))
    env.close()

    rows: list[dict[str, Any]] = []
    for label, row in outcomes.items():
        rows.append({"label": label, "successes": row, "success_rate": asdict(success_rate(row))})
        if label != "policy":
            rows[-1] |= {
                "difference_to_the_policy": asdict(paired_difference(row, outcomes["policy"])),
                "largest_action_difference": differences[label],
                "certificate": exported[label].manifest["certificate"],
            }
    settings = {name: str(value) for name, value in vars(options).items()}
    write_json(options.output, {"options": settings, "machine": machine(), "versions": versions(), "rows": rows})
    write_text(options.output.with_suffix(".md"), markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
