"""DiffTORI: which bases it takes, what learns, what can be changed at evaluation, and refusals."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.policies.factory import get_policy_class, make_policy, make_policy_config, make_pre_post_processors
from lerobot.utils.feature_utils import dataset_to_policy_features
from lerobot_commands import REPO_ID, lerobot_resume, lerobot_train
from safetensors.torch import load_file, save_file

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.policies.difftori.configuration_difftori import DiffTORIConfig
from lerobot_sdm.policies.difftori.modeling_difftori import DiffTORIPolicy

BASES = {
    "act": {"dim_model": 16, "n_heads": 2, "dim_feedforward": 16, "n_encoder_layers": 1, "chunk_size": 6},
    "diffusion": {"down_dims": (8, 16), "n_groups": 8, "horizon": 8, "noise_scheduler_type": "DDIM"},
}
"""LeRobot's own types of base, with settings for a small one."""


@pytest.fixture
def base(trained) -> Path:
    return trained("dp3")


@pytest.fixture
def build(dataset, base):
    """A policy in training, as `lerobot-train` builds it."""

    def make(**settings) -> DiffTORIPolicy:
        settings = {"base_path": str(base), "device": "cpu", "push_to_hub": False, "n_iterations": 5, **settings}
        return make_policy(DiffTORIConfig(**settings), ds_meta=LeRobotDatasetMetadata(REPO_ID, root=dataset)).train()

    return make


@pytest.fixture(scope="module")
def keypoints(tmp_path_factory) -> LeRobotDatasetMetadata:
    """Frames of state (9,) and keypoints (6,), actions (4,): all but the cloud as in the other dataset."""
    root = tmp_path_factory.mktemp("keypoints") / "data"
    shapes = {"observation.state": (9,), "observation.environment_state": (6,), "action": (4,)}
    features = {key: {"dtype": "float32", "shape": shape, "names": None} for key, shape in shapes.items()}
    dataset = LeRobotDataset.create("local/keypoints", fps=10, features=features, root=root, use_videos=False)
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = {key: rng.uniform(-1, 1, shape).astype(np.float32) for key, shape in shapes.items()}
        dataset.add_frame({**values, "task": "none"})
    dataset.save_episode()
    dataset.finalize()
    return LeRobotDatasetMetadata("local/keypoints", root=root)


def save_base(kind: str, metadata: LeRobotDatasetMetadata, folder: Path) -> Path:
    """An untrained policy of LeRobot's with its processors."""
    config = make_policy_config(kind, device="cpu", push_to_hub=False, n_action_steps=4, **BASES[kind])
    features = dataset_to_policy_features(metadata.features)
    config.output_features = {"action": features.pop("action")}
    config.input_features = features
    get_policy_class(kind)(config).save_pretrained(folder)
    for pipeline in make_pre_post_processors(config, dataset_stats=metadata.stats):
        pipeline.save_pretrained(folder)
    return folder


def batch(size: int = 4, frames: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "observation.state": torch.rand(size, frames, 9, generator=generator),
        "observation.point_cloud": torch.rand(size, frames, 12, 3, generator=generator),
        "action": torch.rand(size, 4, 4, generator=generator),
    }


def noise(size: int = 4) -> torch.Tensor:
    return torch.randn(size, 8, 4, generator=torch.Generator().manual_seed(1))


def of_base(folder: Path, size: int = 4) -> torch.Tensor:
    """What the base itself would do."""
    policy = get_policy_class(PreTrainedConfig.from_pretrained(folder).type).from_pretrained(folder)
    return policy.predict_action_chunk(batch(size), noise=noise(size))


