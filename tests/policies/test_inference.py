"""How a trained policy may run: every policy type at every precision, from the same checkpoint."""

import hashlib
from pathlib import Path

import pytest
import torch
from saved_checkpoints import SAVED
from training_options import CASES, TYPE_OPTIONS

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.inference_config import PRECISIONS, InferenceConfig
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec


def actions(checkpoint: Path, **options: str) -> tuple[torch.Tensor, object]:
    loaded = load_from_spec(PolicySpec("x", str(checkpoint), options))
    config = loaded.config
    torch.manual_seed(0)  # some samplers draw noise on the way
    random = torch.Generator().manual_seed(0)
    shapes = {key: (2, config.n_obs_steps, *feature.shape) for key, feature in config.input_features.items()}
    batch = {key: torch.rand(shape, generator=random) for key, shape in shapes.items()}
    noise = torch.randn(2, config.horizon, config.action_feature.shape[0], generator=random)
    with torch.inference_mode():
        return loaded.policy.predict_action_chunk(batch, noise=noise), loaded.policy


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(("kind", "backbone"), CASES)
def test_precisions(trained, kind, backbone, tmp_path):
    checkpoint = trained(kind, backbone)
    before = content(checkpoint)
    exact, policy = actions(checkpoint)
    assert isinstance(policy.config, InferenceConfig)
    for precision, allowed in (("bfloat16", 0.3), ("int8", 1.0)):
        found, policy = actions(checkpoint, inference_precision=precision)
        # Networks of ten training steps, whose samplers may amplify; how close one evaluation is, tests of nets say.
        assert 0 < (found - exact).abs().max() < allowed
        with pytest.raises(InputError, match=f"{precision}: this policy cannot be saved"):
            policy.save_pretrained(tmp_path / precision)
        assert not list(tmp_path.rglob("*.safetensors"))
    assert content(checkpoint) == before


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_unknown_precision(trained, kind):
    with pytest.raises(InputError, match=rf"inference_precision: 'int4'.*{PRECISIONS[-1]}"):
        actions(trained(kind), inference_precision="int4")


def test_int8_is_refused_on_the_device_of_the_configuration(trained):
    policy = load_from_spec(PolicySpec("x", str(trained("dp3")))).policy
    policy.config.inference_precision, policy.config.device = "int8", "cuda"
    with pytest.raises(InputError, match="inference_precision=int8: runs only on a CPU, not on cuda"):
        policy.prepare_for_inference()


def test_int8_is_not_compiled(trained):
    with pytest.raises(InputError, match=r"compile_model=true.*inference_precision=int8"):
        actions(trained("dp3"), inference_precision="int8", compile_model="true")


@pytest.mark.slow
def test_compiled():
    checkpoint = SAVED / "sdm"
    exact, _ = actions(checkpoint)
    found, policy = actions(checkpoint, compile_model="true", compile_mode="default")
    torch.testing.assert_close(found, exact, atol=1e-5, rtol=1e-5)
    assert torch._dynamo.utils.counters["inductor"]
    assert not [name for name in policy.state_dict() if "_orig_mod" in name]
