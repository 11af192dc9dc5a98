"""`lerobot-train` in two processes, for several sets of options: python train_in_two.py FOLDER, which holds runs.json.

Each process tells its weights: `<run>/rank<N>.safetensors` is the trained policy as that process has it, and the losses
that it has seen itself. Everything is imported once, and each run has two fresh copies of this process.
"""

import json
import sys
import traceback
from pathlib import Path

import torch
from accelerate import debug_launcher
from lerobot.scripts import lerobot_train
from safetensors.torch import save_file

from lerobot_sdm.plugin import register_all
from lerobot_sdm.policies.source import adapters  # noqa: F401 - imported here, once for all runs


def train_and_tell(folder: Path, arguments: list[str]) -> None:
    """One of the two processes of a run."""
    torch.set_num_threads(1)
    seen, losses = {}, []
    update_policy = lerobot_train.update_policy

    def watched(metrics, policy, *rest, accelerator, **named):
        result = update_policy(metrics, policy, *rest, accelerator=accelerator, **named)
        seen.update(policy=accelerator.unwrap_model(policy), rank=accelerator.process_index)
        losses.append(result[0].loss.val)
        return result

    lerobot_train.update_policy = watched
    sys.argv = ["lerobot-train", *arguments]
    lerobot_train.main()
    # Clones: a policy and its parts share what they do not train.
    weights = {key: value.detach().clone().contiguous() for key, value in seen["policy"].state_dict().items()}
    save_file({**weights, "losses": torch.tensor(losses)}, folder / f"rank{seen['rank']}.safetensors")


def main() -> None:
    root = Path(sys.argv[1])
    register_all()
    for name, arguments in json.loads((root / "runs.json").read_text()).items():
        (root / name).mkdir()
        try:
            debug_launcher(train_and_tell, (root / name, arguments), num_processes=2)
        except Exception:
            (root / name / "error.txt").write_text(traceback.format_exc())


if __name__ == "__main__":
    main()
