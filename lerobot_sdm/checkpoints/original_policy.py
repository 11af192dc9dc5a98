"""Translates the configuration in a checkpoint of the DP3 family to one of this package's policies."""

from __future__ import annotations

from typing import Any

from diffusers.schedulers.scheduling_lcm import LCMScheduler
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.utils.constants import ACTION, OBS_STATE

from lerobot_sdm.checkpoints.hydra_config import MAX_NUMBER, HydraConfig
from lerobot_sdm.checkpoints.original_format import BLOCKS, STUDENTS, OriginalCheckpoint
from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig
from lerobot_sdm.policies.source.description import describe

IMAGINED_ROBOT = "imagin_robot"
MAX_LENGTH = 10  # Dimensions of a shape, or levels of a U-Net.

FIXED = {
    "policy.condition_type": ("film", "film"),
    "policy.use_down_condition": (True, True),
    "policy.use_mid_condition": (True, True),
    "policy.use_up_condition": (True, True),
    "policy.obs_as_global_cond": (True, True),
    "policy.pointnet_type": ("pointnet", "pointnet"),
    "policy.pointcloud_encoder_cfg.use_layernorm": (True, False),
    "policy.pointcloud_encoder_cfg.final_norm": ("layernorm", "none"),
    "policy.noise_scheduler._target_": ("diffusers.schedulers.scheduling_ddim.DDIMScheduler", ""),
    "policy.noise_scheduler.prediction_type": ("sample", "epsilon"),
    "policy.noise_scheduler.set_alpha_to_one": (True, True),
    "policy.noise_scheduler.steps_offset": (0, 0),
    "policy.noise_scheduler.thresholding": (False, False),
    "policy.noise_scheduler.rescale_betas_zero_snr": (False, False),
}
"""Settings that this package supports with one value only: path -> (that value, the released code's default)."""

FIXED_STUDENT = {
    "policy.scheduler._target_": ("diffusers.schedulers.scheduling_lcm.LCMScheduler", ""),
    "policy.scheduler.prediction_type": ("sample", "epsilon"),
    "policy.scheduler.clip_sample": (True, False),
    "policy.scheduler.thresholding": (False, False),
    "policy.scheduler.timestep_scaling": (10.0, 10.0),
    "policy.num_inference_timesteps": (1, 4),
}

HYDRA = {"_target_", "_convert_", "_recursive_"}
# The last two have no effect without thresholding.
THRESHOLDING = {"thresholding", "dynamic_thresholding_ratio", "sample_max_value"}
BETAS = {"beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr", "set_alpha_to_one", "steps_offset"}
SAMPLER = {"num_train_timesteps", "prediction_type", "clip_sample", "clip_sample_range", "timestep_spacing"}
DDIM = HYDRA | THRESHOLDING | BETAS | SAMPLER
KNOWN = {
    "policy.noise_scheduler": DDIM,
    # Betas and spacing have no effect on its single step, which returns the clipped prediction.
    "policy.scheduler": DDIM | {"timestep_scaling", "original_inference_steps", "trained_betas"},
}
"""Settings of a sampler that this module checks or that have no effect. Any other setting with a value is refused,
because it may change the actions."""
SPACINGS = ("leading", "trailing")


def policy_config(checkpoint: OriginalCheckpoint, weights: str) -> DP3Config | SDMConfig:
    """The configuration with which our policy computes the same actions as the original.

    Args:
        weights: "raw" weights of a student become an `sdm` policy, all others a `dp3` policy.

    Raises:
        InputError: A setting is missing or not supported by this package.
    """
    config = checkpoint.config
    student = is_student(checkpoint, weights)
    for path, (needed, default) in (FIXED | FIXED_STUDENT if student else FIXED).items():
        found = config.get(path, type(needed), default)
        if found != needed:
            raise InputError(f"{config.source}: {path}={found!r} is not supported, only {needed!r} is.")
    for path in ("policy.noise_scheduler", "policy.scheduler") if student else ("policy.noise_scheduler",):
        _check_known(config, path)
    horizon, frames = config.get("policy.horizon", int), config.get("policy.n_obs_steps", int)
    clip_range = _clip_range(config, "policy.noise_scheduler")
    common = {
        "input_features": {
            OBS_STATE: PolicyFeature(FeatureType.STATE, _shape(config, "shape_meta.obs.agent_pos.shape", 1)),
            POINT_CLOUD: PolicyFeature(FeatureType.STATE, _cloud_shape(config)),
        },
        "output_features": {ACTION: PolicyFeature(FeatureType.ACTION, _shape(config, "shape_meta.action.shape", 1))},
        "n_obs_steps": frames,
        "horizon": horizon,
        # With horizon 4, the released configurations ask for 4 actions and get 3 after slicing.
        "n_action_steps": min(config.get("policy.n_action_steps", int), horizon - frames + 1),
        "use_color": _use_color(config),
        "encoder_out_dim": config.get("policy.encoder_output_dim", int),
        "down_dims": tuple(_integers(config, "policy.down_dims")),
        "blocks_per_level": BLOCKS[checkpoint.kind],
        "kernel_size": config.get("policy.kernel_size", int),
        "n_groups": config.get("policy.n_groups", int),
        "diffusion_step_embed_dim": config.get("policy.diffusion_step_embed_dim", int),
        "num_train_timesteps": config.get("policy.noise_scheduler.num_train_timesteps", int),
        "beta_schedule": config.get("policy.noise_scheduler.beta_schedule", str),
        "beta_start": float(config.get("policy.noise_scheduler.beta_start", float, 0.0001)),
        "beta_end": float(config.get("policy.noise_scheduler.beta_end", float, 0.02)),
        "clip_sample_range": clip_range,
    }
    teacher = DP3Config(
        **common,
        num_inference_steps=_steps(config),
        timestep_spacing=_spacing(config),
        use_ema=config.get("training.use_ema", bool, True),
    )
    if not student:
        return teacher
    if _clip_range(config, "policy.scheduler") != clip_range:
        raise InputError(
            f"{config.source}: policy.scheduler clips to {_clip_range(config, 'policy.scheduler')} and "
            f"policy.noise_scheduler to {clip_range}; a student must clip like its teacher."
        )
    features = {name: common[name] for name in ("input_features", "output_features")}
    return SDMConfig(**features, network=describe(teacher), generator_timestep=_one_step_timestep(config))


