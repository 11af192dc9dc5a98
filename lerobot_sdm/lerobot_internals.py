"""Every touch of LeRobot beyond what its documentation offers to plugins: what, where, why, and what to check.

LeRobot changes between versions, and an internal that moves may fail late or silently. `INTERNALS` is the list to read
before the pin in `pyproject.toml` moves (docs/lerobot_versions.md); tests resolve each entry in the installed LeRobot,
and refuse an import or a patch that has none. All patches go through `patch`. Importing this module imports nothing.
"""

from typing import Any, NamedTuple

PUBLIC = frozenset(
    f"lerobot.{name}"
    for name in (
        *("configs", "configs.policies", "configs.rewards", "configs.types"),
        *("datasets", "datasets.dataset_metadata", "datasets.lerobot_dataset"),
        *("envs", "envs.configs", "optim.optimizers", "optim.schedulers", "policies", "policies.pretrained"),
        *("processor", "rewards", "rewards.pretrained", "robots.config", "robots.robot"),
        *("utils.constants", "utils.errors"),
    )
)
"""Modules whose names without a leading underscore LeRobot's documentation offers: to plugins for policies,
environments, rewards and robots, and to programs that read datasets."""


class Internal(NamedTuple):
    """An internal of LeRobot, or of a library through which LeRobot works.

    Attributes:
        name: Its full dotted name.
        where: Files of this package that use it, relative to `lerobot_sdm/`, without `.py`.
        why: What it is used for.
        check: What to check when it moves or changes.
        parameters: Parameters of it that are relied on.
        mentions: Text that its source must contain: what is relied on but has no name of its own.
        patched: Whether this package replaces it.
    """

    name: str
    where: tuple[str, ...]
    why: str
    check: str
    parameters: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    patched: bool = False


PATCHED: list[str] = []
"""Full names of what was patched in this process, in order."""


def patch(owner: Any, name: str, value: Any, new: bool = False) -> None:
    """Replace an attribute of a module or class of LeRobot, or of a library through which LeRobot works.

    Args:
        new: Whether the attribute is an addition, and so may be missing.

    Raises:
        AttributeError: The attribute is missing, so that the patch would have no effect.
    """
    place = owner.__name__ if not isinstance(owner, type) else f"{owner.__module__}.{owner.__qualname__}"
    if not new and not hasattr(owner, name):
        raise AttributeError(
            f"{place}.{name}: is missing in the installed version, so lerobot_policy_sdm does not fit it. Install a "
            "version within the bounds of its requirements, or see docs/lerobot_versions.md."
        )
    setattr(owner, name, value)
    PATCHED.append(f"{place}.{name}")


DIFFUSION = "lerobot.policies.diffusion.modeling_diffusion"
SERVER = "lerobot.async_inference.policy_server"
POLICY = "lerobot.policies.pretrained.PreTrainedPolicy"
SAMPLER = "lerobot.datasets.sampler.EpisodeAwareSampler"
ARRAY = "datasets.features.features.PandasArrayExtensionArray"

