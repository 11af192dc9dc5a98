"""Configuration of the flow matching policy."""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import check_known
from lerobot_sdm.policies.one_step_config import OneStepConfig
from lerobot_sdm.policies.settings import check_above_zero
from lerobot_sdm.registration import registered


@registered(PreTrainedConfig, "flow")
@dataclass
class FlowConfig(OneStepConfig):
    """Flow matching (Lipman et al. 2023) whose times lie near noise, as in "Let It Be Simple" (arXiv 2606.05737).

    See `OneStepConfig` for inherited fields. `docs/deviations.md` explains the defaults that differ from the paper.

    Args:
        prediction: What the network predicts: "velocity", noise minus actions, or "sample", the actions.
        time_power: Times are drawn from Beta(time_power, 1) on 0 (data) ... 1 (noise), and then shifted; 1 is uniform.
        time_shift: How far times are shifted toward noise; 1 for no shift, very large for pure noise.
        time_scale: Times are multiplied by this for the timestep embedding, which expects about 0 ... 100.
        num_inference_steps: Euler steps, one network evaluation each. May be changed at evaluation, but a policy is
            best at the number of steps that its times are drawn for.
    """

    optimizer_grad_clip_norm: float = 1.0

    prediction: str = "velocity"
    time_power: float = 1.5
    time_shift: float = 4.0
    time_scale: float = 100.0
    num_inference_steps: int = 1

    def _check_shapes(self) -> None:
        """Reject values that the network, the times or the sampler do not support."""
        from lerobot_sdm.diffusion.flow_matching import PREDICTIONS

        super()._check_shapes()
        check_known("--policy.prediction", self.prediction, PREDICTIONS)
        check_above_zero(self, "time_power", "time_shift", "time_scale")