def is_student(checkpoint: OriginalCheckpoint, weights: str) -> bool:
    """Whether these weights are a one-step student. SDM and ManiCM train the raw weights; their `ema_model` is the
    teacher's EMA model, loaded and never changed."""
    return checkpoint.kind in STUDENTS and weights == "raw"


def sees_imagined_robot(checkpoint: OriginalCheckpoint) -> bool:
    """Whether the policy adds points on the robot's hand, computed from its joints, to the cloud, as for DexArt."""
    return checkpoint.config.get(f"shape_meta.obs.{IMAGINED_ROBOT}.shape", list, None) is not None


def _check_known(config: HydraConfig, path: str) -> None:
    """Refuse a sampler with an unknown setting."""
    for name in config.get(path, dict):
        value = config.get(f"{path}.{name}", object)
        if name not in KNOWN[path] and value is not None:
            raise InputError(
                f"{config.source}: {path}.{name} is not supported, and the sampler would differ without it."
            )


def _clip_range(config: HydraConfig, path: str) -> float | None:
    """The range that a sampler clips predicted actions to; None if it does not clip."""
    limit = float(config.get(f"{path}.clip_sample_range", float, 1.0))
    return limit if config.get(f"{path}.clip_sample", bool, True) else None


def _steps(config: HydraConfig) -> int:
    """Network evaluations per chunk; defaults to the number of noise levels."""
    path = "policy.num_inference_steps"
    if config.get(path, object, None) is None:
        return config.get("policy.noise_scheduler.num_train_timesteps", int)
    return config.get(path, int)


def _spacing(config: HydraConfig) -> str:
    """Spacing of the sampler's timesteps.

    diffusers always steps from t to t - T // steps. With "leading", and with "trailing" if the steps divide T, this is
    the next timestep. Otherwise its sampler differs from this package's DDIM.
    """
    path = "policy.noise_scheduler.timestep_spacing"
    spacing = config.get(path, str, "leading")
    if spacing not in SPACINGS:
        raise InputError(f"{config.source}: {path}={spacing!r} is not supported, only {' and '.join(SPACINGS)} are.")
    levels, steps = config.get("policy.noise_scheduler.num_train_timesteps", int), _steps(config)
    if spacing == "trailing" and steps > 0 and levels % steps:
        raise InputError(
            f"{config.source}: {path}='trailing' with policy.num_inference_steps={steps} is not supported, only "
            f"numbers of steps that divide num_train_timesteps={levels} are."
        )
    return spacing


def _one_step_timestep(config: HydraConfig) -> int:
    """Timestep of the single evaluation in the released one-step sampler, LCM: 99 of 100."""
    levels = config.get("policy.scheduler.num_train_timesteps", int)
    spaced = config.get("policy.scheduler.original_inference_steps", int, 50)
    if not 1 <= spaced <= levels:
        raise InputError(
            f"{config.source}: policy.scheduler.original_inference_steps={spaced} must be in 1 to {levels}."
        )
    scheduler = LCMScheduler(num_train_timesteps=levels, original_inference_steps=spaced)
    scheduler.set_timesteps(1)
    return int(scheduler.timesteps[0])


def _use_color(config: HydraConfig) -> bool:
    return config.get("policy.use_pc_color", bool, False)


def _cloud_shape(config: HydraConfig) -> tuple[int, int]:
    """(N, C); the released configurations say (N, 3) even if color is used."""
    points, _ = _shape(config, "shape_meta.obs.point_cloud.shape", 2)
    return points, 6 if _use_color(config) else 3


def _shape(config: HydraConfig, path: str, dimensions: int) -> tuple[int, ...]:
    shape = tuple(_integers(config, path))
    if len(shape) != dimensions:
        raise InputError(f"{config.source}: {path}={list(shape)} should have {dimensions} dimension(s).")
    return shape


def _integers(config: HydraConfig, path: str) -> list[int]:
    values: list[Any] = config.get(path, list)
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    if not (whole and 1 <= len(values) <= MAX_LENGTH and all(1 <= value <= MAX_NUMBER for value in values)):
        raise InputError(
            f"{config.source}: {path} should be a list of 1 to {MAX_LENGTH} whole numbers between 1 and {MAX_NUMBER}."
        )
    return values
