"""Configuration of the mean flow policy."""

from dataclasses import dataclass
from typing import Any

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.policies.one_step_config import OneStepConfig
from lerobot_sdm.policies.recipes import fill_in
from lerobot_sdm.policies.settings import check_above_zero, check_not_negative, check_shares
from lerobot_sdm.registration import registered

RECIPES: dict[str, dict[str, Any]] = {
    "meanflow": {
        "time_pair": "t_h",
        "time_sampler": "v1",
        "flow_ratio": 0.25,
        "endpoint_fraction": 0.1,
        "guidance": 1.0,
        "dispersive_weight": 0.0,
    },
    # What the released code of MP1 does.
    "mp1": {
        "time_pair": "t_r",
        "time_sampler": "mp1",
        "flow_ratio": 0.5,
        "endpoint_fraction": 0.0,
        "guidance": 2.0,
        "dispersive_weight": 0.5,
    },
}
"""Recipe -> values of the fields that are not given."""

TIME_PAIRS = ("t_h", "t_r")
MOST_TIME_SCALE = 100.0
"""Beyond this, the derivative in time swamps the target."""


@registered(PreTrainedConfig, "meanflow")
@dataclass
class MeanFlowConfig(OneStepConfig):
    """Mean flow (Geng et al. 2025) for action chunks, as in MP1 (arXiv 2507.10543).

    A recipe (`RECIPES`) sets the fields below that are None, so a single field overrides it; the values that result are
    saved with the policy. See `OneStepConfig` for inherited fields, and `docs/deviations.md` for what differs from MP1.

    Args:
        recipe: `meanflow`, or `mp1` for the settings of MP1's released code.
        resolved_recipe: The recipe that filled in the fields; saved with them.
        time_pair: The times that the network sees: "t_h", where a jump begins and its length, or "t_r", where it begins
            and where it ends.
        time_scale: Times are multiplied by this for their embeddings, at most 100: it also multiplies the derivative in
            time, which is part of the target.
        time_sampler: How times are drawn in training: "mp1", "v1" or "uniform"; see `diffusion.mean_flow`.
        logit_mean: Mean of the log-odds of the times, for "mp1".
        logit_std: Their standard deviation.
        flow_ratio: Share of a batch that learns jumps of length zero, plain flow matching.
        endpoint_fraction: Share of a batch that learns the jump of a one-step policy, from pure noise to data.
        adaptive_power: Errors are divided by (error + adaptive_eps) to this power; 0 for the mean squared error.
        adaptive_eps: See there.
        derivative: How the derivative along the path is computed: "forward", exactly, or "difference".
        difference_step: Step of "difference", in time: about 0.01 / time_scale^(1/2).
        guidance: 2 regresses on twice the velocity minus the network's own, as MP1 does; 1 on the velocity.
        dispersive_weight: Weight of the dispersive loss on the features of the first levels; 0 for none.
        dispersive_temperature: Its temperature.
        direction_weight: Weight of OMP's direction loss; 0 for none. It biases the average velocity where a condition
            has several answers.
        num_inference_steps: Jumps of equal length, one network evaluation each. May be changed at evaluation.
    """

    optimizer_grad_clip_norm: float = 1.0

    recipe: str = "meanflow"
    resolved_recipe: str | None = None
    time_pair: str | None = None
    time_scale: float = 1.0
    time_sampler: str | None = None
    logit_mean: float = -0.4
    logit_std: float = 1.0
    flow_ratio: float | None = None
    endpoint_fraction: float | None = None
    adaptive_power: float = 0.5
    adaptive_eps: float = 1e-3
    derivative: str = "forward"
    difference_step: float = 1e-2
    guidance: float | None = None
    dispersive_weight: float | None = None
    dispersive_temperature: float = 1.0
    direction_weight: float = 0.0
    num_inference_steps: int = 1

    def __post_init__(self) -> None:
        fill_in(self, RECIPES, "--policy.endpoint_fraction=0")
        super().__post_init__()

    def _check_shapes(self) -> None:
        """Reject values that the network, the times or the losses do not support."""
        super()._check_shapes()
        self._check_names()
        check_above_zero(self, "time_scale", "logit_std", "adaptive_eps", "dispersive_temperature", "difference_step")
        if self.time_scale > MOST_TIME_SCALE:
            raise InputError(
                f"--policy.time_scale={self.time_scale}: must be at most {MOST_TIME_SCALE:g}, because it multiplies "
                "the derivative in time, which the network learns from. Drop the option for 1."
            )
        check_shares(self, "flow_ratio", "endpoint_fraction")
        total = self.flow_ratio + self.endpoint_fraction  # type: ignore[operator]  # The recipe filled them in.
        if total > 1:
            raise InputError(
                f"--policy.endpoint_fraction={self.endpoint_fraction}: with --policy.flow_ratio={self.flow_ratio}, the "
                "shares of a batch add up to more than 1. Lower one of them."
            )
        if self.difference_step >= 0.5:
            raise InputError(f"--policy.difference_step={self.difference_step}: must be below 0.5. Drop it for 0.01.")
        check_not_negative(self, "adaptive_power", "guidance", "dispersive_weight", "direction_weight")

    def _check_names(self) -> None:
        from lerobot_sdm.diffusion.mean_flow import DERIVATIVES, TIME_SAMPLERS

        check_known("--policy.time_pair", self.time_pair, TIME_PAIRS)
        check_known("--policy.time_sampler", self.time_sampler, TIME_SAMPLERS)
        check_known("--policy.derivative", self.derivative, DERIVATIVES)
