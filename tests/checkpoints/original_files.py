"""Write checkpoints in the original format, and compute what the original policy answers.

Networks are this package's (the recorded files show that they are the original's); the configuration, the normalizer,
the composition of the observation and the samplers are the original's, by the libraries that it uses.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import dill
import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_lcm import LCMScheduler
from lerobot.configs.types import FeatureType, PolicyFeature
from omegaconf import OmegaConf
from torch import Tensor

from lerobot_sdm.checkpoints.original_weights import original_name
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model

STATE_DIM, ACTION_DIM, POINTS = 9, 4, 20


class Sizes(NamedTuple):
    """What a checkpoint's policy sees and does; horizon and actions apart, the rest is the same for all.

    Args:
        state: Numbers of the robot's state.
        action: Numbers of an action.
        points: Points of a cloud.
        frames: Observed frames.
    """

    state: int = STATE_DIM
    action: int = ACTION_DIM
    points: int = POINTS
    frames: int = 2


SIZES = Sizes()


SCHEDULE = {
    "num_train_timesteps": 100,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": True,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "prediction_type": "sample",
}
Normalizer = dict[str, tuple[Tensor, Tensor]]


@dataclass
class Original:
    """A checkpoint as it is before it is written.

    Args:
        payload: What `torch.save` gets.
        models: Weight set -> network.
        normalizer: Field -> (scale, offset).
        sampler: Settings of the noise scheduler that differ from the released ones.
        sizes: What the policy sees and does.
    """

    payload: dict[str, Any]
    models: dict[str, DP3Model]
    normalizer: Normalizer
    sampler: dict[str, Any] = field(default_factory=dict)
    sizes: Sizes = SIZES

    def save(self, path: Path) -> Path:
        torch.save(self.payload, path, pickle_module=dill)
        return path

    def normalize_by(self, data: dict[str, np.ndarray]) -> None:
        """Fit the normalizer as the released code does: each channel's range over all frames and points.

        Args:
            data: Field -> (..., channels).
        """
        for name, values in data.items():
            flat = torch.from_numpy(values).float().flatten(0, -2)
            low, high = flat.amin(0), flat.amax(0)
            scale = 2 / (high - low)
            self.normalizer[name] = (scale, -1 - scale * low)
        for weights in ("model", "ema_model"):
            self.payload["state_dicts"][weights].update(_normalizer_state(self.normalizer))

    def answer(self, weights: str, observation: dict[str, Tensor], noise: Tensor, sampler: str) -> Tensor:
        """Whole horizon in real units: "ddim10" or "lcm1", from raw observations (B, frames, ...)."""
        model = self.models[weights]
        normalized = {
            key: value * self.normalizer[key][0] + self.normalizer[key][1] for key, value in observation.items()
        }
        cloud = normalized["point_cloud"][..., : model.config.cloud_channels]
        if "imagin_robot" in normalized:
            cloud = torch.cat([cloud, normalized["imagin_robot"][..., : cloud.shape[-1]]], dim=-2)
        with torch.no_grad():
            cond = model.obs_encoder(cloud.flatten(0, 1), normalized["agent_pos"].flatten(0, 1))
            cond = cond.unflatten(0, cloud.shape[:2]).flatten(1)
            settings = SCHEDULE | self.sampler
            scheduler = DDIMScheduler(**settings) if sampler == "ddim10" else LCMScheduler(**SCHEDULE)
            scheduler.set_timesteps(10 if sampler == "ddim10" else 1)
            x = noise
            for t in scheduler.timesteps:
                x = scheduler.step(model.unet(x, t.expand(len(x)), global_cond=cond), t, x).prev_sample
        scale, offset = self.normalizer["action"]
        return (x - offset) / scale


def make_original(
    kind: str = "dp3",
    color: bool = False,
    imagined: bool = False,
    identity: bool = False,
    down_dims: tuple[int, ...] = (16, 32, 64),
    horizon: int = 4,
    sampler: dict[str, Any] | None = None,
    sizes: Sizes = SIZES,
) -> Original:
    """A checkpoint with random weights.

    Args:
        kind: "dp3", "simple_dp3", "sdm" or "manicm".
        color: With `use_pc_color`.
        imagined: With DexArt's `imagin_robot`.
        identity: Clouds are not normalized, as for DexArt.
        down_dims: Width of the U-Net. Where 8 groups are left with single numbers to normalize, which happens below
            width 16 at horizon 4, rounding errors are amplified until nothing can be compared.
        horizon: Of the actions; asks for 4 of them or, from 16 on, for 8.
        sampler: Settings of the noise scheduler that differ from the released ones.
        sizes: What the policy sees and does.
    """
    torch.manual_seed(0)
    models = {name: _model(kind, color, down_dims, horizon, sizes) for name in ("raw", "ema")}
    normalizer = {"action": _affine(sizes.action), "agent_pos": _affine(sizes.state)}
    # A state that never moves, as the normalizer of the original leaves it.
    normalizer["agent_pos"][0][3], normalizer["agent_pos"][1][3] = 1.0, -0.25
    identities = (torch.ones(1), torch.zeros(1))
    normalizer["point_cloud"] = identities if identity else _affine(6)
    if imagined:
        normalizer["imagin_robot"] = identities if identity else _affine(7)
    state = {
        name: {
            "_dummy_variable": torch.empty(0),
            **{original_name(key, model.config.blocks_per_level): v for key, v in model.state_dict().items()},
            "mask_generator._dummy_variable": torch.empty(0),
            **_normalizer_state(normalizer),
        }
        for name, model in models.items()
    }
    payload = {
        "cfg": OmegaConf.create(_config(kind, color, imagined, down_dims, horizon, sizes)),
        "state_dicts": {
            "model": state["raw"],
            "ema_model": state["ema"],
            "optimizer": torch.optim.AdamW(models["raw"].parameters()).state_dict(),
        },
        "pickles": {
            "global_step": dill.dumps(1234),
            "epoch": dill.dumps(56),
            "_output_dir": dill.dumps("/home/someone/private/outputs"),
        },
    }
    payload["cfg"]["policy"]["noise_scheduler"].update(sampler or {})
    return Original(payload, models, normalizer, sampler or {}, sizes)


def random_inputs(original: Original, size: int = 3) -> tuple[dict[str, Tensor], Tensor]:
    """Raw observations (B, frames, ...) in the range of the normalizer, and start noise (B, horizon, A)."""
    generator = torch.Generator().manual_seed(1)
    sizes = original.sizes
    shapes = {"agent_pos": (sizes.state,), "point_cloud": (sizes.points, 6), "imagin_robot": (5, 7)}
    observation = {}
    for key, (scale, offset) in original.normalizer.items():
        if key in shapes:
            normalized = torch.rand((size, sizes.frames, *shapes[key]), generator=generator) * 2 - 1
            observation[key] = (normalized - offset) / scale
    horizon = original.models["raw"].config.horizon
    return observation, torch.randn((size, horizon, sizes.action), generator=generator)


def _model(kind: str, color: bool, down_dims: tuple[int, ...], horizon: int, sizes: Sizes) -> DP3Model:
    config = DP3Config(
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (sizes.state,)),
            "observation.point_cloud": PolicyFeature(FeatureType.STATE, (sizes.points, 6 if color else 3)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (sizes.action,))},
        n_obs_steps=sizes.frames,
        horizon=horizon,
        n_action_steps=1,
        use_color=color,
        encoder_out_dim=16,
        down_dims=down_dims,
        blocks_per_level=1 if kind == "simple_dp3" else 2,
        diffusion_step_embed_dim=16,
        device="cpu",
    )
    return DP3Model(config).eval()


def _affine(channels: int) -> tuple[Tensor, Tensor]:
    low, width = torch.rand(channels) * 2 - 1, torch.rand(channels) + 0.5
    scale = 2 / width
    return scale, -1 - scale * low


def _normalizer_state(normalizer: Normalizer) -> dict[str, Tensor]:
    state = {}
    for name, (scale, offset) in normalizer.items():
        prefix = f"normalizer.params_dict.{name}"
        state |= {f"{prefix}.scale": scale, f"{prefix}.offset": offset}
        state |= {f"{prefix}.input_stats.{part}": torch.zeros_like(scale) for part in ("min", "max", "mean", "std")}
    return state


def _config(
    kind: str, color: bool, imagined: bool, down_dims: tuple[int, ...], horizon: int, sizes: Sizes
) -> dict[str, Any]:
    observations = {
        # The released configurations say 3 channels even where color is used.
        "point_cloud": {"shape": [sizes.points, 3], "type": "point_cloud"},
        "agent_pos": {"shape": [sizes.state], "type": "low_dim"},
    }
    if imagined:
        observations["imagin_robot"] = {"shape": [5, 7], "type": "point_cloud"}
    config: dict[str, Any] = {
        "task": {
            "name": "dexart_laptop" if imagined else "assembly",
            "shape_meta": {"obs": observations, "action": {"shape": [sizes.action]}},
            "dataset": {"zarr_path": "/home/someone/private.zarr", "pad_before": "${eval:'${n_obs_steps}-1'}"},
        },
        "shape_meta": "${task.shape_meta}",
        "horizon": horizon,
        "n_obs_steps": sizes.frames,
        "n_action_steps": 8 if horizon >= 16 else 4,
        "policy": {
            "_target_": "diffusion_policy_3d.policy." + ("simple_dp3.SimpleDP3" if kind == "simple_dp3" else "dp3.DP3"),
            "condition_type": "film",
            "use_down_condition": True,
            "use_mid_condition": True,
            "use_up_condition": True,
            "diffusion_step_embed_dim": 16,
            "down_dims": list(down_dims),
            "encoder_output_dim": 16,
            "horizon": "${horizon}",
            "kernel_size": 5,
            "n_action_steps": "${n_action_steps}",
            "n_groups": 8,
            "n_obs_steps": "${n_obs_steps}",
            "noise_scheduler": {"_target_": "diffusers.schedulers.scheduling_ddim.DDIMScheduler", **SCHEDULE},
            "num_inference_steps": 10,
            "obs_as_global_cond": True,
            "shape_meta": "${shape_meta}",
            "use_pc_color": color,
            "pointnet_type": "pointnet",
            "pointcloud_encoder_cfg": {
                "in_channels": 3,
                "out_channels": "${policy.encoder_output_dim}",
                "use_layernorm": True,
                "final_norm": "layernorm",
                "normal_channel": False,
            },
        },
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 1e-4},
        "training": {"use_ema": True},
    }
    if kind in ("sdm", "manicm"):
        config["policy"]["scheduler"] = {"_target_": "diffusers.schedulers.scheduling_lcm.LCMScheduler", **SCHEDULE}
        config["policy"]["num_inference_timesteps"] = 1
        config["use_consistency_model"] = kind == "manicm"
    if kind == "sdm":
        config["optimizer_generator"] = {"_target_": "torch.optim.AdamW", "lr": 5e-5}
    return config
