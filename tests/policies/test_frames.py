"""Each frame is encoded once, in every policy type, and plans are what they would be otherwise."""

import pytest
import torch
from training_options import CASES

from lerobot_sdm.nets.frames import FrameEncoder, FrameMemory
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec


class Doubling(FrameEncoder):
    """Features are twice the state; keeps what it was asked for."""

    n_obs_steps = 2

    def __init__(self):
        super().__init__()
        self.asked: list[torch.Tensor] = []

    def encode_frames(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.asked.append(batch["state"])
        return 2 * batch["state"]


def frame(value: float) -> dict[str, torch.Tensor]:
    return {"state": torch.tensor([[value, 0.0], [-value, 1.0]])}


def test_memory_encodes_what_is_new_and_keeps_what_it_needs():
    model, memory = Doubling(), FrameMemory()
    first, second, third, fourth = (frame(float(value)) for value in range(1, 5))

    def conditions(*frames: dict[str, torch.Tensor]) -> list[list[float]]:
        return memory.condition(model, frames, "state").tolist()

    assert conditions(first, first) == [[2, 0, 2, 0], [-2, 2, -2, 2]]
    assert conditions(first, second) == [[2, 0, 4, 0], [-2, 2, -4, 2]]
    assert conditions(third, fourth) == [[6, 0, 8, 0], [-6, 2, -8, 2]]
    # The repeated first frame once, then the second alone, then two together: (frames * B, 1, F) each time.
    assert [tuple(asked.shape) for asked in model.asked] == [(2, 1, 2), (2, 1, 2), (4, 1, 2)]
    # Forgotten frames are encoded again, and equal ones are not the same one.
    assert conditions(first, frame(1.0)) == [[2, 0, 2, 0], [-2, 2, -2, 2]]
    assert tuple(model.asked[-1].shape) == (4, 1, 2)


@pytest.mark.parametrize(("kind", "backbone"), CASES)
def test_every_policy_type(trained, kind, backbone, monkeypatch):
    policy = load_from_spec(PolicySpec("x", str(trained(kind, backbone)), {"n_action_steps": "1"})).policy
    config = policy.config
    random = torch.Generator().manual_seed(0)
    shapes = {key: (2, *feature.shape) for key, feature in config.input_features.items()}
    observations = [{k: torch.rand(shape, generator=random) for k, shape in shapes.items()} for _ in range(4)]
    noise = torch.randn(2, config.horizon, config.action_feature.shape[0], generator=random)

    pairs = zip([observations[0], *observations[:-1]], observations, strict=True)
    stacks = [{k: torch.stack([old[k], new[k]], dim=1) for k in shapes} for old, new in pairs]
    torch.manual_seed(0)  # some samplers draw noise on the way
    expected = [policy.predict_action_chunk(stack, noise=noise)[:, 0] for stack in stacks]

    encode, frames = policy.inference_model.encode_frames, []
    monkeypatch.setattr(
        policy.inference_model,
        "encode_frames",
        lambda batch: frames.append(len(batch["observation.state"])) or encode(batch),
    )
    policy.reset()
    torch.manual_seed(0)
    for observation, action in zip(observations, expected, strict=True):
        # Encoders round by batch size, and the samplers of networks of ten training steps amplify it.
        torch.testing.assert_close(policy.select_action(observation, noise=noise), action, atol=1e-4, rtol=1e-4)
    assert frames == [2, 2, 2, 2]  # one frame of two environments in each control step
