"""Configuration of Score and Distribution Matching (SDM): a one-step student of a diffusion teacher."""

from dataclasses import dataclass
from typing import Any, ClassVar

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_at_least
from lerobot_sdm.nets.backbone_settings import with_other_backbone
from lerobot_sdm.policies.distilled_config import DistilledConfig
from lerobot_sdm.policies.own_network import OwnNetwork
from lerobot_sdm.policies.recipes import fill_in
from lerobot_sdm.policies.sdm import GENERATOR_TIMESTEP
from lerobot_sdm.policies.settings import check_shares
from lerobot_sdm.registration import registered

_REGRESSION: dict[str, Any] = {
    "warmup_steps": 0,
    "regression_weight": 1.0,
    "regression_delta": 0.03,
    "data_weight": 0.0,
    "matching_weight": 0.0,
    "critic_lead_steps": 0,
    "fake_updates_per_generator_update": 5,
    "weighting": "per_sample",
    "normalizer_floor": 0.5,
    "timestep_levels": 0,
    "generator_lr": 2e-4,
    "fake_score_lr": 5e-4,
    "generator_warmup_steps": 50,
    "fake_score_warmup_steps": 50,
    "generator_final_lr_ratio": 0.05,
    "fake_score_final_lr_ratio": 1.0,
    "optimizer_betas": (0.9, 0.99),
    "use_ema": True,
}

RECIPES: dict[str, dict[str, Any]] = {
    # The control: the generator imitates the teacher's samples and nothing else.
    "regression": _REGRESSION,
    # Regression, then also the demonstrations by the energy score; no critic.
    "sdm": _REGRESSION | {"warmup_steps": 4000, "data_weight": 1.0},
    # Regression and score matching from early on (Yin et al. 2024, DMD, whose regression is also on teacher samples).
    "dmd": _REGRESSION | {"warmup_steps": 1000, "critic_lead_steps": 500, "matching_weight": 1.0},
    # The released code of Jia et al. with its two faults corrected: x is detached for the critic, and the generator is
    # conditioned at a timestep that exists. Its "every fifth epoch" is every fifth iteration here.
    "sdm_paper": _REGRESSION
    | {
        "regression_weight": 0.0,
        "matching_weight": 1.0,
        "weighting": "released",
        "normalizer_floor": 0.0,
        "timestep_levels": 10,
        "generator_lr": 5e-5,
        "fake_score_lr": 5e-5,
        "generator_warmup_steps": 500,
        "fake_score_warmup_steps": 500,
        "generator_final_lr_ratio": 0.0,
        "fake_score_final_lr_ratio": 0.0,
        "optimizer_betas": (0.95, 0.999),
        "use_ema": False,
    },
}
"""Recipe -> values of the fields that are not given."""


