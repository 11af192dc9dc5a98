"""What every policy of this package shares: observation and action queues, repeatable noise, split checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.policies.utils import populate_queues
from lerobot.utils.constants import ACTION, OBS_STATE
from safetensors.torch import save_file
from torch import Tensor, nn

from lerobot_sdm.cards.privacy import make_public
from lerobot_sdm.cards.training_card import PublicTrainConfig, training_card
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.precision import lower_precision
from lerobot_sdm.policies.frames import FrameMemory
from lerobot_sdm.policies.guards import LossGuard, check_weights, check_whole_steps, checked_actions
from lerobot_sdm.policies.weights import load_strictly, read_weights


class ChunkPolicy(PreTrainedPolicy):
    """A policy that predicts chunks of actions from the last few observations.

    A checkpoint is split in two. `model.safetensors` holds `inference_model` and nothing else: it is all that
    evaluation, deployment and the Hub need. `training_state.safetensors` beside it holds what resuming needs
    (raw weights behind the EMA, further networks, step, noise seed); it is never uploaded, and may be deleted.

    Subclasses build `model` (an encoder and a network, see `DP3Model`) and, for training, `average` (its moving
    average); they define `actions_from_noise`, `forward`, `update` and `get_optim_params`.

    Args:
        config: The policy's configuration.
        training: Whether this instance is going to be trained. LeRobot says so by handing over the metadata of a
            dataset; at evaluation the parts that only training needs are never built.
    """

    # LeRobot demands both of every subclass, an abstract one too.
    config_class = PreTrainedConfig
    name = "chunk_policy"
    training_state_file = "training_state.safetensors"

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        # `torch.compile` of a policy compiles the networks that `forward` calls, not the turns that these take: a graph
        # holds one value of the step's number, so that there would be a new one in every step.
        if "forward" in vars(cls):
            cls.forward = torch.compiler.disable(cls.forward, recursive=False)

    def __init__(self, config, training: bool):
        super().__init__(config)
        if training:
            check_whole_steps(self.name)
        self.built_for_training = training
        self.train_step = 0
        # LeRobot seeds torch with --seed before it builds the policy.
        self.noise_seed = torch.initial_seed() % 2**63
        self._publishing: str | None = None  # The Hub repo, while uploading to it.
        self.loss_guard = LossGuard()
        self.model: nn.Module
        self.average: nn.Module | None = None
        self.reset()

    # ---- for subclasses --------------------------------------------------------------------------------

    @abstractmethod
    def actions_from_noise(self, model: nn.Module, noise: Tensor, cond: Tensor) -> Tensor:
        """Sample action sequences.

        Args:
            model: `inference_model`.
            noise: Start noise (B, horizon, A).
            cond: Encoded observations (B, F).

        Returns:
            Normalised actions (B, horizon, A).
        """

    def training_modules(self) -> dict[str, nn.Module]:
        """Further modules whose weights resuming needs, by name; empty at evaluation."""
        return {} if self.average is None else {"model": self.model}

    def start_average(self) -> None:
        """Begin the moving average of `model`, if this instance is going to be trained and keeps one."""
        if self.built_for_training and self.config.use_ema:
            # The memo keeps the config shared: LeRobot hangs the whole dataset's metadata on it.
            self.average = deepcopy(self.model, {id(self.config): self.config}).requires_grad_(False)

    @property
    def inference_model(self) -> nn.Module:
        """The module that acts; its weights are the checkpoint."""
        return self.model if self.average is None else self.average

    @property
    def denoiser(self) -> nn.Module:
        """The network whose calls are counted as network evaluations."""
        return self.inference_model.unet

    def sample_actions(self, batch: dict[str, Tensor], noise: Tensor | None = None) -> Tensor:
        """Sample whole action sequences.

        Args:
            batch: Preprocessed observations, each (B, n_obs_steps, ...).
            noise: Start noise (B, horizon, A); drawn from torch's global generator where None.

        Returns:
            Normalised actions (B, horizon, A).
        """
        return self._sample_under(self.inference_model.encode(batch), noise)

    def _sample_under(self, cond: Tensor, noise: Tensor | None) -> Tensor:
        """`sample_actions` for encoded observations (B, F)."""
        model = self.inference_model
        if noise is None:
            noise = torch.randn(cond.shape[0], *model.action_shape, device=cond.device, dtype=cond.dtype)
        return self.actions_from_noise(model, noise, cond)

    # ---- acting ----------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget past observations and planned actions; LeRobot calls this at the start of an episode."""
        self._queues = {key: deque(maxlen=self.config.n_obs_steps) for key in self.config.input_features}
        self._queues[ACTION] = deque(maxlen=self.config.n_action_steps)
        self._frame_memory = FrameMemory()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Tensor], noise: Tensor | None = None) -> Tensor:
        """Actions to execute from now on.

        Args:
            batch: Preprocessed observations: while queues hold a history (after `select_action`) it is taken from
                there; otherwise each entry is (B, n_obs_steps, ...), as a data loader gives it.
            noise: Start noise (B, horizon, A), the same convention as LeRobot's `diffusion`.

        Returns:
            Normalised actions (B, n_action_steps, A).

        Raises:
            NonFiniteError: One of them is not finite.
        """
        keys = list(self.config.input_features)
        if self._queues[OBS_STATE]:
            frames = [{key: self._queues[key][i] for key in keys} for i in range(self.config.n_obs_steps)]
            cond = self._frame_memory.condition(self.inference_model, frames, OBS_STATE)
            actions, batch = self._sample_under(cond, noise), frames[-1]
        else:
            actions = self.sample_actions(batch, noise)
        first = self.config.n_obs_steps - 1
        planned = actions[:, first : first + self.config.n_action_steps]
        return checked_actions(planned, {key: batch[key] for key in keys}, self.config.action_bound, self.name)

    @torch.no_grad()
    def select_action(self, batch: dict[str, Tensor], noise: Tensor | None = None) -> Tensor:
        """Next action of the current chunk; plans a new chunk when the last one is used up.

        Args:
            batch: Preprocessed observations of one time step, each (B, ...).
            noise: Start noise of a new chunk (B, horizon, A).

        Returns:
            Normalised action (B, A).
        """
        batch = {key: value for key, value in batch.items() if key != ACTION}
        self._queues = populate_queues(self._queues, batch)
        if not self._queues[ACTION]:
            chunk = self.predict_action_chunk(batch, noise)
            self._queues[ACTION].extend(chunk.transpose(0, 1))
        return self._queues[ACTION].popleft()

    # ---- repeatable noise ------------------------------------------------------------------------------

    def training_noise_generator(self, device: torch.device) -> torch.Generator:
        """Random numbers of one training step: a function of seed, step and process rank alone.

        The global generator would not do: on resume LeRobot restores it before the data loader draws from it, so
        a resumed run would see other noise than an uninterrupted one.
        """
        return torch.Generator(device=device).manual_seed(self._step_seed())

    @contextmanager
    def repeatable_global_noise(self, device: torch.device) -> Iterator[None]:
        """Around what can only draw from torch's global generator, such as dropout and random crops: there, too, a
        training step's numbers are a function of seed, step and rank alone. The global generator is left as it was."""
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self._step_seed(stream=1))
            yield

    @torch.compiler.disable  # It would become arithmetic of torch's, which lacks some of NumPy's.
    def _step_seed(self, stream: int | None = None) -> int:
        """Seed of this step and process; each stream has numbers that are independent of the others'."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        key = () if stream is None else (stream,)
        sequence = np.random.SeedSequence([self.noise_seed, self.train_step, rank], spawn_key=key)
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

    # ---- checkpoints -----------------------------------------------------------------------------------

    def _save_pretrained(self, save_directory: Path, state_dict: dict[str, Tensor] | None = None) -> None:
        if state_dict is not None:
            raise InputError(
                f"{self.name}: saving sharded (FSDP) weights is not supported; train with one process or with DDP."
            )
        if not self.built_for_training and self.config.inference_precision != "float32":
            raise InputError(
                f"--policy.inference_precision={self.config.inference_precision}: the weights as trained are gone, so "
                "that this policy cannot be saved. Load it without the option, or copy its checkpoint."
            )
        self.loss_guard.check()
        check_weights(self.inference_model.state_dict())
        self.config._save_pretrained(save_directory)
        save_file(_contiguous(self.inference_model.state_dict()), save_directory / "model.safetensors")
        if self._publishing:
            make_public(save_directory)
            training_card(self.config, self.inference_model, repo_id=self._publishing).save(
                save_directory / "README.md"
            )
        elif self.built_for_training:
            state = {
                f"{name}.{key}": value
                for name, module in self.training_modules().items()
                for key, value in module.state_dict().items()
            }
            state["train_step"] = torch.tensor(self.train_step)
            state["noise_seed"] = torch.tensor(self.noise_seed)
            save_file(_contiguous(state), save_directory / self.training_state_file)

    @classmethod
    def _load_as_safetensor(cls, model: ChunkPolicy, model_file: str, map_location: str, strict: bool) -> ChunkPolicy:
        """Load the inference weights and, for training, the rest. Always strict: a missing tensor in a policy that
        moves a robot is an error, not a warning."""
        load_strictly(model.inference_model, read_weights(model_file), model_file)
        if model.built_for_training:
            model.load_training_state(Path(model_file).parent / cls.training_state_file)
        else:
            model.prepare_for_inference()
        return model

    def prepare_for_inference(self) -> None:
        """Make the denoiser as fast as the configuration asks for; see `InferenceConfig`."""
        lower_precision(self.denoiser, self.config.inference_precision)
        if self.config.compile_model:
            self.denoiser.compile(mode=self.config.compile_mode)

    def load_training_state(self, path: Path) -> None:
        """Restore what resuming needs; without the file (a published checkpoint being fine-tuned) training starts
        from the inference weights.

        Args:
            path: The second file of a checkpoint.
        """
        if not path.exists():
            self.model.load_state_dict(self.inference_model.state_dict())
            return
        state = read_weights(path)
        self.train_step = int(state.pop("train_step"))
        self.noise_seed = int(state.pop("noise_seed"))
        for name, module in self.training_modules().items():
            prefix = f"{name}."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            load_strictly(module, own, str(path))

    def push_to_hub(self, repo_id: str, **kwargs) -> str:
        """Upload the inference checkpoint alone, with a card and without the paths of this machine."""
        self._publishing = repo_id
        try:
            return super().push_to_hub(repo_id, **kwargs)
        finally:
            self._publishing = None

    def push_model_to_hub(self, cfg, *args, **kwargs):
        """The same at the end of a training (`--policy.push_to_hub=true`), with its public train config."""
        self._publishing = self.config.repo_id
        try:
            return super().push_model_to_hub(PublicTrainConfig(cfg), *args, **kwargs)
        finally:
            self._publishing = None

    def generate_model_card(self, dataset_repo_id, model_type, license, tags, cfg=None, dataset_meta=None):
        """This package's card in the place of LeRobot's."""
        return training_card(self.config, self.inference_model, cfg, dataset_meta)


def logged(parts: Mapping[str, Tensor]) -> dict[str, float]:
    """Parts of a loss as LeRobot logs them: numbers, for which a device is waited for once."""
    return dict(zip(parts, torch.stack(list(parts.values())).detach().tolist(), strict=True))


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().contiguous() for key, value in state.items()}
