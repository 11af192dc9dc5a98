"""Record a policy's episodes in an environment, rewards included, as a LeRobotDataset."""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import draccus
import gymnasium as gym
import numpy as np
import torch
from lerobot.configs.types import FeatureType
from lerobot.envs import close_envs, make_env, make_env_pre_post_processors
from lerobot.envs.configs import EnvConfig
from lerobot.utils.constants import ACTION
from torch import Tensor
from tqdm import tqdm

from lerobot_sdm.cards.privacy import hub_name
from lerobot_sdm.datasets.disk import disk_full_is_an_input_error
from lerobot_sdm.datasets.episodes import Attempt, Episode
from lerobot_sdm.datasets.names import check_new_dataset, only_writer
from lerobot_sdm.datasets.rollout_options import RolloutOptions
from lerobot_sdm.datasets.write import new_dataset, versions, write
from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.errors import InputError
from lerobot_sdm.files import digest
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.policies.source.files import fingerprint
from lerobot_sdm.processors.sizes import check_environment

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class RolloutConfig(RolloutOptions):
    """What to collect. Every field is an option of `lerobot-sdm collect-rollouts`; inherits `RolloutOptions`.

    Attributes:
        env: The environment, `--env.type=pusht_dense` and any other of its fields. Its reward is what is recorded.
    """

    env: EnvConfig

    def checked(self) -> "RolloutConfig":
        """This configuration with defaults filled in.

        Raises:
            InputError: A value is invalid; nothing has been written.
        """
        self.check_values()
        if isinstance(self.env, PointCloudEnvConfig):
            self.env.require_all_clouds()
        name = f"{self.env.type}-rollouts"
        root = self.root or Path("data") / name
        check_new_dataset(root)
        return dataclasses.replace(self, root=root, repo_id=self.repo_id or f"local/{name}")


def collect_rollouts(config: RolloutConfig, policy: PolicySpec) -> Path:
    """Roll a policy out, record all episodes, and return the folder of the dataset.

    Finished batches are kept beside the dataset until it is complete: the same call after an interruption resumes from
    them and produces the same dataset. The dataset appears under its root atomically.

    Raises:
        InputError: A value is invalid, policy and environment do not fit, or the disk is full.
    """
    config = config.checked()
    with contextlib.ExitStack() as locked, disk_full_is_an_input_error(config.root):
        _collect(config, policy, locked)
    return config.root


def _collect(config: RolloutConfig, policy: PolicySpec, locked: contextlib.ExitStack) -> None:
    """`collect_rollouts` for a checked configuration; `locked` takes the lock of the folder that it writes to."""
    loaded = load_from_spec(policy, config.device)
    check_environment(loaded.config, config.env, loaded.spec.path)
    sha256 = fingerprint(policy.path)
    folder = config.root.parent / f".{config.root.name}.rollouts-{_fingerprint(config, policy, sha256)}"
    paths = [folder / f"episode-{index:05d}.npz" for index in range(config.episodes)]
    environments = make_env(config.env, n_envs=min(config.batch_size, config.episodes))
    tasks = [environment for suite in environments.values() for environment in suite.values()]
    try:
        if len(tasks) != 1:
            raise InputError(f"--env.task={config.env.task}: stands for {len(tasks)} tasks. Give a single one.")
        description = _task_description(tasks[0], config.env)
        locked.enter_context(only_writer(folder))
        if finished := sum(path.exists() for path in paths):
            logger.warning("Resuming after %d episodes from an earlier run.", finished)
        _roll_out(config, loaded, tasks[0], paths)
    finally:
        close_envs(environments)
    facts = {
        "view": config.env.cloud_view() if isinstance(config.env, PointCloudEnvConfig) else None,
        "task": config.env.task,
        "task_description": description,
        "env": draccus.encode(config.env) | {"type": config.env.type},
        "policy": {
            "type": loaded.config.type,
            "repo_id": hub_name(policy.path),
            "sha256": sha256,
            "overrides": policy.overrides,
        },
        "seed": config.seed,
        "action_noise": config.action_noise,
        "noisy_share": config.noisy_share,
    }
    with new_dataset(folder, config.root) as unfinished:
        write(unfinished, config.repo_id, config.env, paths, facts, describe_rollouts)


