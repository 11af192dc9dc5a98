"""Features by index: encoded once, the right ones, on their own device and in their own dtype."""

import torch

from lerobot_sdm.nets.feature_memory import FeatureMemory


def test_each_frame_is_encoded_once_and_alone():
    memory, encoded = FeatureMemory(frames=6, cond_dim=2), []
    true = torch.arange(12, dtype=torch.float64).reshape(6, 2)

    def recall(*index: int) -> torch.Tensor:
        def encode(row: int) -> torch.Tensor:
            encoded.append(index[row])
            return true[index[row]].unsqueeze(0)

        return memory.recall(torch.tensor(index), encode)

    for index in ((0, 1), (1, 4), (4, 0), (4, 4), (5, 2), (1, 5)):
        torch.testing.assert_close(recall(*index), true[list(index)], atol=0, rtol=0)
    assert encoded == [0, 0, 1, 4, 5, 2]  # the very first one shows what a condition is like
