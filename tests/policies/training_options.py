"""How `lerobot-train` trains each policy type in these tests."""

from pathlib import Path

from lerobot_commands import SMALL_DP3, SMALL_MIXER
from reward_models import reward_beside

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.nets.backbones import BACKBONES
from lerobot_sdm.policy_types import POLICIES, policy_type

TYPE_OPTIONS = {
    "adjoint_matching": ("--policy.sampling_steps=4", "--policy.loss_steps=2"),
    "consistency": (),
    "difftori": ("--policy.n_iterations=8", "--policy.n_recorded_iterations=3"),
    "dp3": SMALL_DP3,
    "drift": SMALL_DP3,
    "edm": (*SMALL_DP3, "--policy.num_inference_steps=4"),
    "flow": SMALL_DP3,
    "manicm": (),
    "meanflow": (*SMALL_DP3, "--policy.dispersive_weight=0.5"),
    # All three losses, and both networks.
    "sdm": (
        "--policy.recipe=dmd",
        "--policy.data_weight=1",
        "--policy.warmup_steps=4",
        "--policy.critic_lead_steps=2",
        "--policy.fake_updates_per_generator_update=2",
    ),
}
"""Policy type -> its options, beside those that all types have."""

CASES = [(kind, backbone) for backbone in BACKBONES for kind in TYPE_OPTIONS]
"""Every policy type with every backbone; what is made from another policy has that policy's."""

SOURCE_OF = {kind: policy_type(kind).source for kind in POLICIES if policy_type(kind).source is not None}
"""Policy type that is made from another policy -> type of that policy."""

TEACHER_OF = {kind: source for kind, source in SOURCE_OF.items() if policy_type(kind).source_option == "teacher_path"}
"""Student -> type of its teacher."""


def options(kind: str, source: Path | None = None, backbone: str = "unet") -> tuple[str, ...]:
    """Command-line options that train a policy type, from another policy if it needs one, which then has the
    backbone."""
    needs_source = (f"--policy.{policy_type(kind).source_option}={source}",) if kind in SOURCE_OF else ()
    reward = (f"--policy.reward_path={reward_beside(source)}",) if kind == "adjoint_matching" else ()
    own = TYPE_OPTIONS[kind]
    if backbone == "mixer" and kind not in SOURCE_OF:
        own = (*SMALL_MIXER, *(option for option in own if option not in SMALL_DP3))
    return (f"--policy.type={kind}", *own, *needs_source, *reward)