def describe_rollouts(repo_id: str, env_config: EnvConfig, provenance: Mapping[str, Any]) -> str:
    """Text of the dataset card of collected rollouts."""
    episodes, policy = provenance["episodes"], provenance["policy"]
    return "\n".join(
        (
            f"{len(episodes)} episodes of a `{policy['type']}` policy in `{env_config.type}`, "
            f"{sum(episode['frames'] for episode in episodes)} frames at {env_config.fps} Hz, collected by "
            "`lerobot-sdm collect-rollouts`. `next.reward` is the environment's reward of each action.",
            "",
            f"- Policy: {policy['repo_id'] or 'a local checkpoint'}; SHA-256 of its weights `{policy['sha256']}`.",
            f"- Seeds: {episodes[0]['seed']} to {episodes[-1]['seed']}; noise on the actions: "
            f"{provenance['action_noise']}, in {provenance['noisy_share']:.0%} of the chunks.",
            "- Settings and versions: `meta/provenance.json`.",
            "",
            "Train a reward model on it:",
            "",
            "```bash",
            "lerobot-train --reward_model.type=chunk_reward --reward_model.base_path=<the policy> \\",
            f"  --dataset.repo_id={repo_id} --dataset.root=<this folder> --output_dir=outputs/reward",
            "```",
        )
    )


class NoisyActions:
    """A policy's postprocessor plus action noise, which is constant within a chunk.

    Args:
        postprocess: Maps normalized actions (B, A) to the environment's.
        std: Standard deviation in the environment's unit; 0 for none.
        share: Share of the chunks with noise, drawn per environment.
        hold: Steps for which noise is held: noise of single steps averages out before it has an effect.
    """

    def __init__(self, postprocess: Callable[[Tensor], Tensor], std: float, share: float, hold: int):
        self._postprocess, self._std, self._share, self._hold = postprocess, std, share, hold
        self._step, self._noise = 0, torch.zeros(())

    def __call__(self, action: Tensor) -> Tensor:
        """Postprocess one step's actions (B, A) and add noise; call it once per step."""
        given = self._postprocess(action)
        if self._std > 0 and self._step % self._hold == 0:
            noisy = torch.rand(len(given), 1) < self._share
            self._noise = torch.where(noisy, self._std * torch.randn(given.shape), 0.0)
        self._step += 1
        return given + self._noise


def _task_description(environment: gym.vector.VectorEnv, env: EnvConfig) -> str:
    """The task in words, if the environment provides them."""
    try:
        return str(environment.call("task_description")[0])
    except (AttributeError, NotImplementedError):
        return env.task or env.type


def _roll_out(
    config: RolloutConfig, loaded: LoadedPolicy, environment: gym.vector.VectorEnv, paths: list[Path]
) -> None:
    """Run the policy, batch by batch, and store each episode."""
    from lerobot.scripts.lerobot_eval import rollout

    before, behind = make_env_pre_post_processors(env_cfg=config.env, policy_cfg=loaded.config)
    types = {config.env.features_map[key]: feature.type for key, feature in config.env.features.items()}
    size = environment.num_envs
    with tqdm(total=config.episodes, desc="Collecting", unit="episode") as bar:
        for start in range(0, config.episodes, size):
            batch = paths[start : start + size]
            if not all(path.exists() for path in batch):
                # Reseed for each batch, so that a batch can be repeated independently of earlier ones.
                torch.manual_seed(config.seed + start)
                # A smaller last batch is filled up with episodes that are discarded.
                seeds = [config.seed + start + i for i in range(size)]
                act = NoisyActions(
                    loaded.postprocess, config.action_noise, config.noisy_share, loaded.config.n_action_steps
                )
                done = rollout(
                    environment, loaded.policy, before, behind, loaded.preprocess, act,
                    seeds=seeds, return_observations=True,
                )  # fmt: skip
                for i, path in enumerate(batch):
                    _episode(done, i, Attempt(start + i, seeds[i], 0), types).save(path)
            bar.update(len(batch))


def _episode(done: dict[str, Any], i: int, attempt: Attempt, types: Mapping[str, FeatureType]) -> Episode:
    """One episode of a batch, cut at its end; `types` are those of the columns."""
    length = int(done["done"][i].int().argmax()) + 1
    frames = {}
    for key, kind in types.items():
        if key != ACTION:
            values = done["observation"][key][i, :length].numpy()
            is_image = kind is FeatureType.VISUAL
            frames[key] = np.rint(255 * values).astype(np.uint8).transpose(0, 2, 3, 1) if is_image else values
    frames[ACTION] = done[ACTION][i, :length].numpy().astype(np.float32)
    frames["next.reward"] = done["reward"][i, :length].numpy().astype(np.float32)[:, None]
    frames["next.success"] = done["success"][i, :length].numpy().astype(bool)[:, None]
    return Episode(attempt, True, int(frames["next.success"].sum()), frames=frames)


def _fingerprint(config: RolloutConfig, policy: PolicySpec, sha256: str) -> str:
    """Hash of everything that determines the episodes, so that those of another collection are not reused."""
    decisive = {key: value for key, value in draccus.encode(config).items() if key not in ("root", "repo_id")}
    return digest([decisive, policy.overrides, sha256, versions()])
