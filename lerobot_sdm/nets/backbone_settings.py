"""Settings of a policy's denoising network, which may be a U-Net or a mixer."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lerobot_sdm.errors import InputError, check_known

FIELDS: dict[str, tuple[str, ...]] = {
    "unet": (
        *("down_dims", "blocks_per_level", "kernel_size", "n_groups", "diffusion_step_embed_dim"),
        *("use_film_scale_modulation", "mid_dropout_rate"),
    ),
    "mixer": ("mixer_width", "mixer_depth", "mixer_ratio"),
}
"""Backbone -> the fields that only it has; the names are those of `nets.backbones`, which imports the networks."""

DEFAULT = "unet"


@dataclass
class BackboneSettings:
    """Settings of the denoising network; a mixin for a policy's configuration.

    Args:
        backbone: "unet", the FiLM-conditioned U-Net of DP3, or "mixer", the Diffusion Mixer of Hydra-DP3, which is
            small and bound to one horizon; see `docs/mixer.md`. A field of the other one must not be set.
        down_dims: Channels of the U-Net's levels, finest first.
        blocks_per_level: The U-Net's residual blocks per level: 2 for DP3, 1 for Simple DP3.
        kernel_size: Kernel size of the U-Net's convolutions.
        n_groups: Groups of the U-Net's group normalization.
        diffusion_step_embed_dim: Width of the U-Net's timestep embedding.
        use_film_scale_modulation: Whether FiLM scales as well as shifts.
        mixer_width: Channels of the mixer.
        mixer_depth: Blocks of the mixer.
        mixer_ratio: Inner width of each of the mixer's MLPs as a multiple of its outer one.
        gradient_checkpointing: Trade compute for memory in training.
    """

    backbone: str = DEFAULT

    down_dims: tuple[int, ...] = (512, 1024, 2048)
    blocks_per_level: int = 2
    kernel_size: int = 5
    n_groups: int = 8
    diffusion_step_embed_dim: int = 128
    use_film_scale_modulation: bool = True

    mixer_width: int = 128
    mixer_depth: int = 6
    mixer_ratio: int = 4

    gradient_checkpointing: bool = False

    def check_backbone(self, horizon: int) -> None:
        """Reject values that cannot work for action sequences of length `horizon`, or belong to the other network."""
        check_known("--policy.backbone", self.backbone, FIELDS)
        self._refuse_fields_of_others()
        if self.backbone == "unet":
            self._check_unet(horizon)

    def _refuse_fields_of_others(self) -> None:
        defaults = {item.name: item.default for item in fields(self)}
        for other, names in FIELDS.items():
            for name in names if other != self.backbone else ():
                value, default = (plain(v) for v in (getattr(self, name, None), defaults.get(name)))
                if value != default:
                    raise InputError(
                        f"--policy.{name}={value}: is a setting of the backbone '{other}', and this policy's is "
                        f"'{self.backbone}'. Drop the option, or give --policy.backbone={other}."
                    )

    def _check_unet(self, horizon: int) -> None:
        if not self.down_dims:
            raise InputError("--policy.down_dims=[]: must name at least one level. Give its channels, such as [128].")
        if self.diffusion_step_embed_dim % 2 or self.diffusion_step_embed_dim < 4:
            raise InputError(
                f"--policy.diffusion_step_embed_dim={self.diffusion_step_embed_dim}: must be even and at least 4, "
                "because half of it are sines and half cosines. Use 128."
            )
        factor = 2 ** (len(self.down_dims) - 1)
        if horizon <= 0 or horizon % factor:
            raise InputError(
                f"--policy.horizon={horizon}: the U-Net halves the sequence {len(self.down_dims) - 1} times, "
                f"so the horizon must be a multiple of {factor} (next: {(horizon // factor + 1) * factor})."
            )
        if self.blocks_per_level not in (1, 2):
            raise InputError(f"--policy.blocks_per_level={self.blocks_per_level}: must be 2 (DP3) or 1 (Simple DP3).")
        if self.kernel_size % 2 == 0:
            raise InputError(
                f"--policy.kernel_size={self.kernel_size}: must be odd, so that a convolution keeps the length of its "
                f"sequence. Use {self.kernel_size + 1}."
            )
        if any(dim % self.n_groups for dim in self.down_dims):
            raise InputError(
                f"--policy.down_dims={list(self.down_dims)}: each must be a multiple of n_groups={self.n_groups}."
            )


def plain(value: Any) -> Any:
    """A field's value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def backbone_of(network: Mapping[str, Any]) -> str:
    """The backbone in a policy's description (`source.description`); LeRobot's own and earlier ones are U-Nets."""
    return network.get("backbone", DEFAULT)


def backbone_sentence(network: Mapping[str, Any]) -> str | None:
    """What a policy's denoising network is, for a model card, from its description or configuration as plain values;
    None for a policy that has none."""
    if backbone_of(network) == "mixer":
        return (
            f"Diffusion Mixer, {network['mixer_depth']} blocks of {network['mixer_width']} channels, for chunks of "
            f"{network['horizon']} actions"
        )
    if "down_dims" not in network:
        return None
    return f"U-Net with FiLM, {', '.join(map(str, network['down_dims']))} channels"


MIXER_PAPER = ("Hydra-DP3 (2026)", "https://arxiv.org/abs/2605.01581")
"""The paper of the mixer."""


def with_other_backbone(network: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A policy's description with other values of fields in `FIELDS` or of `backbone`; if the backbone changes, without
    the fields of the old one."""
    old, new = backbone_of(network), chosen.get("backbone", backbone_of(network))
    gone = FIELDS[old] if old != new else ()
    return {name: value for name, value in network.items() if name not in gone} | dict(chosen)
