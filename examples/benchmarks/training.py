"""Samples per second of training dp3 and sdm, against plain loops of the same algorithms.

    python examples/benchmarks/training.py                                   # DP3's network at horizon 4
    python examples/benchmarks/training.py --horizon=16 --down-dims 64 128 256

The plain loops do what a script does that follows the papers: LeRobot's U-Net as it is, one encoder in each of the
three networks, a Python loop for the moving average, losses read back in every step. Both see the same synthetic batch,
so that no reading of data is measured. An sdm step is the mean over a cycle of five iterations in which the fake score
learns five times and the generator once; its warm-up, which learns from samples of the teacher at ten network
evaluations each, is timed apart, with every sample used once (as the plain loop does) and eight times (as the
quickstart does). Students remember what their frozen encoder makes of a frame, so that from the second epoch on, which
is what is timed, they encode nothing; `ours_first_epoch_ms` is before that.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalUnet1d
from torch import Tensor, nn
from torch.nn import functional as F

from lerobot_sdm.diffusion.schedules import add_noise, alphas_cumprod, ddim_timesteps
from lerobot_sdm.nets.ema import warmup_decay
from lerobot_sdm.nets.observation_encoder import ObservationEncoder
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy
from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors
from lerobot_sdm.policies.sdm import GENERATOR_TIMESTEP
from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig
from lerobot_sdm.policies.sdm.modeling_sdm import SDMPolicy

STATE, ACTIONS, POINTS = 24, 26, 512  # Adroit's hammer
CYCLE = 5
DATASET = SimpleNamespace(total_frames=1000)
"""What a policy asks of the data that it is to be trained on."""


class PlainNetwork(nn.Module):
    """Encoder and U-Net of DP3, each module as a paper's code would have it."""

    def __init__(self, config: DP3Config):
        super().__init__()
        self.encoder = ObservationEncoder(config)
        self.unet = DiffusionConditionalUnet1d(config, self.encoder.out_dim * config.n_obs_steps)

    def forward(self, x: Tensor, t: Tensor, batch: dict[str, Tensor]) -> Tensor:
        cloud, state = batch["observation.point_cloud"], batch["observation.state"]
        points = self.encoder.extractor
        shape = points.final_projection(points.mlp(cloud.flatten(0, 1)).amax(dim=-2))
        frames = torch.cat([shape, self.encoder.state_mlp(state.flatten(0, 1))], dim=-1)
        return self.unet(x, t, frames.unflatten(0, state.shape[:2]).flatten(1))


class PlainLoops:
    """Training steps of dp3 and sdm, written down one after the other."""

    def __init__(self, config: DP3Config):
        self.generator = PlainNetwork(config)
        self.fake, self.teacher, self.average = (deepcopy(self.generator) for _ in range(3))
        self.alphas = alphas_cumprod(config.num_train_timesteps, config.beta_schedule)
        self.optimizers = [torch.optim.AdamW(n.parameters(), lr=1e-4) for n in (self.generator, self.fake)]
        self.steps = 0
        for network in (self.teacher, self.average):
            network.requires_grad_(False)

    def dp3(self, batch: dict[str, Tensor]) -> None:
        actions = batch["action"]
        t = torch.randint(len(self.alphas), actions.shape[:1])
        x_t = add_noise(actions, torch.randn_like(actions), self.alphas[t])
        self._descend(0, F.mse_loss(self.generator(x_t, t, batch), actions))
        self._average()

    def warm_up(self, batch: dict[str, Tensor]) -> None:
        """Regression onto the teacher's own samples."""
        noise = torch.randn_like(batch["action"])
        with torch.no_grad():
            x, times = noise, ddim_timesteps(len(self.alphas), 10)
            for t, following in zip(times, [*times[1:], None], strict=True):
                clean = self.teacher(x, torch.full(x.shape[:1], t), batch)
                eps = (x - self.alphas[t].sqrt() * clean) / (1 - self.alphas[t]).sqrt()
                after = torch.tensor(1.0) if following is None else self.alphas[following]
                x = after.sqrt() * clean.clamp(-1, 1) + (1 - after).sqrt() * eps
        t = torch.full(noise.shape[:1], GENERATOR_TIMESTEP)
        self._descend(0, F.mse_loss(self.generator(noise, t, batch), x))
        self._average()

    def matching(self, batch: dict[str, Tensor]) -> None:
        """One iteration: the fake score learns; every fifth time the generator does, too."""
        noise = torch.randn_like(batch["action"])
        actions = self.generator(noise, torch.full(noise.shape[:1], GENERATOR_TIMESTEP), batch)
        if self.steps % CYCLE == 0:
            with torch.no_grad():
                t = torch.randint(len(self.alphas), noise.shape[:1])
                x_t = add_noise(actions, torch.randn_like(actions), self.alphas[t])
                real, fake = self.teacher(x_t, t, batch), self.fake(x_t, t, batch)
                gradient = (fake - real) / (actions - real).abs().mean(dim=(1, 2), keepdim=True)
            self._descend(0, 0.5 * F.mse_loss(actions, (actions - gradient).detach()))
            self._average()
        t = torch.randint(len(self.alphas), noise.shape[:1])
        x_t = add_noise(actions.detach(), torch.randn_like(actions), self.alphas[t])
        self._descend(1, F.mse_loss(self.fake(x_t, t, batch), actions.detach()))
        self.steps += 1

    def _descend(self, index: int, loss: Tensor) -> None:
        optimizer = self.optimizers[index]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()
        loss.item()

    def _average(self) -> None:
        decay = warmup_decay(self.steps)
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                kept.mul_(decay).add_(new, alpha=1 - decay)


