r"""What a reward model of Push-T is good for, before a policy is fine-tuned under it.

    uv run python examples/studies/best_of.py --policy=BASE --reward=REWARD_MODEL --output=outputs/best_of

In each decision the policy offers several chunks, and one is executed:

- `policy`: the first, which is the policy itself;
- `model`: the one that the reward model likes best. To take the best of N is one way to tilt a policy, with a KL
  divergence of at most log N - (N - 1) / N; where it does not help, no gradient of the same model will;
- `simulator`: the one behind which the block is closest to its target, found by trying each of them from the same
  state. A reward model without error would choose it, so it says whether the reward itself is worth following.

Seeds are those of no collection and no evaluation. Several policies, such as fine-tuned ones, give a row each.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.envs.pusht.dense import DensePushTEnv
from lerobot_sdm.files import write_json
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.policies.source.reward_model import load_reward_model
from lerobot_sdm.rewards.chunk_reward.modeling_chunk_reward import ChunkRewardRewardModel

STEPS = 300
SUCCESS = 0.95
Choice = Callable[["Tables", dict[str, Tensor], Tensor], np.ndarray]
"""(tables, preprocessed observations of N tables, offered normalized chunks (N, K, H, A)) -> which (N,)."""


class Tables:
    """Push-T tables that are pushed on together, with the last two observations of each.

    Args:
        count: How many, N.
    """

    def __init__(self, count: int):
        make = gym.spec("gym_pusht/PushT-v0")
        options = {**make.kwargs, "obs_type": "environment_state_agent_pos"}
        self.envs = [DensePushTEnv(**options) for _ in range(count)]

    def reset(self, seeds: list[int]) -> "Tables":
        """Start an episode on each table."""
        self._now = [env.reset(seed=seed)[0] for env, seed in zip(self.envs, seeds, strict=True)]
        self._before = list(self._now)
        self.done = np.zeros(len(seeds), bool)
        self.closeness, self.coverage = np.zeros(len(seeds)), np.zeros(len(seeds))
        return self

    def step(self, actions: np.ndarray) -> None:
        """Push for a tenth of a second toward actions (N, 2), in pixels; tables that are done stay as they are."""
        self._before = list(self._now)
        for i in np.flatnonzero(~self.done):
            self._now[i], self.closeness[i], self.done[i], _, info = self.envs[i].step(actions[i])
            self.coverage[i] = max(self.coverage[i], info["coverage"])

    def observations(self) -> dict[str, Tensor]:
        """The last two of each table, (N, 2, ...)."""
        names = {"observation.state": "agent_pos", "observation.environment_state": "environment_state"}
        return {
            key: torch.tensor(
                np.stack([[before[name], now[name]] for before, now in zip(self._before, self._now, strict=True)]),
                dtype=torch.float32,
            )
            for key, name in names.items()
        }

    def copies_of(self, other: "Tables", repeats: int) -> "Tables":
        """Put these tables, which have been reset, into the other's states, each `repeats` times."""
        for k, env in enumerate(self.envs):
            source = other.envs[k // repeats]
            for mine, theirs in ((env.agent, source.agent), (env.block, source.block)):
                # The angle first: pymunk keeps the center of mass in place where it turns a body.
                mine.angle, mine.position = theirs.angle, theirs.position
                mine.velocity, mine.angular_velocity = theirs.velocity, theirs.angular_velocity
                env.space.reindex_shapes_for_body(mine)
        self._now = [other._now[k // repeats] for k in range(len(self.envs))]
        self.done, self.closeness = np.repeat(other.done, repeats), np.repeat(other.closeness, repeats)
        return self


@torch.no_grad()
def run(loaded: LoadedPolicy, choose: Choice | None, seeds: list[int], offered: int) -> np.ndarray:
    """Highest coverage of each episode (N,).

    Args:
        loaded: The policy.
        choose: Which chunk is executed; the first where None.
        seeds: Of the episodes.
        offered: Chunks of each decision, K.
    """
    torch.manual_seed(0)
    length = loaded.config.n_action_steps
    tables = Tables(len(seeds)).reset(seeds)
    for _ in tqdm(range(-(-STEPS // length)), leave=False):
        if tables.done.all():
            break
        batch = loaded.preprocess(tables.observations())
        many = {key: value.repeat_interleave(offered, 0) for key, value in batch.items() if torch.is_tensor(value)}
        chunks = loaded.policy.predict_action_chunk(many)[:, :length].unflatten(0, (len(seeds), offered))
        chosen = np.zeros(len(seeds), int) if choose is None else choose(tables, batch, chunks)
        actions = loaded.postprocess(chunks[range(len(seeds)), chosen]).numpy()
        for step in range(length):
            tables.step(actions[:, step])
    return tables.coverage


def by_model(reward: ChunkRewardRewardModel) -> Choice:
    """The chunk that the mean of the model's members likes best."""

    def choose(_: Tables, batch: dict[str, Tensor], chunks: Tensor) -> np.ndarray:
        features = reward.features(batch).repeat_interleave(chunks.shape[1], 0)
        return reward.predict(features, chunks.flatten(0, 1)).mean(0).view(chunks.shape[:2]).argmax(1).numpy()

    return choose


def by_simulator(loaded: LoadedPolicy, count: int) -> Choice:
    """The chunk behind which the block is closest to its target, for `count` offered chunks in all."""
    tried = Tables(count).reset(list(range(count)))

    def choose(tables: Tables, _: dict[str, Tensor], chunks: Tensor) -> np.ndarray:
        copies = tried.copies_of(tables, chunks.shape[1])
        actions = loaded.postprocess(chunks.flatten(0, 1)).numpy()
        for step in range(chunks.shape[2]):
            copies.step(actions[:, step])
        return copies.closeness.reshape(chunks.shape[:2]).argmax(1)

    return choose


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", action="append", required=True, help="PATH[,label=NAME][,FIELD=VALUE...]")
    parser.add_argument("--reward", help="folder of a chunk_reward; without one only the policies themselves are run")
    parser.add_argument("--simulator", action="store_true", help="also choose by trying in the simulator")
    parser.add_argument("--offered", type=int, nargs="+", default=[4], help="chunks of each decision")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=300_000)
    parser.add_argument("--output", type=Path, help="a JSON file with the outcome of every episode")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = list(range(options.seed, options.seed + options.episodes))
    reward = load_reward_model(options.reward, "cpu") if options.reward else None
    rows = {}
    for text in options.policy:
        policy = load_from_spec(PolicySpec.parse(text))
        runs: dict[str, tuple[Choice | None, int]] = {"policy": (None, 1)}
        for count in options.offered:
            if reward is not None:
                runs[f"model, best of {count}"] = (by_model(reward), count)
            if options.simulator:
                runs[f"simulator, best of {count}"] = (by_simulator(policy, count * len(seeds)), count)
        for name, (choose, count) in runs.items():
            found = run(policy, choose, seeds, count)
            rows[f"{policy.spec.label}: {name}"] = found.tolist()
            error = 100 * found.std(ddof=1) / len(found) ** 0.5
            print(
                f"{policy.spec.label}, {name}: mean highest coverage {100 * found.mean():.1f}% (standard error "
                f"{error:.1f}), successes {(found >= SUCCESS).sum()} of {len(found)}",
                flush=True,
            )
    if options.output:
        write_json(options.output, {"seeds": seeds, "highest_coverage": rows})
