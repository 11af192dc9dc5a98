"""The FiLM-conditioned temporal U-Net of Diffusion Policy and DP3, on top of LeRobot's own."""

from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalUnet1d
from torch import Tensor, nn


class NoBlock(nn.Module):
    """Stands where a residual block was left out: passes its input on, whatever the condition."""

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        return x


class TemporalUnet(DiffusionConditionalUnet1d):
    """LeRobot's U-Net with one or two residual blocks per level.

    Two blocks are DP3 (and Diffusion Policy), one is Simple DP3: its levels keep only their first block and the
    middle only one.

    Args:
        config: Any object with LeRobot's diffusion fields (`action_feature`, `down_dims`, `kernel_size`,
            `n_groups`, `diffusion_step_embed_dim`, `use_film_scale_modulation`, `gradient_checkpointing`) and
            `blocks_per_level`.
        global_cond_dim: Size of the conditioning vector.
    """

    def __init__(self, config, global_cond_dim: int):
        super().__init__(config, global_cond_dim)
        if config.blocks_per_level == 1:
            for level in (*self.down_modules, *self.up_modules):
                level[1] = NoBlock()
            self.mid_modules = self.mid_modules[:1]
