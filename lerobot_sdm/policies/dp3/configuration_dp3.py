"""Configuration of the 3D Diffusion Policy (DP3) and of Simple DP3."""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.chunk_config import ChunkConfig
from lerobot_sdm.registration import registered


@registered(PreTrainedConfig, "dp3")
@dataclass
class DP3Config(ChunkConfig):
    """3D Diffusion Policy (Ze et al. 2024): point cloud and robot state in, a chunk of actions out.

    The defaults are the paper's network (255 M parameters). Simple DP3 is `down_dims=[128,256,384]` with
    `blocks_per_level=1`. `docs/deviations.md` explains the defaults that differ from the released code. See
    `ChunkConfig` for inherited fields.

    Args:
        num_train_timesteps: Number of noise levels of the diffusion.
        beta_schedule: Noise schedule, by its diffusers name.
        beta_start: First noise variance of a `linear` or `scaled_linear` schedule; the squared cosine has none.
        beta_end: Last noise variance of these schedules.
        clip_sample_range: Each prediction of x_0 is clipped to plus and minus this; None for no clipping.
        num_inference_steps: Network evaluations per action chunk. May be changed at evaluation; 1 is the one-step DDIM
            sample, the free baseline for every one-step student.
        timestep_spacing: "trailing" (from pure noise at T - 1 down) or "leading" (as released).
        inference_start_timestep: First timestep of "trailing" spacing; None for T - 1.
    """

    num_train_timesteps: int = 100
    beta_schedule: str = "squaredcos_cap_v2"
    beta_start: float = 0.0001
    beta_end: float = 0.02
    clip_sample_range: float | None = 1.0
    num_inference_steps: int = 10
    timestep_spacing: str = "trailing"
    inference_start_timestep: int | None = None

    def _check_shapes(self) -> None:
        """Reject values that the networks or the sampler do not support."""
        super()._check_shapes()
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise InputError(
                f"--policy.beta_start={self.beta_start}, --policy.beta_end={self.beta_end}: must be 0 < beta_start <= "
                "beta_end < 1. Drop both options for diffusers' 0.0001 and 0.02."
            )
        if self.timestep_spacing not in ("trailing", "leading"):
            raise InputError(f"--policy.timestep_spacing={self.timestep_spacing}: must be 'trailing' or 'leading'.")
        start, most = self.inference_start_timestep, self.num_train_timesteps
        if start is not None and self.timestep_spacing != "trailing":
            raise InputError(
                f"--policy.inference_start_timestep={start}: only --policy.timestep_spacing=trailing starts at a "
                "chosen timestep. Drop one of the two options."
            )
        if start is not None and not 0 <= start < most:
            raise InputError(f"--policy.inference_start_timestep={start}: must lie in 0 ... {most - 1}.")
        steps = most if start is None else start + 1
        if not 1 <= self.num_inference_steps <= steps:
            raise InputError(
                f"--policy.num_inference_steps={self.num_inference_steps}: must lie in 1 ... {steps}"
                f"{'' if start is None else f' from --policy.inference_start_timestep={start}'}."
            )