def step_of(policy: Any) -> Callable[[dict[str, Tensor]], None]:
    """A training step as LeRobot's loop does it."""
    config = policy.config
    optimizer = config.get_optimizer_preset().build(policy.get_optim_params())
    scheduler = config.get_scheduler_preset().build(optimizer, 10_000)
    policy.train()

    def step(batch: dict[str, Tensor]) -> None:
        loss, _ = policy.forward(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        policy.update()
        loss.item()

    return step


def dp3_config(horizon: int, device: str, points: int = POINTS, **network: Any) -> DP3Config:
    """`network`: fields of the network, such as `down_dims`."""
    return DP3Config(
        device=device,
        horizon=horizon,
        n_action_steps=horizon // 2,
        push_to_hub=False,
        **network,
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (STATE,)),
            "observation.point_cloud": PolicyFeature(FeatureType.STATE, (points, 3)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (ACTIONS,))},
    )


def training_batch(size: int, horizon: int, device: str, points: int = POINTS) -> dict[str, Tensor]:
    """Random values in the shapes of a preprocessed batch."""
    return {
        "observation.state": torch.rand(size, 2, STATE, device=device),
        "observation.point_cloud": torch.rand(size, 2, points, 3, device=device),
        "action": torch.rand(size, horizon, ACTIONS, device=device) * 2 - 1,
        "index": torch.arange(size, device=device),
    }


def sdm_policy(teacher: Path, device: str, **settings: Any) -> SDMPolicy:
    config = SDMConfig(recipe="dmd", device=device, push_to_hub=False, teacher_path=str(teacher), **settings)
    config.input_features = dict(config.network_config.input_features)
    config.output_features = dict(config.network_config.output_features)
    return SDMPolicy(config, dataset_meta=DATASET)


def milliseconds(step: Callable[[dict[str, Tensor]], None], batch: dict[str, Tensor], repeats: int, each: int) -> float:
    """Median time of a step; `each` steps are timed together."""
    times = []
    for turn in range(repeats + 1):
        start = time.perf_counter()
        for _ in range(each):
            step(batch)
        if batch["action"].is_cuda:
            torch.cuda.synchronize()
        if turn:
            times.append((time.perf_counter() - start) / each)
    return 1000 * float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--horizon", type=int, default=4)
    parser.add_argument("--down-dims", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", default=["dp3", "sdm", "warm-up"], choices=["dp3", "sdm", "warm-up"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device, size = options.device, options.batch_size
    config = dp3_config(options.horizon, device, down_dims=tuple(options.down_dims))
    batch = training_batch(size, options.horizon, device)
    print(f"{platform.machine()}, torch {torch.__version__}, {device}, {options.threads} thread(s), batch {size}")
    print(f"horizon {options.horizon}, down_dims {options.down_dims}; milliseconds a step, medians")
    rows = []
    with torch.device(device), tempfile.TemporaryDirectory() as scratch:
        teacher = Path(scratch) / "teacher"
        teacher.mkdir()
        DP3Policy(config).save_pretrained(teacher)
        for pipeline in make_dp3_pre_post_processors(config):
            pipeline.save_pretrained(teacher)
        for name in options.only:
            plain = PlainLoops(config)
            steps = {"dp3": plain.dp3, "sdm": plain.matching, "warm-up": plain.warm_up}
            each = {"dp3": 1, "sdm": CYCLE, "warm-up": 1}[name]
            row = {"what": name, "plain_ms": milliseconds(steps[name], batch, options.repeats, each)}
            del plain, steps
            if name == "dp3":
                row["ours_ms"] = milliseconds(
                    step_of(DP3Policy(config, dataset_meta=DATASET)), batch, options.repeats, 1
                )
            else:
                warm = 0 if name == "sdm" else 10**6
                student = partial(sdm_policy, teacher, device, warmup_steps=warm, regression_weight=float(warm > 0))
                row["ours_ms"] = milliseconds(step_of(student()), batch, options.repeats, each)
                first = step_of(student(feature_memory_mb=0))
                row["ours_first_epoch_ms"] = milliseconds(first, batch, options.repeats, each)
                del first
            if name == "warm-up":
                ours = step_of(student(pair_reuse=8))
                row["ours_reuse_8_ms"] = milliseconds(ours, batch, options.repeats, 8)
            rows.append(row | {"ratio": row["plain_ms"] / row["ours_ms"]})
            print(
                " ".join(
                    f"{key}={value if isinstance(value, str) else round(value, 2)}" for key, value in rows[-1].items()
                )
            )
    if options.json is not None:
        options.json.write_text(json.dumps({"options": {k: str(v) for k, v in vars(options).items()}, "rows": rows}))


if __name__ == "__main__":
    main()
