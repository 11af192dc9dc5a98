"""Checkpoints of this package's policies: the weights to act with apart from the state to train on with."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from safetensors.torch import save_file
from torch import Tensor, nn

from lerobot_sdm.cards.privacy import make_public
from lerobot_sdm.cards.training_card import PublicTrainConfig, training_card
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.backbones import check_backbone
from lerobot_sdm.nets.precision import lower_precision
from lerobot_sdm.policies.guards import LossGuard, check_weights
from lerobot_sdm.policies.pipelines import check_pipelines
from lerobot_sdm.policies.range_watch import RangeWatch, warn_before_fine_tuning
from lerobot_sdm.processors.sizes import check_checkpoint
from lerobot_sdm.safe_files.weights import load_strictly, read_weights


class SplitCheckpoint(PreTrainedPolicy):
    """A policy whose checkpoint has two files.

    `model.safetensors` holds only `inference_model`, which is all that evaluation, deployment and the Hub need.
    `training_state.safetensors` next to it holds the rest of the state for resuming (raw weights without EMA, further
    networks, step, noise seed); `push_to_hub` does not upload it, and it may be deleted.

    Attributes:
        model: The module that is trained.
        built_for_training: Whether this instance will be trained.
        train_step: Optimizer steps so far.
        noise_seed: Seed of the training noise.
        loss_guard: Watches the losses.
        range_watch: Compares observations with the training data's; None until there is something to compare with.
    """

    # LeRobot requires both of every subclass, even of an abstract one.
    config_class = PreTrainedConfig
    name = "split_checkpoint"
    config: Any
    model: Any
    built_for_training: bool
    train_step: int
    noise_seed: int
    loss_guard: LossGuard
    range_watch: RangeWatch | None
    training_state_file = "training_state.safetensors"
    _publishing: str | None = None
    """The Hub repo during an upload."""

    @property
    @abstractmethod
    def inference_model(self) -> Any:
        """The module used for inference; its weights are the checkpoint."""

    @property
    @abstractmethod
    def denoiser(self) -> nn.Module:
        """The network whose calls are counted as network evaluations."""

    @abstractmethod
    def training_modules(self) -> dict[str, nn.Module]:
        """Further modules whose weights are needed to resume, by name; empty at evaluation."""

    def _save_pretrained(self, save_directory: Path, state_dict: dict[str, Tensor] | None = None) -> None:
        if state_dict is not None:
            raise InputError(
                f"{self.name}: saving sharded (FSDP) weights is not supported; train with one process or with DDP."
            )
        if not self.built_for_training and self.config.inference_precision != "float32":
            raise InputError(
                f"--policy.inference_precision={self.config.inference_precision}: this policy cannot be saved, because "
                "its float32 weights were discarded. Load it without the option, or copy its checkpoint."
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
    def from_pretrained(
        cls, pretrained_name_or_path: str | Path, *, config: PreTrainedConfig | None = None, **kwargs: Any
    ) -> Self:
        """Load a checkpoint after checking it against the dataset or environment, and checking its saved pipelines,
        which LeRobot builds next; see `PreTrainedPolicy.from_pretrained`.

        Raises:
            InputError: The shapes of the dataset or environment differ from the checkpoint's, or a file is unsafe.
        """
        check_pipelines(str(pretrained_name_or_path), kwargs.get("revision"))
        if config is not None:
            check_checkpoint(config, kwargs.get("dataset_meta"))
        policy = super().from_pretrained(pretrained_name_or_path, config=config, **kwargs)
        if policy.built_for_training and policy.range_watch is None:
            warn_before_fine_tuning(policy.config, kwargs.get("dataset_stats"), str(pretrained_name_or_path))
        return policy

    @classmethod
    def _load_as_safetensor(cls, model: Self, model_file: str, map_location: str, strict: bool) -> Self:
        """Load the inference weights and, for training, the training state. Always strict: a missing tensor in a policy
        that moves a robot is an error, not a warning."""
        weights = read_weights(model_file)
        check_backbone(model.inference_model, weights, model_file)
        load_strictly(model.inference_model, weights, model_file)
        if model.built_for_training:
            model.load_training_state(Path(model_file).parent / cls.training_state_file)
        else:
            folder = Path(model_file).parent
            model.range_watch = RangeWatch(folder, f"the checkpoint at {model.config.pretrained_path or folder}")
            model.prepare_for_inference()
        return model

    def prepare_for_inference(self) -> None:
        """Apply the configured precision and compilation to the denoiser; see `InferenceConfig`."""
        # The weights are still on the CPU, where LeRobot reads them.
        lower_precision(self.denoiser, self.config.inference_precision, self.config.device)
        if self.config.compile_model:
            self.denoiser.compile(mode=self.config.compile_mode)

    def load_training_state(self, path: Path) -> set[str]:
        """Restore the training state from a checkpoint's `training_state.safetensors`.

        Modules that it does not hold start anew: `model` from the inference weights, others as in a new run. These are
        all of them without the file, as when fine-tuning a published checkpoint, or those that a new option asks for.

        Returns:
            Their names.
        """
        state = read_weights(path) if path.exists() else {}
        if path.exists():
            self.train_step = int(state.pop("train_step"))
            self.noise_seed = int(state.pop("noise_seed"))
        new = set()
        for name, module in self.training_modules().items():
            prefix = f"{name}."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            if own:
                load_strictly(module, own, str(path))
            else:
                new.add(name)
        if "model" in new:
            self.model.load_state_dict(self.inference_model.state_dict())
        return new

    def push_to_hub(self, repo_id: str, **kwargs) -> str:
        """Upload only the inference checkpoint, with a model card and without local paths."""
        self._publishing = repo_id
        try:
            return super().push_to_hub(repo_id, **kwargs)
        finally:
            self._publishing = None

    def push_model_to_hub(self, cfg, *args, **kwargs):
        """Upload at the end of training (`--policy.push_to_hub=true`), with a train config free of local paths."""
        self._publishing = self.config.repo_id
        try:
            return super().push_model_to_hub(PublicTrainConfig(cfg), *args, **kwargs)
        finally:
            self._publishing = None

    def generate_model_card(self, dataset_repo_id, model_type, license, tags, cfg=None, dataset_meta=None):
        """Write this package's model card instead of LeRobot's."""
        return training_card(self.config, self.inference_model, cfg, dataset_meta)


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().contiguous() for key, value in state.items()}