def test_without_iterations_it_is_its_base(trained, base):
    folder = trained("difftori")
    config = PreTrainedConfig.from_pretrained(folder, cli_overrides=["--n_iterations=0"])
    policy = DiffTORIPolicy.from_pretrained(folder, config=config)
    with torch.inference_mode():
        torch.testing.assert_close(policy.predict_action_chunk(batch(), noise=noise()), of_base(base))
        # Nor does it draw numbers that its base does not draw, so later chunks are the same, too.
        before = torch.get_rng_state()
        policy.predict_action_chunk(batch(), noise=noise())
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["edm", "sdm", "consistency"])
def test_any_policy_of_this_package_can_be_the_base(build, trained, kind):
    policy = build(base_path=str(trained(kind)))
    # What the base was made from is no longer needed, and where it lay is nobody's business.
    assert not [key for key in policy.config.base if key.endswith("_path")]
    loss, _ = policy.forward(batch())
    loss.backward()
    with torch.no_grad():
        found = policy.model.propose(batch(), noise())
    # Sums round differently from one call to the next, and the sampler of a hardly trained EDM multiplies that.
    torch.testing.assert_close(found, of_base(trained(kind)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", BASES)
def test_lerobots_policies_can_be_the_base(kind, keypoints, tmp_path):
    """Keypoints in the place of clouds; ACT sees a single frame, without a dimension of time, and takes no noise."""
    folder = save_base(kind, keypoints, tmp_path / kind)
    settings = {"base_path": str(folder), "device": "cpu", "push_to_hub": False, "n_iterations": 3}
    if kind == "act":
        with pytest.raises(InputError, match=r"clip_range=1\.0.*MEAN_STD"):
            DiffTORIConfig(**settings)
        settings["clip_range"] = None
    policy = make_policy(DiffTORIConfig(**settings), ds_meta=keypoints).train()
    config = policy.config
    assert (config.chunk_size, config.n_action_steps) == (4, 4)
    frames = config.n_obs_steps
    seen = {"observation.state": torch.rand(3, frames, 9), "observation.environment_state": torch.rand(3, frames, 6)}
    loss, _ = policy.forward({**seen, "action": torch.rand(3, 4, 4)})
    loss.backward()
    start = torch.randn(3, 8, 4)
    reference = get_policy_class(kind).from_pretrained(folder)
    if kind == "act":
        expected = reference.predict_action_chunk({key: value[:, -1] for key, value in seen.items()})[:, :4]
    else:
        expected = reference.predict_action_chunk(seen, noise=start)
    torch.testing.assert_close(policy.model.propose(seen, start), expected)
    policy.eval().reset()
    with torch.inference_mode():
        action = policy.select_action({key: value[:, 0] for key, value in seen.items()})
    assert action.shape == (3, 4)


def test_a_base_saved_while_compiled_is_read(keypoints, tmp_path):
    folder = save_base("diffusion", keypoints, tmp_path / "diffusion")
    weights = load_file(folder / "model.safetensors")
    renamed = {key.replace("unet.", "unet._orig_mod."): value for key, value in weights.items()}
    assert renamed.keys() != weights.keys()
    save_file(renamed, folder / "model.safetensors")
    policy = make_policy(DiffTORIConfig(base_path=str(folder), device="cpu"), ds_meta=keypoints)
    assert all(torch.equal(policy.model.base.state_dict()[key], value) for key, value in weights.items())


def test_encoder_posterior_and_reward_learn_and_the_base_does_not(build):
    policy = build()
    loss, parts = policy.forward(batch())
    assert loss.item() == pytest.approx(3000 * parts["action_loss"] + 10 * parts["kl_loss"], rel=1e-5)
    loss.backward()
    model = policy.model
    for learning in (model.obs_encoder, model.posterior, model.reward.further[1]):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learning.parameters())
    assert all(p.grad is None and not p.requires_grad for p in model.base.parameters())
    assert not model.base.training
    assert model.obs_encoder.training
    own = {id(p) for group in policy.get_optim_params() for p in group["params"]}
    assert own
    assert own.isdisjoint(id(p) for p in model.base.parameters())


def test_training_makes_chunks_better(build):
    """A few steps on one batch, with steps large enough to reach its actions."""
    policy = build(n_iterations=20, step_size=1e-3)
    optimizer = torch.optim.Adam(policy.get_optim_params(), lr=1e-3)
    losses = []
    for _ in range(40):
        loss, parts = policy.forward(batch())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        policy.update()
        losses.append(parts["action_loss"])
    assert losses[-1] < 0.5 * losses[0]


def test_padding_may_be_left_out_of_the_loss(build):
    pad = torch.zeros(4, 4, dtype=torch.bool)
    pad[:, 2:] = True
    wrong = batch()
    wrong["action"][:, 2:] += 100
    losses = [
        build(do_mask_loss_for_padding=True).forward({**content, "action_is_pad": pad})[1]["start_loss"]
        for content in (batch(), wrong)
    ]
    assert losses[0] == pytest.approx(losses[1])


def test_noise_on_the_start_is_repeatable(build):
    torch.manual_seed(1)  # In 64 numbers noise may also happen to reduce an error.
    policy = build(start_noise_std=0.3)
    first, again = (policy.forward(batch())[1] for _ in range(2))
    assert first == again
    assert first["start_loss"] > build().forward(batch())[1]["start_loss"]


def test_iterations_may_be_changed_at_evaluation(trained):
    folder = trained("difftori")
    for given, expected in ((), 8), (("--n_iterations=30",), 30):
        config = PreTrainedConfig.from_pretrained(folder, cli_overrides=list(given))
        policy = DiffTORIPolicy.from_pretrained(folder, config=config)
        with count_calls(policy.model.reward) as counter, torch.inference_mode():
            policy.predict_action_chunk(batch())
        assert counter.calls == expected


def test_the_latents_spread_may_be_changed_at_evaluation(trained):
    folder = trained("difftori")
    config = PreTrainedConfig.from_pretrained(folder, cli_overrides=["--latent_std=0"])
    policy = DiffTORIPolicy.from_pretrained(folder, config=config)
    chunks = [policy.predict_action_chunk(batch(), noise=noise()) for _ in range(2)]
    assert torch.equal(*chunks)
    sampling = DiffTORIPolicy.from_pretrained(folder)
    assert not torch.equal(*(sampling.predict_action_chunk(batch(), noise=noise()) for _ in range(2)))


def test_coupled_copies_do_not_depend_on_other_observations(trained):
    """As released, an observation is optimized together with copies of itself; latents from a fixed seed."""
    folder = trained("difftori")
    options = ["--coupling=batch", "--coupled_copies=6", "--n_iterations=20"]
    policy = DiffTORIPolicy.from_pretrained(
        folder, config=PreTrainedConfig.from_pretrained(folder, cli_overrides=options)
    )
    alone = {key: value[:1] for key, value in batch().items()}
    with count_calls(policy.model.reward) as counter, torch.inference_mode():
        torch.manual_seed(3)
        together = policy.predict_action_chunk(batch(), noise=noise())
        torch.manual_seed(3)
        single = policy.predict_action_chunk(alone, noise=noise()[:1])
    assert counter.calls == 40
    # Sums over other batch sizes round differently, and twenty iterations add that up.
    torch.testing.assert_close(single, together[:1], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(together, of_base(trained("dp3")), atol=5e-3)


def test_released_settings_train(build):
    policy = build(coupling="batch", damping=1.28, n_iterations=100, n_recorded_iterations=5)
    loss, _ = policy.forward(batch())
    loss.backward()
    assert loss.isfinite()
    assert policy.config.get_scheduler_preset() is None
    assert policy.config.get_optimizer_preset().weight_decay == 0


def test_without_a_base_it_begins_at_zero(dataset, tmp_path, monkeypatch):
    flags = ("--policy.type=difftori", "--policy.chunk_size=4", "--policy.n_iterations=4", "--policy.n_obs_steps=1")
    folder = lerobot_train(monkeypatch, dataset, tmp_path / "run", *flags, steps=3)
    policy = DiffTORIPolicy.from_pretrained(folder)
    assert policy.model.base is None
    assert torch.equal(policy.model.propose(batch(frames=1)), torch.zeros(4, 4, 4))
    pre, post = make_pre_post_processors(policy.config, pretrained_path=str(folder))
    frame = {"observation.state": torch.rand(9), "observation.point_cloud": torch.rand(12, 3)}
    with torch.inference_mode(), count_calls(policy.denoiser) as counter:
        assert post(policy.select_action(pre(frame))).shape == (1, 4)
    assert counter.calls == 4


def test_going_on_with_another_base_is_refused(dataset, tmp_path, monkeypatch, base):
    moved = tmp_path / "base"
    shutil.copytree(base, moved)
    flags = ("--policy.type=difftori", f"--policy.base_path={moved}", "--policy.n_iterations=2")
    lerobot_train(monkeypatch, dataset, tmp_path / "run", *flags, steps=4, save_freq=2)
    save_file({key: v + 0.1 for key, v in load_file(moved / "model.safetensors").items()}, moved / "model.safetensors")
    half = tmp_path / "run" / "checkpoints" / "000002"
    with pytest.raises(InputError, match="another base"):
        lerobot_resume(monkeypatch, half, tmp_path / "resumed")
    # Its own base is in the checkpoint: where none is, nothing is compared, and nothing is missed.
    shutil.rmtree(moved)
    lerobot_resume(monkeypatch, half, tmp_path / "resumed")


def test_a_base_that_does_not_fit_its_configuration_is_refused(build, base, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(base, damaged)
    weights = load_file(damaged / "model.safetensors")
    missing = sorted(weights)[0]
    del weights[missing]
    save_file(weights, damaged / "model.safetensors")
    with pytest.raises(InputError, match=rf"base_path.*{missing}"):
        build(base_path=str(damaged))


@pytest.mark.parametrize(
    ("wrong", "offender"),
    [
        ({"base_path": "no/such/folder"}, r"base_path=no/such/folder.*neither a folder"),
        ({"n_obs_steps": 3}, "n_obs_steps=3.*has 2"),
        ({"chunk_size": 5}, "chunk_size=5.*executes 4"),
        ({"use_color": True}, "use_color=True.*has False"),
        ({"n_action_steps": 5}, r"n_action_steps=5: must lie in 1 \.\.\. 4"),
        ({"n_points": 13}, "n_points=13.*have only 12"),
        ({"n_iterations": -1}, "n_iterations=-1"),
        ({"n_iterations": 0}, "n_iterations=0.*at least one step"),
        ({"n_recorded_iterations": 0}, "n_recorded_iterations=0"),
        ({"damping": 0.0}, r"damping=0\.0"),
        ({"step_size": 0.0}, r"step_size=0\.0"),
        ({"kl_weight": -1.0}, r"kl_weight=-1\.0"),
        ({"coupling": "batches"}, "coupling: 'batches'.*'batch'"),
        ({"coupled_copies": 0}, "coupled_copies=0"),
    ],
)
def test_contradictions_are_refused_by_name(build, wrong, offender):
    with pytest.raises(InputError, match=offender):
        build(**wrong)


def test_a_base_of_a_type_without_such_chunks_is_refused(trained, tmp_path):
    folder = tmp_path / "tdmpc"
    shutil.copytree(trained("dp3"), folder)
    (folder / "config.json").write_text('{"type": "tdmpc"}')
    with pytest.raises(InputError, match=r"base_path.*'tdmpc'; a base must be of type act, .*dp3"):
        DiffTORIConfig(base_path=str(folder), device="cpu")
    with pytest.raises(InputError, match="'difftori'; a base"):
        DiffTORIConfig(base_path=str(trained("difftori")), device="cpu")


def test_data_without_what_the_base_sees_are_refused(build, keypoints, base):
    with pytest.raises(InputError, match=r"'observation\.point_cloud' is missing in the dataset.*the base at"):
        make_policy(DiffTORIConfig(base_path=str(base), device="cpu"), ds_meta=keypoints)
