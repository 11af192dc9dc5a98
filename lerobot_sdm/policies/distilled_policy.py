"""Base class of distilled policies: keeps the frozen teacher outside the module tree, and starts training from it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from lerobot.configs.types import FeatureType
from torch import Tensor, nn

from lerobot_sdm.nets.feature_memory import FeatureMemory
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.range_watch import watch_source
from lerobot_sdm.policies.source.adapters import adapter_for
from lerobot_sdm.policies.source.processors import take_statistics
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.policies.source.student_config import StudentConfig
from lerobot_sdm.processors.normalization import Stats
from lerobot_sdm.safe_files.weights import load_strictly


class DistilledPolicy(ChunkPolicy):
    """A student whose network starts as a copy of its teacher's, with the encoder frozen; see `ChunkPolicy` for the
    arguments. Subclasses define `add_training_modules` and the abstract methods of `ChunkPolicy`."""

    # LeRobot requires both of every subclass, even of an abstract one.
    config_class = StudentConfig
    name = "distilled_policy"
    model: Any

    def __init__(self, config: StudentConfig, dataset_stats: Stats | None = None, dataset_meta: Any = None, **_: Any):
        super().__init__(config, dataset_stats, dataset_meta)
        self.model = self.build_model(config.network_config)
        # Modules in tuples are not submodules: they are never part of a checkpoint's weights, never averaged and never
        # synchronized between processes.
        self._teacher: tuple[nn.Module, ...] = ()
        self._unsynchronized: tuple[nn.Module, ...] = ()
        self._features: FeatureMemory | None = None
        if self.built_for_training:
            self._start_from_teacher(dataset_stats, dataset_meta)
            self._remember_features(getattr(dataset_meta, "total_frames", None))

    def prepare_stats(self, stats: Stats) -> None:
        """As the teacher's policy type does."""
        network = self.config.network_config
        adapter_for(network.type).prepare_stats(network, stats)

    def build_model(self, network: Any) -> nn.Module:
        """Build the encoder and denoiser, with random weights, from the teacher's configuration with the student's
        features."""
        return adapter_for(network.type).network(network)

    def take_weights(self, source: SourcePolicy) -> None:
        """Initialize `model` with the weights of `teacher`, and freeze everything but the denoiser."""
        load_strictly(self.model, self.teacher.state_dict(), source.given)
        self.model.freeze_encoder()

    @abstractmethod
    def add_training_modules(self) -> None:
        """Create the networks that only training needs; `model` is initialized and `teacher` is loaded by now."""

    @property
    def teacher(self) -> Any:
        """The teacher's network, frozen; available only in training."""
        return self._teacher[0]

    def _start_from_teacher(self, dataset_stats: Stats | None, dataset_meta: Any) -> None:
        """Load the teacher, and initialize the student from it and the EMA model from the student."""
        config = self.config
        source = config.source
        if source is None:
            raise config.missing_teacher()
        source.check_same(config.teacher_sha256)
        config.teacher_sha256 = source.sha256
        features = {**config.input_features, **config.output_features}
        self.range_watch = watch_source(source, features, dataset_stats, dataset_meta)
        take_statistics(source, features, dataset_stats)
        self._teacher = (source.load(config.device),)
        self.take_weights(source)
        self.add_training_modules()
        self.start_average()

    def _remember_features(self, frames: int | None) -> None:
        """Allocate the feature cache of a dataset, if it fits in memory and the observations are not augmented."""
        images = any(feature.type is FeatureType.VISUAL for feature in self.config.input_features.values())
        # Only methods that need the same frame's features repeatedly have this setting.
        most = getattr(self.config, "feature_memory_mb", None)
        if frames is None or images or most is None:
            return
        cond_dim = self.model.cond_dim
        if 4 * frames * cond_dim <= 1e6 * most:
            self._features = FeatureMemory(frames, cond_dim)

    def _apply(self, fn: Any, recurse: bool = True) -> DistilledPolicy:
        for module in (*self._teacher, *self._unsynchronized):
            module._apply(fn, recurse)
        return super()._apply(fn, recurse)

    # ---- training --------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode_for_training(self, batch: dict[str, Tensor]) -> Tensor:
        """Conditions (B, F) of a training batch, for both student and teacher. Crops are random but, like all noise,
        repeatable. With the feature cache, each frame of the dataset is encoded only once."""
        if self._features is not None and "index" in batch:
            seen = {key: batch[key] for key in self.config.input_features}
            return self._features.recall(
                batch["index"], lambda row: self._encode({key: value[row : row + 1] for key, value in seen.items()})
            )
        return self._encode(batch)

    def _encode(self, batch: dict[str, Tensor]) -> Tensor:
        device = next(self.model.parameters()).device
        with self.repeatable_global_noise(device):
            return self.model.encode(batch)

    def parameter_group(self, network: nn.Module, prefix: str) -> dict[str, Any]:
        """A network's parameters with their optimizer settings, from the configuration's `<prefix>_lr`,
        `<prefix>_grad_clip_norm`, `<prefix>_warmup_steps` and `<prefix>_final_lr_ratio`."""
        return {
            "params": list(network.parameters()),
            "lr": getattr(self.config, f"{prefix}_lr"),
            "max_norm": getattr(self.config, f"{prefix}_grad_clip_norm"),
            "warmup_steps": getattr(self.config, f"{prefix}_warmup_steps"),
            "final_lr_ratio": getattr(self.config, f"{prefix}_final_lr_ratio"),
        }