@registered(PreTrainedConfig, "sdm")
@dataclass
class SDMConfig(OwnNetwork, DistilledConfig):
    """Score and Distribution Matching (Jia et al. 2024): distills a diffusion policy into one network evaluation.

    A recipe (`RECIPES`) sets the fields below that are None, so a single field overrides it; the values that result are
    saved with the policy. Generator, critic and teacher have the same architecture and start from the same weights,
    unless a field of `OwnNetwork` says otherwise of the generator. `docs/deviations.md` lists each released behavior
    with the field that restores it. See `DistilledConfig` and `OwnNetwork` for inherited fields.

    Args:
        recipe: What the student learns from. `sdm`: the teacher's samples, then also the demonstrations; `regression`:
            the teacher's samples alone; `dmd`: the teacher's samples and its scores; `sdm_paper`: the scores alone, as
            published.
        resolved_recipe: The recipe that filled in the fields; saved with them.
        generator_timestep: Timestep that the generator is conditioned on, in training and at inference. At T - 1 the
            teacher has learned to ignore its input, so a generator that starts there must learn from scratch how the
            start noise selects a mode; at a somewhat lower timestep the teacher already does so. None: 70% of T, and
            T - 1 for `sdm_paper`.
        teacher_inference_steps: Network evaluations of the teacher for the samples that the generator learns from; None
            for the number in the teacher's configuration.
        feature_memory_mb: Memory limit (MB) of the cache of frame features, with which the frozen encoder sees each
            frame only once. If they need more, with images (which may be augmented), or at 0, features are recomputed
            in every step.
        warmup_steps: Initial steps in which the generator only regresses onto the teacher's own samples from the
            same start noise ("ODE pairs").
        regression_weight: Weight of that regression afterwards; 0 disables it.
        regression_delta: The regression's loss is quadratic in a sample's error (root mean square over its entries,
            normalized action units) up to about here and linear beyond; see `regression_loss`. 0: quadratic throughout.
        mixed_conditions: Share of the regression's conditions that lie between those of two frames, so that the student
            also learns the teacher's answers to observations that no demonstration shows; see `mix_conditions`.
        pair_reuse: How often each of the teacher's samples is used, on average. The teacher's ten evaluations are most
            of an iteration's cost; with 8 it samples only in every eighth iteration.
        pair_buffer_size: Number of samples kept to draw from, if `pair_reuse` is above 1.
        data_weight: Weight of the energy score of the generator's samples at the demonstrated actions, after the
            warm-up. The only term that can make a student better than its teacher.
        data_samples: Samples per observation for the energy score, at least 2.
        data_share: Share of a batch's observations that the energy score is taken for. With all of them and two
            samples, an iteration evaluates the generator three times instead of once.
        matching_weight: Weight of score matching after the warm-up; 0 trains no critic.
        critic_lead_steps: How many steps before the end of the warm-up the critic starts to learn.
        fake_updates_per_generator_update: With score matching, the generator is updated in every this many iterations
            after the warm-up, the critic in all of them.
        weighting: "per_sample" (DMD), "none" or "released"; see `distribution_matching_gradient`.
        normalizer_floor: Smallest per-sample normalizer, in normalized action units.
        timestep_range: Range of the noise levels used for matching, as fractions of T; none beyond `last_timestep`.
            Without effect if `timestep_levels` is not 0.
        timestep_levels: Number of evenly spaced noise levels; 0 for all. Released: 10.
        generator_lr: Learning rate of the generator.
        fake_score_lr: Learning rate of the critic, the network of the fake score.
        generator_grad_clip_norm: Gradient norm at which the generator is clipped; 0 for no clipping.
        fake_score_grad_clip_norm: The same for the critic.
        generator_warmup_steps: Learning-rate warm-up of the generator.
        fake_score_warmup_steps: The same for the critic, from the critic's own first step.
        generator_final_lr_ratio: Final learning rate of the generator as a fraction of the initial one (cosine
            schedule).
        fake_score_final_lr_ratio: The same for the critic; 1 keeps it constant. A critic whose learning rate decays
            with the generator's no longer tracks it, and matching a stale score shifts the weights of the modes.
        optimizer_betas: AdamW's betas.
        use_ema: Evaluate and save an exponential moving average of the weights.
    """

    retired: ClassVar[tuple[str, ...]] = (*DistilledConfig.retired, "num_inference_steps")

    recipe: str = "sdm"
    resolved_recipe: str | None = None
    generator_timestep: int | None = None
    teacher_inference_steps: int | None = None
    feature_memory_mb: int = 1024

    warmup_steps: int | None = None
    regression_weight: float | None = None
    regression_delta: float | None = None
    mixed_conditions: float = 0.0
    pair_reuse: int = 1
    pair_buffer_size: int = 16384
    data_weight: float | None = None
    data_samples: int = 2
    data_share: float = 1.0
    matching_weight: float | None = None
    critic_lead_steps: int | None = None
    fake_updates_per_generator_update: int | None = None
    weighting: str | None = None
    normalizer_floor: float | None = None
    timestep_range: tuple[float, float] = (0.02, 0.98)
    timestep_levels: int | None = None

    generator_lr: float | None = None
    fake_score_lr: float | None = None
    generator_grad_clip_norm: float = 1.0
    fake_score_grad_clip_norm: float = 1.0
    generator_warmup_steps: int | None = None
    fake_score_warmup_steps: int | None = None
    generator_final_lr_ratio: float | None = None
    fake_score_final_lr_ratio: float | None = None
    optimizer_betas: tuple[float, float] | None = None  # type: ignore[assignment]  # Filled in by the recipe.
    use_ema: bool | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        fill_in(self, RECIPES, "--policy.data_weight=0")
        super().__post_init__()

    @classmethod
    def upgraded(cls, saved: dict[str, Any]) -> dict[str, Any]:
        steps = saved.get("num_inference_steps", 1)
        if steps != 1:
            raise InputError(
                f"--policy.num_inference_steps={steps}: must be 1, because sdm is a one-step policy. Drop the option, "
                "or use --policy.type=consistency for few-step sampling."
            )
        return super().upgraded(_before_recipes(saved))

    def take_from(self, teacher: PreTrainedConfig) -> None:
        chosen = self.own_network(teacher)
        if chosen and not self.regression_weight:
            name, value = next(iter(chosen.items()))
            raise InputError(
                f"--policy.{name}={value}: a student of another network than its teacher's learns from random weights, "
                "which takes regression. Give --policy.regression_weight a value above 0, or drop the option."
            )
        if chosen:
            self.network = with_other_backbone(self.network or {}, chosen)

    def check_settings(self) -> None:
        from lerobot_sdm.diffusion.distribution_matching import WEIGHTINGS

        if self.weighting not in WEIGHTINGS:
            raise InputError(f"--policy.weighting={self.weighting}: must be one of {', '.join(WEIGHTINGS)}.")
        for name, least in LEAST.items():
            check_at_least(f"--policy.{name}", getattr(self, name), least)
        check_shares(self, "mixed_conditions")
        if not 0 < self.data_share <= 1:
            raise InputError(f"--policy.data_share={self.data_share}: must be above 0 and at most 1.")
        if not self.regression_weight and not self.data_weight and not self.matching_weight:
            raise InputError(
                "--policy.regression_weight=0: the student learns nothing after the warm-up. Give "
                "--policy.regression_weight, --policy.data_weight or --policy.matching_weight a value above 0."
            )
        low, high = self.timestep_range
        if not 0 <= low < high <= 1:
            raise InputError(f"--policy.timestep_range={list(self.timestep_range)}: must be 0 <= low < high <= 1.")
        if self.network is not None:
            self.check_unchanged(self.network)
            steps, most = self.teacher_inference_steps, self.network_config.num_train_timesteps
            if steps is not None and not 1 <= steps <= most:
                raise InputError(f"--policy.teacher_inference_steps={steps}: must lie in 1 ... {most}.")
            self._check_matching_times(most)
            default = most - 1 if self.recipe == "sdm_paper" else round(GENERATOR_TIMESTEP / 100 * most)
            self.generator_timestep = self.checked_timestep("generator_timestep", default)

    def _check_matching_times(self, most: int) -> None:
        """Refuse noise levels for the matching that the teacher does not have."""
        last = self.last_timestep
        levels, low = self.timestep_levels or 0, self.timestep_range[0]
        if levels > last + 1:
            raise InputError(f"--policy.timestep_levels={levels}: must lie in 0 ... {last + 1}.")
        if not levels and round(low * (most - 1)) > last:
            raise InputError(
                f"--policy.timestep_range={list(self.timestep_range)}: begins after {last}, the noisiest timestep of "
                "this teacher that can be used. Begin earlier."
            )


LEAST = {
    "warmup_steps": 0,
    "regression_weight": 0,
    "regression_delta": 0,
    "pair_reuse": 1,
    "data_weight": 0,
    "data_samples": 2,
    "matching_weight": 0,
    "critic_lead_steps": 0,
    "fake_updates_per_generator_update": 1,
}
"""Field -> its smallest value."""


def _before_recipes(saved: dict[str, Any]) -> dict[str, Any]:
    """A configuration saved before there were recipes, in today's fields; others as they are.

    At that time, every student regressed and then also matched scores, and None stood for what 0 says now.
    """
    if "recipe" in saved or not {"fake_score_lr", "network"} <= saved.keys():
        return saved
    zeros = {name: saved.get(name) or 0 for name in ("regression_delta", "timestep_levels")}
    return saved | zeros | {"recipe": "dmd", "data_weight": 0.0, "matching_weight": 1.0, "critic_lead_steps": 0}
