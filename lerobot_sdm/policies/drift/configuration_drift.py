"""Configuration of the drifting policy."""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.policies.one_step_config import OneStepConfig
from lerobot_sdm.policies.settings import check_above_zero, check_not_negative, check_shares
from lerobot_sdm.registration import registered


@registered(PreTrainedConfig, "drift")
@dataclass
class DriftConfig(OneStepConfig):
    """Drifting for action chunks (arXiv 2604.03540): several samples per observation, of which one is demonstrated.

    See `OneStepConfig` for inherited fields, and `docs/deviations.md` for what differs from the released code.

    Args:
        samples: Samples for each observation of a training batch, at least 2; the U-Net's batch is this many times
            larger.
        temperatures: Temperatures of the affinities, in units of the mean distance.
        affinity_floor: Smallest affinity, squared; released: 1e-6. Above 0, samples that lie close together follow the
            mean or median of the demonstrations instead of one of them.
        group: What drifts as one vector: "chunk", each "step" of it, or each "dim" of the action.
        residual_noise: Whether the network predicts actions minus the start noise, so that the samples of an untrained
            policy are spread out; released: false.
        mse_steps: In the first steps, the loss is the squared error; at this step, drifting has half the weight. 0 for
            drifting from the start.
        mse_width: Number of steps in which the weight of drifting grows from about 1/2 to 3/4.
    """

    optimizer_grad_clip_norm: float = 10.0

    samples: int = 4
    temperatures: tuple[float, ...] = (0.02, 0.05, 0.2)
    affinity_floor: float = 0.0
    group: str = "chunk"
    residual_noise: bool = True
    mse_steps: int = 0
    mse_width: int = 100

    def _check_shapes(self) -> None:
        """Reject values that the network or the field do not support."""
        from lerobot_sdm.diffusion.drifting import GROUPS

        super()._check_shapes()
        if self.samples < 2:
            raise InputError(
                f"--policy.samples={self.samples}: must be at least 2, because a single sample has no others to be "
                "pushed away from, and would learn the median of the demonstrations. Drop the option for 4."
            )
        if not self.temperatures or min(self.temperatures) <= 0:
            raise InputError(
                f"--policy.temperatures={list(self.temperatures)}: must be one or more numbers above 0. Drop the "
                "option for [0.02,0.05,0.2]."
            )
        check_shares(self, "affinity_floor")
        check_known("--policy.group", self.group, GROUPS)
        check_not_negative(self, "mse_steps")
        check_above_zero(self, "mse_width")