INTERNALS = (
    # ---- patched -----------------------------------------------------------------------------------------
    Internal(
        "lerobot.datasets.factory.LeRobotDataset", ("datasets/fast_loading",),
        "training reads through the cached reader", "whether the dataset class has become an option",
        ("repo_id", "root", "episodes", "delta_timestamps", "image_transforms"), patched=True,
    ),
    Internal(
        "lerobot.datasets.factory.LeRobotDatasetMetadata", ("datasets/checked_metadata",),
        "metadata of a damaged dataset are refused by name", "the order of its first two arguments",
        ("repo_id", "root"), patched=True,
    ),
    Internal(
        f"{SAMPLER}.load_state_dict", ("datasets/resume_order",),
        "a resumed run continues its epoch's order", "whether LeRobot resumes in order itself; then drop the patch",
        mentions=('"epoch"',), patched=True,
    ),
    Internal(
        f"{SAMPLER}.set_epoch", ("datasets/resume_order",),
        "a resumed run continues its epoch's order", "whether LeRobot resumes in order itself; then drop the patch",
        ("epoch",), patched=True,
    ),
    Internal(
        f"{SERVER}.pickle", ("serving/policy_server",),
        "clients' messages are read without running them", "whether messages have another format; then drop the patch",
        patched=True,
    ),
    Internal(
        f"{SERVER}.raw_observation_to_observation", ("serving/policy_server",),
        "clouds and depth images reach the processors", "whether images that the network does not take pass through",
        ("raw_observation", "lerobot_features", "policy_image_features"), patched=True,
    ),
    Internal(
        f"{SERVER}.PolicyServer", ("serving/policy_server",),
        "the server that `serve` starts is ours", "whether `serve` takes a class", ("config",), patched=True,
    ),
    Internal(
        "draccus.parsers.decoding.decode_dataclass", ("policies/old_settings",),
        "configurations of earlier versions of this package load", "whether LeRobot still reads with draccus",
        ("cls", "d", "path"), patched=True,
    ),
    *(
        Internal(
            f"draccus.wrappers.docstring.{name}", ("help_texts",),
            "help texts of options are read once", "whether draccus has become fast; then drop the patch",
            parameters, mentions, patched=True,
        )
        for name, parameters, mentions in (
            ("_get_class_source", ("some_dataclass",), ("lru_cache",)),
            ("_contains_attribute_definition", ("line_str",), ()),
            ("get_attribute_docstring", ("some_dataclass", "field_name"), ()),
        )
    ),
    Internal(
        f"{ARRAY}._concat_same_type", ("datasets/matrix_columns",),
        "LeRobot's tools edit datasets with clouds", "whether `datasets` has fixed it; then drop the patch",
        patched=True,
    ),
    Internal(
        ARRAY, ("datasets/matrix_columns",),
        "LeRobot's tools edit datasets with clouds; gets `__arrow_array__`", "whether it has that method",
        mentions=("_data",), patched=True,
    ),
    Internal(
        "datasets.features.features.PandasArrayExtensionDtype._metadata", ("datasets/matrix_columns",),
        "types of matrix columns compare as a whole", "whether it is a tuple; then drop the patch", patched=True,
    ),
    # ---- asynchronous inference --------------------------------------------------------------------------
    Internal(
        "lerobot.async_inference.constants.SUPPORTED_POLICIES", ("serving/policy_server",),
        "extended in place by this package's types", "whether the list is gone, or plugins are discovered",
    ),
    Internal(
        "lerobot.async_inference.configs.PolicyServerConfig", ("cli/serve", "serving/policy_server"),
        "options of `lerobot-sdm serve`", "fields and defaults against `ServeOptions`",
        ("host", "port", "fps", "inference_latency", "obs_queue_timeout"),
    ),
    Internal(
        f"{SERVER}.serve", ("serving/policy_server",),
        "runs the server", "that it looks up `PolicyServer` in its module", mentions=("PolicyServer(cfg)",),
    ),
    Internal(
        f"{SERVER}.PolicyServer.SendPolicyInstructions", ("serving/policy_server",),
        "checks type and robot around it", "how the policy and its pipelines are loaded",
        ("request",),
        ("pickle.loads", "SUPPORTED_POLICIES", '"rename_observations_processor"', "self.lerobot_features"),
    ),
    Internal(
        f"{SERVER}.PolicyServer._enqueue_observation", ("serving/policy_server",),
        "remembers frames", "whether LeRobot keeps several frames itself", ("obs",), ("must_go", "_obs_sanity_checks"),
    ),
    Internal(
        f"{SERVER}.PolicyServer._obs_sanity_checks", ("serving/policy_server",),
        "states in meters are not skipped as similar", "whether the threshold is an option", ("obs", "previous_obs"),
    ),
    Internal(
        f"{SERVER}.PolicyServer._get_action_chunk", ("serving/policy_server",),
        "plans from a window of frames", "that it gets preprocessed observations", ("observation",),
    ),
    Internal(
        f"{SERVER}.PolicyServer._predict_action_chunk", ("serving/policy_server",),
        "remembers which observation is being processed", "that it calls the next two",
        ("observation_t",), ("self._get_action_chunk", "self._time_action_chunk"),
    ),
    Internal(
        f"{SERVER}.PolicyServer._time_action_chunk", ("serving/policy_server",),
        "numbers actions from the one after the observation", "which number an observation carries",
        ("t_0", "action_chunk", "i_0"),
    ),
    Internal(
        f"{SERVER}.PolicyServer._reset_server", ("serving/policy_server",),
        "forgets the last client's frames", "that it is called when a client connects",
    ),
    Internal(
        "lerobot.async_inference.helpers.RemotePolicyConfig", ("serving/policy_server", "serving/messages"),
        "what a client asks for", "its fields",
        ("policy_type", "pretrained_name_or_path", "lerobot_features", "actions_per_chunk"),
    ),
    Internal(
        "lerobot.async_inference.helpers.TimedObservation", ("serving/policy_server", "serving/messages"),
        "what a client sends", "its fields", ("timestamp", "timestep", "observation", "must_go"),
    ),
    Internal(
        "lerobot.async_inference.helpers.TimedAction", ("serving/policy_server",),
        "what a client gets", "its fields", ("timestamp", "timestep", "action"),
    ),
    Internal(
        "lerobot.async_inference.helpers.make_lerobot_observation", ("serving/policy_server",),
        "images of a raw observation", "names of images", ("robot_obs", "lerobot_features"),
    ),
    Internal(
        "lerobot.policies.utils.prepare_observation_for_inference", ("serving/policy_server",),
        "images reach the server's processors as in `lerobot-rollout`", "scale and axes of images",
        ("observation", "device"), ("permute(2, 0, 1)",),
    ),
    # ---- robots and rollouts -----------------------------------------------------------------------------
    Internal(
        "lerobot.utils.import_utils.make_device_from_device_class", ("robots/config_simulated",),
        "finds `SimulatedRobot` by the names of module and class", "the naming rule", ("config",), ("config_",),
    ),
    Internal(
        "lerobot.utils.feature_utils.hw_to_dataset_features", ("clouds/__init__", "robots/simulated"),
        "passes a cloud (N, C, 1) on as a one-channel image", "which shapes are images",
        ("hw_features", "prefix"), ("in (1, 3)",),
    ),
    Internal(
        "lerobot.rollout.context.build_rollout_context", ("robots/simulated", "policies/inference_config"),
        "which observations and actions `lerobot-rollout` uses", "whether others than .pos and .vel are passed on",
        mentions=('(".pos", ".vel")', "supports_rtc_inference", "action_feature_names"),
    ),
    Internal(
        "lerobot.rollout.inference.rtc.supports_rtc_inference", ("policies/chunk_policy",),
        "refuses real-time chunking for this package's policies", "that it asks `supports_rtc`",
        ("policy",), ("supports_rtc",),
    ),
    # ---- policies ----------------------------------------------------------------------------------------
    Internal(
        f"{POLICY}._save_pretrained", ("policies/split_checkpoint", "rewards/chunk_reward/modeling_chunk_reward"),
        "the checkpoint holds what inference needs", "whether FSDP passes weights in another way",
        ("save_directory", "state_dict"),
    ),
    Internal(
        f"{POLICY}._load_as_safetensor", ("policies/split_checkpoint", "rewards/chunk_reward/modeling_chunk_reward"),
        "weights load strictly, and the training state with them", "that `from_pretrained` calls it",
        ("model", "model_file", "map_location", "strict"),
    ),
    Internal(
        f"{POLICY}.push_model_to_hub", ("policies/split_checkpoint",),
        "uploads contain no local paths", "which files it uploads, and what it asks of the configuration",
        ("cfg",), ("generate_model_card", "cfg.save_pretrained"),
    ),
    Internal(
        f"{POLICY}.generate_model_card", ("policies/split_checkpoint",),
        "the card is this package's", "its arguments", ("dataset_repo_id", "model_type", "cfg", "dataset_meta"),
    ),
    Internal(
        f"{POLICY}.wrap_with_peft", ("policies/chunk_policy",),
        "refused by name", "whether it is the one entry to PEFT", ("peft_cli_overrides",),
    ),
    Internal(
        "lerobot.rewards.pretrained.PreTrainedRewardModel.push_model_to_hub",
        ("rewards/chunk_reward/modeling_chunk_reward",),
        "uploads contain no local paths", "whether it takes what training passes", ("cfg",),
    ),
    Internal(
        "lerobot.policies.factory.make_policy", ("policies/chunk_policy", "policies/inference_config"),
        "a policy learns from its arguments whether it is trained", "attributes set on configurations",
        ("cfg", "ds_meta"),
        ('kwargs["dataset_stats"]', 'kwargs["dataset_meta"]', "cfg._runtime_dataset_meta", "cfg.action_feature_names"),
    ),
    Internal(
        "lerobot.policies.factory.get_policy_class", ("policies/loaded_policy", "policies/difftori/base_policy"),
        "the class of a checkpoint's type", "its module", ("name",),
    ),
    Internal(
        "lerobot.policies.factory._get_policy_cls_from_policy_name", ("policy_types",),
        "finds a policy's class by the names of modules", "the naming rule", ("name",), ("configuration_", "modeling_"),
    ),
    Internal(
        "lerobot.policies.factory._make_processors_from_policy_config", ("policy_types",),
        "finds a policy's processors by the names of modules", "the naming rule", mentions=("processor_",),
    ),
    Internal(
        "lerobot.policies.factory.make_pre_post_processors", ("policies/source/processors",),
        "a teacher's saved pipelines", "its module and overrides", ("policy_cfg", "pretrained_path"),
    ),
    Internal(
        "lerobot.utils.import_utils.register_third_party_plugins", ("plugin",),
        "discovers this package", "the prefix of distributions", mentions=("lerobot_policy_",),
    ),
    Internal(
        "lerobot.processor.factory.make_default_policy_processor_steps", ("policies/dp3/processor_dp3",),
        "LeRobot's own steps of a pipeline", "names of steps",
        ("config", "dataset_stats"), ("rename_observations", "add_batch_dim", "to_device", "normalize", "unnormalize"),
    ),
    Internal(
        "lerobot.processor.factory.make_policy_processor_pipelines", ("policies/dp3/processor_dp3",),
        "builds both pipelines", "its arguments", ("input_steps", "output_steps"),
    ),
    Internal(
        "lerobot.processor.ProcessorStepRegistry", ("policies/pipelines",),
        "pipelines may only name registered steps", "names of LeRobot's safe steps", mentions=("def list", "def get"),
    ),
    Internal(
        "lerobot.lerobot_types.TransitionKey", ("export/graph", "policies/range_watch", "processors/observation_step"),
        "keys of what a step gets", "its module, renamed once already",
    ),
    Internal(
        "lerobot.lerobot_types.EnvTransition", ("processors/observation_step",),
        "type of what a step gets", "its module, renamed once already",
    ),
    Internal(
        "lerobot.utils.feature_utils.dataset_to_policy_features",
        ("measure/observations", "processors/sizes", "rewards/chunk_reward/modeling_chunk_reward"),
        "shapes of a dataset's features", "its module, and which columns it returns", ("features",),
    ),
    Internal(
        f"{DIFFUSION}.DiffusionConditionalUnet1d", ("nets/temporal_unet",),
        "the U-Net", "names of its modules, and the order of its computation",
        ("config", "global_cond_dim"), ("down_modules", "mid_modules", "up_modules", "diffusion_step_encoder"),
    ),
    Internal(
        f"{DIFFUSION}.DiffusionConditionalResidualBlock1d", ("nets/temporal_unet",),
        "its FiLM layer is cached, and dropout added", "names of its modules", mentions=("cond_encoder", "self.conv1"),
    ),
    Internal(
        f"{DIFFUSION}.DiffusionSinusoidalPosEmb", ("nets/mixer",),
        "embeds timesteps", "its frequencies, which trained mixers know", ("dim",),
    ),
    Internal(
        f"{DIFFUSION}.DiffusionRgbEncoder", ("nets/observation_encoder", "policies/source/lerobot_diffusion"),
        "the image encoder", "its configuration's fields, and the size of its output",
        ("config",), ("feature_dim",),
    ),
    Internal(
        f"{DIFFUSION}.DiffusionModel", ("policies/source/lerobot_diffusion",),
        "LeRobot's `diffusion` as a teacher", "names of its weights", ("config",), ("unet", "rgb_encoder"),
    ),
    Internal(
        f"{DIFFUSION}.DiffusionModel._prepare_global_conditioning", ("policies/source/lerobot_diffusion",),
        "encodes a teacher's observations", "shape of its result", ("batch",),
    ),
    Internal(
        "lerobot.policies.diffusion.configuration_diffusion.DiffusionConfig", ("policies/source/lerobot_diffusion",),
        "LeRobot's `diffusion` as a teacher", "new fields that change the network",
        ("prediction_type", "compile_model", "pretrained_backbone_weights"),
    ),
    # ---- training ----------------------------------------------------------------------------------------
    Internal(
        "lerobot.scripts.lerobot_train.update_policy", ("optim", "policies/chunk_policy", "policies/guards"),
        "one loss, one optimizer, and `update()` after each step", "accumulation, clipping, sample weights",
        ("policy", "optimizer"), ('"update"', 'reduction="none"', "clip_grad_norm_"),
    ),
    Internal(
        "lerobot.scripts.lerobot_train", ("envs/vector", "measure/preloaded"),
        "imported once for processes that need it", "its name", mentions=("register_third_party_plugins",),
    ),
    Internal(
        "lerobot.configs.train.TrainPipelineConfig",
        ("cards/training_card", "cards/privacy", "measure/parsers", "measure/reward_error"),
        "a run's settings, published without the machine's", "new fields that describe the machine",
        ("output_dir", "job_name", "wandb", "job", "resume"),
    ),
    Internal(
        "lerobot.configs.eval.EvalPipelineConfig", ("measure/parsers",),
        "help texts are read once for processes that need them", "its name", ("env", "policy"),
    ),
    Internal(
        "lerobot.configs.train.TRAIN_CONFIG_NAME", ("measure/comparison_run", "measure/reward_error"),
        "file name of a run's settings", "the name",
    ),
    # ---- datasets ----------------------------------------------------------------------------------------
    Internal(
        "lerobot.datasets.dataset_reader.DatasetReader", ("datasets/cached",),
        "time windows of a dataset", "`delta_indices`, and what an item contains", mentions=("self.delta_indices",),
    ),
    Internal(
        "lerobot.datasets.dataset_reader.DatasetReader.get_item", ("datasets/cached",),
        "the cached reader returns the same", "keys and types of an item", ("idx",), ('"task"', "image_transforms"),
    ),
    Internal(
        "lerobot.datasets.lerobot_dataset.LeRobotDataset.hf_dataset", ("datasets/cached",),
        "the table of all columns", "whether it stays loaded",
    ),
    Internal(
        "lerobot.datasets.lerobot_dataset.LeRobotDataset.depth_output_unit", ("datasets/cached",),
        "unit of depth images", "where depth is converted",
    ),
    Internal(
        "lerobot.datasets.depth_utils.MM_PER_METRE", ("datasets/cached",), "unit of depth images", "the factor",
    ),
    Internal("lerobot.configs.video.DEPTH_METER_UNIT", ("datasets/cached",), "unit of depth images", "the name"),
    Internal(
        "lerobot.configs.video.infer_depth_unit", ("cli/convert", "datasets/convert/plan"),
        "unit of depth images by their type", "types and units",
    ),
    Internal(
        "lerobot.configs.video.rgb_encoder_defaults", ("datasets/convert/assemble", "datasets/convert/blocks"),
        "how videos are encoded", "codec and quality",
    ),
    Internal(
        "lerobot.datasets.dataset_metadata.LeRobotDatasetMetadata._save_episode_metadata",
        ("datasets/convert/assemble",),
        "one entry an episode, without rewriting info.json", "keys of an entry", ("episode_dict",),
    ),
    Internal(
        "lerobot.datasets.compute_stats.aggregate_stats", ("datasets/convert/assemble",),
        "statistics of all episodes", "which statistics there are", ("stats_list",),
    ),
    Internal(
        "lerobot.datasets.compute_stats.get_feature_stats", ("datasets/convert/blocks", "datasets/convert/columns"),
        "statistics of an episode", "which statistics there are", ("array", "axis", "keepdims"),
    ),
    Internal(
        "lerobot.datasets.compute_stats.sample_indices", ("datasets/convert/columns",),
        "frames whose images are described", "the sampling rule", ("data_len",),
    ),
    Internal(
        "lerobot.datasets.compute_stats.auto_downsample_height_width", ("datasets/convert/columns",),
        "size at which images are described", "the sampling rule", ("img",),
    ),
    Internal(
        "lerobot.datasets.io_utils.write_info", ("datasets/convert/assemble",), "writes info.json", "its arguments",
        ("info", "local_dir"),
    ),
    Internal(
        "lerobot.datasets.io_utils.write_stats", ("datasets/convert/assemble",), "writes stats.json", "its arguments",
        ("stats", "local_dir"),
    ),
    Internal(
        "lerobot.datasets.io_utils.load_info", ("datasets/damage",), "reads info.json", "its checks", ("local_dir",),
    ),
    Internal(
        "lerobot.datasets.feature_utils.get_hf_features_from_features",
        ("datasets/convert/blocks", "datasets/damage"),
        "the table's schema", "types of columns", ("features",),
    ),
    Internal(
        "lerobot.datasets.video_utils.encode_video_frames", ("datasets/convert/blocks",), "encodes videos",
        "its arguments", ("imgs_dir", "video_path", "fps"),
    ),
    Internal(
        "lerobot.datasets.video_utils.decode_video_frames", ("datasets/convert/verify",), "compares videos",
        "its arguments", ("video_path", "timestamps", "tolerance_s"),
    ),
    Internal(
        "lerobot.datasets.utils.create_lerobot_dataset_card",
        ("datasets/convert/assemble", "datasets/edit", "datasets/write"),
        "a dataset's card", "its arguments", ("tags", "dataset_info"),
    ),
    Internal("lerobot.datasets.utils.DEFAULT_CHUNK_SIZE", ("datasets/convert/plan",), "files a folder", "the number"),
    Internal("lerobot.datasets.utils.DEFAULT_DATA_PATH", ("datasets/convert/verify",), "names of files", "the form"),
    Internal("lerobot.datasets.utils.DEFAULT_VIDEO_PATH", ("datasets/convert/verify",), "names of files", "the form"),
    Internal("lerobot.datasets.utils.CompatibilityError", ("datasets/damage",), "old datasets", "when it is raised"),
    Internal(
        "lerobot.datasets.factory.resolve_delta_timestamps", ("measure/observations",),
        "time windows of a policy", "its arguments", ("cfg", "ds_meta"),
    ),
    Internal(
        "lerobot.datasets.factory.make_train_eval_datasets", ("measure/reward_error",),
        "the episodes that training held out", "the rule of the split", ("cfg",),
    ),
    Internal(
        "lerobot.utils.utils.SuppressProgressBars", ("datasets/convert/run", "datasets/write"),
        "one progress bar at a time", "its module",
    ),
    Internal("lerobot.utils.utils.flatten_dict", ("datasets/convert/assemble",), "names of statistics", "separator"),
    # ---- environments and evaluation ---------------------------------------------------------------------
    Internal(
        "lerobot.envs.utils._LazyAsyncVectorEnv", ("envs/vector",),
        "members start at the first reset, after the fork server has imported", "`_ensure`", mentions=("def _ensure",),
    ),
    Internal(
        "lerobot.envs.utils.freeze_after_episode_end", ("envs/vector",),
        "finished members rest", "how they thaw",
    ),
    Internal("lerobot.envs.utils.NEW_ROLLOUT_OPTION", ("envs/vector",), "finished members thaw", "how they thaw"),
    Internal(
        "lerobot.envs.utils.preprocess_observation", ("policies/loaded_policy",),
        "an environment's observation as `lerobot-eval` has it", "which keys pass through",
    ),
    Internal(
        "lerobot.envs.utils.env_to_policy_features", ("processors/sizes",),
        "shapes of an environment's features", "its module", ("env_cfg",),
    ),
    Internal(
        "lerobot.scripts.lerobot_eval.rollout", ("datasets/rollouts",),
        "records a policy's episodes", "its arguments, and what it returns",
        ("env", "policy", "seeds", "return_observations"), ('"observation"', '"reward"', '"success"', '"done"'),
    ),
    Internal(
        "lerobot.scripts.lerobot_eval.eval_policy", ("measure/comparison_run",),
        "results of `lerobot-eval`", "names in eval_info.json", mentions=('"max_reward"', '"success"'),
    ),
    Internal("lerobot.utils.io_utils.write_video", ("measure/video",), "writes videos", "its arguments"),
    Internal(
        "lerobot.utils.import_utils", ("quiet",), "a message that is shortened", "the message",
        mentions=("is installed but cannot be loaded",),
    ),
)  # fmt: skip
"""All internals in use, grouped by what they are for."""
