"""What all distilled policies share: the frozen teacher beside the module tree, and how training starts from it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from lerobot.configs.types import FeatureType
from torch import Tensor, nn

from lerobot_sdm.nets.ema import update_average, warmup_decay
from lerobot_sdm.nets.feature_memory import FeatureMemory
from lerobot_sdm.policies.backbone import Backbone
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.distilled_config import DistilledConfig
from lerobot_sdm.policies.normalization import Stats
from lerobot_sdm.policies.range_watch import watch_source
from lerobot_sdm.policies.weights import load_strictly
from lerobot_sdm.teachers import Teacher, adapter_for, check_same_teacher, load_teacher


class DistilledPolicy(ChunkPolicy):
    """A student whose network starts as a copy of its teacher's, with the encoder frozen.

    Subclasses define `add_training_modules`, and what `ChunkPolicy` asks for.

    Args:
        config: Policy configuration, with input and output features set.
        dataset_stats: Statistics of the training data, fitted in place as the teacher's type does.
        dataset_meta: Metadata of the training data. LeRobot passes it only to a policy that will be trained; only
            then are the teacher and further networks loaded.
    """

    # LeRobot demands both of every subclass, an abstract one too.
    config_class = DistilledConfig
    name = "distilled_policy"
    model: Backbone

    def __init__(self, config: DistilledConfig, dataset_stats: Stats | None = None, dataset_meta: Any = None, **_: Any):
        config.validate_features()
        super().__init__(config, training=dataset_meta is not None)
        network = config.network_config
        adapter = adapter_for(network.type)
        if dataset_stats is not None:
            adapter.prepare_stats(network, dataset_stats)
        self.model = adapter.network(network)
        # In tuples they are no submodules: never part of a checkpoint's weights, never averaged, never synchronised
        # between processes.
        self._teacher: tuple[Teacher, ...] = ()
        self._unsynchronised: tuple[nn.Module, ...] = ()
        self._features: FeatureMemory | None = None
        if self.built_for_training:
            self._start_from_teacher(dataset_stats, dataset_meta)
            self._remember_features(getattr(dataset_meta, "total_frames", None))

    @abstractmethod
    def add_training_modules(self) -> None:
        """Make the further networks of a training; `model` has its start weights, `teacher` is there."""

    @property
    def teacher(self) -> Teacher:
        """The frozen teacher; only in training."""
        return self._teacher[0]

    def _start_from_teacher(self, dataset_stats: Stats | None, dataset_meta: Any) -> None:
        """Load the teacher and make the student, and its average, copies of it."""
        config = self.config
        if config.teacher_path is None:
            raise config.missing_teacher()
        teacher = load_teacher(config.teacher_path, config.device, config.teacher_revision, config.role)
        check_same_teacher(config.teacher_path, teacher.sha256, config.teacher_sha256, config.role)
        config.teacher_sha256 = teacher.sha256
        features = {**config.input_features, **config.output_features}
        source = (config.teacher_path, config.teacher_revision, config.role)
        self.range_watch = watch_source(features, dataset_stats, dataset_meta, *source)
        self._teacher = (teacher,)
        load_strictly(self.model, teacher.network.state_dict(), f"--policy.{config.role}_path={config.teacher_path}")
        self.model.freeze_encoder()
        self.add_training_modules()
        self.start_average()

    def _remember_features(self, frames: int | None) -> None:
        """Make room for the features of a dataset, if there is enough and nothing may augment what is encoded."""
        images = any(feature.type is FeatureType.VISUAL for feature in self.config.input_features.values())
        if frames is None or images:
            return
        cond_dim = self.model.cond_dim
        if 4 * frames * cond_dim <= 1e6 * self.config.feature_memory_mb:
            self._features = FeatureMemory(frames, cond_dim)

    def _apply(self, fn: Any, recurse: bool = True) -> DistilledPolicy:
        for module in (*(teacher.network for teacher in self._teacher), *self._unsynchronised):
            module._apply(fn, recurse)
        return super()._apply(fn, recurse)

    # ---- training --------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode_for_training(self, batch: dict[str, Tensor]) -> Tensor:
        """Conditions (B, F) of a training batch, for the student and its teacher alike; crops are random and, like all
        noise, repeatable. Where nothing is random they are computed once for each frame of the dataset."""
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

    def teacher_samples(self, noise: Tensor, cond: Tensor) -> Tensor:
        """What the teacher's own sampler makes of start noise (B, T, A) and conditions (B, F): (B, T, A)."""
        return self.teacher.sample(noise, cond, self.config.teacher_inference_steps)

    def parameter_group(self, network: nn.Module, prefix: str) -> dict[str, Any]:
        """A network's parameters with the settings of their optimizer, from the configuration's `<prefix>_lr`,
        `<prefix>_grad_clip_norm`, `<prefix>_warmup_steps` and `<prefix>_final_lr_ratio`."""
        return {
            "params": list(network.parameters()),
            "lr": getattr(self.config, f"{prefix}_lr"),
            "max_norm": getattr(self.config, f"{prefix}_grad_clip_norm"),
            "warmup_steps": getattr(self.config, f"{prefix}_warmup_steps"),
            "final_lr_ratio": getattr(self.config, f"{prefix}_final_lr_ratio"),
        }

    def update_student_average(self, turns: int) -> None:
        """Let the average follow the student, which has been trained `turns` times before."""
        if self.average is not None:
            update_average(
                self.average, self.model, warmup_decay(turns, self.config.ema_power, self.config.ema_max_decay)
            )
