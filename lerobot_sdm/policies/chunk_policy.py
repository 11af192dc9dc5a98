"""Base class of this package's policies: how they train and act."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor, nn

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.ema import update_average, warmup_decay
from lerobot_sdm.policies.guards import LossGuard, NonFiniteError, check_whole_steps, checked_actions
from lerobot_sdm.policies.history import History
from lerobot_sdm.policies.inference_config import NO_PEFT
from lerobot_sdm.policies.range_watch import RangeWatch
from lerobot_sdm.policies.repeatable_noise import RepeatableNoise
from lerobot_sdm.policies.split_checkpoint import SplitCheckpoint
from lerobot_sdm.policies.thread_notice import warn_of_too_many_threads
from lerobot_sdm.processes.memory import keep_freed_memory
from lerobot_sdm.processors.cloud_view import OBS_CLOUD_VIEW, recorded_view, warn_of_another_view
from lerobot_sdm.processors.incoming import not_finite, one_step, whole_clouds, windows, with_vector_axes
from lerobot_sdm.processors.normalization import Stats, prepare_stats
from lerobot_sdm.processors.sizes import takes_any_image_size


class ChunkPolicy(RepeatableNoise, SplitCheckpoint):
    """A policy that predicts chunks of actions from the last few observations.

    Subclasses build `model` (an encoder and a network, see `DP3Model`) and, for training, `average` (its EMA model);
    they define `actions_from_noise`, `get_optim_params` and `forward`. The latter takes a preprocessed training batch
    of observations (B, n_obs_steps, ...) and `action` (B, horizon, A), and returns the loss and further values to log.

    Args:
        config: The policy's configuration, with input and output features set.
        dataset_stats: Statistics of the training data, prepared in place by `prepare_stats`.
        dataset_meta: Metadata of the training data. LeRobot passes it only to a policy that will be trained; without
            it, parts that only training needs are not built.
    """

    # LeRobot requires both of every subclass, even of an abstract one.
    config_class = PreTrainedConfig
    name = "chunk_policy"
    model: Any

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        # `torch.compile` of a policy compiles the networks that `forward` calls, but not `forward` itself: it branches
        # on `train_step`, so compiling it would recompile every step.
        if "forward" in vars(cls):
            cls.forward = torch.compiler.disable(_on_whole_batches(cls.forward), recursive=False)

    def __init__(self, config: Any, dataset_stats: Stats | None = None, dataset_meta: Any = None, **_: Any):
        config.validate_features()
        super().__init__(config)
        self.built_for_training = dataset_meta is not None
        if self.built_for_training:
            check_whole_steps(self.name)
            warn_of_too_many_threads(config.device)
            if config.device == "cpu":
                keep_freed_memory()
            self._take_view_of_dataset()
        self._view_checked = False
        self.train_step = 0
        # LeRobot seeds torch with --seed before it builds the policy.
        self.noise_seed = torch.initial_seed() % 2**63
        self.loss_guard = LossGuard()
        self.range_watch: RangeWatch | None = None
        self.average: Any = None
        self.reset()
        if dataset_stats is not None:
            self.prepare_stats(dataset_stats)

    # ---- for subclasses --------------------------------------------------------------------------------

    def prepare_stats(self, stats: Stats) -> None:
        """Prepare the statistics of the training data in place."""
        prepare_stats(stats, self.config.cloud_channels, self.config.depth_to_cloud)

    @abstractmethod
    def actions_from_noise(self, model: Any, noise: Tensor, cond: Tensor) -> Tensor:
        """Sample normalized actions (B, horizon, A).

        Args:
            model: `inference_model`.
            noise: Start noise (B, horizon, A).
            cond: Encoded observations (B, F).
        """

    def real_steps(self, batch: dict[str, Tensor]) -> Tensor | None:
        """Mask (B, T) of the actions of a batch that count in the loss; None for all of them."""
        if not self.config.do_mask_loss_for_padding or "action_is_pad" not in batch:
            return None
        return ~batch["action_is_pad"]

    def training_modules(self) -> dict[str, nn.Module]:
        """Further modules whose weights are needed to resume, by name; empty at evaluation."""
        return {} if self.average is None else {"model": self.model}

    def start_average(self) -> None:
        """Create the EMA model as a copy of `model`, if this instance will be trained and uses EMA."""
        if self.built_for_training and self.config.use_ema:
            # The memo keeps the config shared: LeRobot attaches the whole dataset's metadata to it.
            self.average = deepcopy(self.model, {id(self.config): self.config}).requires_grad_(False)

    def update_ema(self, turns: int) -> None:
        """Update the EMA model from `model`, after `turns` earlier optimizer steps."""
        if self.average is not None:
            decay = warmup_decay(turns, self.config.ema_power, self.config.ema_max_decay)
            update_average(self.average, self.model, decay)

    def update(self) -> None:
        """LeRobot calls this after each optimizer step."""
        self.update_ema(self.train_step)
        self.train_step += 1

    @property
    def inference_model(self) -> Any:
        """The module used for inference; its weights are the checkpoint."""
        return self.model if self.average is None else self.average

    @property
    def denoiser(self) -> nn.Module:
        """The network whose calls are counted as network evaluations."""
        return self.inference_model.denoiser

    def sample_actions(self, batch: dict[str, Tensor], noise: Tensor | None = None) -> Tensor:
        """Sample whole sequences of normalized actions (B, horizon, A).

        Args:
            batch: Preprocessed observations, each (B, n_obs_steps, ...).
            noise: Start noise (B, horizon, A); None to draw it from torch's global generator.
        """
        return self._sample_under(self.inference_model.encode(batch), noise)

    def _sample_under(self, cond: Tensor, noise: Tensor | None) -> Tensor:
        """`sample_actions` for encoded observations (B, F)."""
        model = self.inference_model
        if noise is None:
            # Not the condition's precision, which autocast may have lowered.
            dtype = next(model.parameters()).dtype
            noise = torch.randn(cond.shape[0], *model.action_shape, device=cond.device, dtype=dtype)
        return self.actions_from_noise(model, noise, cond)

    # ---- acting ----------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Clear past observations and planned actions; LeRobot calls this at the start of an episode."""
        self._history = History(self.config.n_obs_steps)

    def drop_queued_actions(self) -> None:
        """Discard the planned actions but keep past observations, so that the next `select_action` plans anew.

        LeRobot 0.6.1 does not call this. Later versions do when the task changes, and look for queues under names that
        this class does not use.
        """
        self._history.planned.clear()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Tensor], noise: Tensor | None = None) -> Tensor:
        """Predict the normalized actions (B, n_action_steps, A) to execute from the current frame on.

        Args:
            batch: Preprocessed observations, each (B, n_obs_steps, ...), oldest first, as from a data loader. Or the
                last time step (B, ...) passed to `select_action`, which keeps the earlier ones.
            noise: Start noise (B, horizon, A), as in LeRobot's `diffusion`. Or (M, horizon, A) for M chunks from a
                single observation (B = 1), which is encoded once.

        Raises:
            InputError: An observation is missing or does not have the expected shape or type.
            NonFiniteError: An observation or a planned action is not finite; names it.
        """
        if self._is_newest_frame(batch):
            return self._plan_from_history(noise)
        observed = self._repaired(windows(batch, **self._expected(), frames=self.config.n_obs_steps))
        self._check_observed([observed])
        return self._planned(self.inference_model.encode(observed), noise, lambda: observed)

    @torch.no_grad()
    def select_action(self, batch: dict[str, Tensor], noise: Tensor | None = None) -> Tensor:
        """Return the next normalized action (B, A) of the current chunk; plan a new one once that is used up.

        Args:
            batch: Preprocessed observations of one time step, each (B, ...).
            noise: Start noise of a new chunk (B, horizon, A).

        Raises:
            InputError: An observation is missing, has an unexpected shape or type, or its batch size has changed.
            NonFiniteError: An observation or a planned action is not finite; names it.
        """
        self._check_view(batch)
        self._history.add(self._frame(batch))
        if not self._history.planned:
            self._history.planned.extend(self._plan_from_history(noise).transpose(0, 1))
        return self._history.planned.popleft()

    def plan(self, cond: Tensor, noise: Tensor | None, observed: Callable[[], dict[str, Tensor]]) -> Tensor:
        """Normalized actions (B, n_action_steps, A) from the current frame on, not checked yet.

        Args:
            cond: Encoded observations (B, F).
            noise: Start noise (B, horizon, A); None to draw it from torch's global generator.
            observed: Returns the observations themselves, each (B, n_obs_steps, ...).
        """
        first = self.config.n_obs_steps - 1
        return self._sample_under(cond, noise)[:, first : first + self.config.n_action_steps]

    def _expected(self) -> dict[str, Any]:
        """Arguments that describe the expected observations; see `processors.incoming`."""
        return {
            "features": self.config.input_features,
            "like": next(self.inference_model.parameters()),
            "any_image_size": takes_any_image_size(self.config),
        }

    def _take_view_of_dataset(self) -> None:
        """Store how the training data's clouds are made; warn if the checkpoint or teacher was trained on others."""
        view = recorded_view(getattr(getattr(self.config, "_runtime_dataset_meta", None), "root", None))
        warn_of_another_view(self.config.cloud_view, view, "the dataset")
        self.config.cloud_view = view or self.config.cloud_view

    def _check_view(self, batch: Any) -> None:
        """Warn once if an environment's clouds are made differently from the training data's."""
        if not self._view_checked and isinstance(batch, Mapping):
            self._view_checked = True
            warn_of_another_view(self.config.cloud_view, batch.get(OBS_CLOUD_VIEW), "the environment")

    def _frame(self, batch: Any) -> dict[str, Tensor]:
        """The checked observation of one time step."""
        return self._repaired(one_step(batch, **self._expected()))

    def _repaired(self, observed: dict[str, Tensor]) -> dict[str, Tensor]:
        """Observations with invalid points replaced, if the configuration asks for it."""
        if self.config.drop_invalid_points and POINT_CLOUD in observed:
            observed[POINT_CLOUD] = whole_clouds(observed[POINT_CLOUD])
        return observed

    def _is_newest_frame(self, batch: Any) -> bool:
        """Whether this is the last time step passed to `select_action`, rather than a window of several."""
        try:
            return bool(self._history.frames) and self._history.ends_with(self._frame(batch))
        except InputError:
            return False

    def _plan_from_history(self, noise: Tensor | None) -> Tensor:
        self._check_observed(self._history.frames)
        return self._planned(self._history.condition(self.inference_model), noise, self._history.window)

    def _planned(self, cond: Tensor, noise: Tensor | None, observed: Callable[[], dict[str, Tensor]]) -> Tensor:
        """`plan`, checked; a single observation (B = 1) is repeated for each start noise."""
        if noise is None or len(noise) == len(cond) or len(cond) != 1:
            return self._checked(self.plan(cond, noise, observed))
        count = len(noise)

        def repeated() -> dict[str, Tensor]:
            return {key: value.expand(count, *value.shape[1:]) for key, value in observed().items()}

        return self._checked(self.plan(cond.expand(count, -1), noise, repeated))

    def _check_observed(self, frames: Sequence[dict[str, Tensor]]) -> None:
        """Refuse to plan from non-finite observations, since layers can turn infinity into an ordinary number; warn
        of observations outside the training range."""
        bad = not_finite(frames)
        if bad is not None:
            advice = " --policy.drop_invalid_points=true drops such points." if POINT_CLOUD in bad else ""
            raise NonFiniteError(f"{self.name}: {bad}. Nothing was executed.{advice}")
        if self.range_watch is not None:
            self.range_watch.look(frames[-1])

    def _checked(self, actions: Tensor) -> Tensor:
        # Under autocast, actions may be of bfloat16, which NumPy does not have.
        return checked_actions(actions.float(), self.config.action_bound, self.name)

    def supports_rtc(self) -> bool:
        """False: no policy here can continue a chunk that another plan began, so LeRobot refuses
        `--inference.type=rtc` by name."""
        return False

    def wrap_with_peft(self, peft_config: Any = None, peft_cli_overrides: dict | None = None) -> PreTrainedPolicy:
        """Raises: InputError: Always; refuses `--peft.*`."""
        method = (peft_cli_overrides or {}).get("method_type") or getattr(peft_config, "peft_type", "LORA")
        raise InputError(f"--peft.method_type={method}: {NO_PEFT}")


def _on_whole_batches(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a policy's `forward` to restore the axis that LeRobot's reader drops from one-element vectors."""

    @functools.wraps(forward)
    def wrapper(self: ChunkPolicy, batch: dict[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        if "reduction" in kwargs:
            raise InputError(
                f"--sample_weighting: {self.name} has no loss for each sample (forward(reduction="
                f"{kwargs['reduction']!r})), because its networks take turns or share one summed loss. Drop the option."
            )
        features = {**self.config.input_features, **self.config.output_features}
        batch = with_vector_axes(batch, features)
        if self.range_watch is not None and self.training:
            self.range_watch.look({key: batch[key] for key in self.config.input_features if key in batch})
        return forward(self, batch, *args, **kwargs)

    return wrapper


def logged(parts: Mapping[str, Tensor]) -> dict[str, float]:
    """Convert the parts of a loss to the floats that LeRobot logs, with a single device synchronization."""
    return dict(zip(parts, torch.stack(list(parts.values())).detach().tolist(), strict=True))
