"""The table of policy types, one line each. Everything else about a type is in its folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

POLICIES = {
    "adjoint_matching": "lerobot_sdm.policies.adjoint_matching",
    "consistency": "lerobot_sdm.policies.consistency",
    "difftori": "lerobot_sdm.policies.difftori",
    "dp3": "lerobot_sdm.policies.dp3",
    "drift": "lerobot_sdm.policies.drift",
    "edm": "lerobot_sdm.policies.edm",
    "flow": "lerobot_sdm.policies.flow",
    "manicm": "lerobot_sdm.policies.manicm",
    "meanflow": "lerobot_sdm.policies.meanflow",
    "sdm": "lerobot_sdm.policies.sdm",
}
"""Policy type -> its package. The `__init__.py` defines `POLICY`, a `PolicyType`; the modules `configuration_<type>`,
`modeling_<type>` and `processor_<type>` are named as LeRobot expects."""


def configured_steps(policy: Mapping[str, Any]) -> int | None:
    """Network evaluations according to a policy's configuration; None if it does not set them."""
    return policy.get("num_inference_steps")


@dataclass(frozen=True)
class PolicyType:
    """What model cards and benchmarks need to know about a policy type.

    Args:
        title: Its name.
        description: What it does in two sentences, Markdown.
        papers: (title, address) of the papers it builds on.
        source: Policy type that benchmarks train it from; None if it is trained on demonstrations alone.
        source_option: Configuration field that names that policy.
        student: Policy type that is distilled from it, if any.
        evaluations: Computes the network evaluations (NFE) per action chunk from its configuration as plain values.
        training: One sentence on what a training did, from the configuration and the number of its steps, for types
            whose settings change what is learned; None if the description says it all.
    """

    title: str
    description: str
    papers: tuple[tuple[str, str], ...] = ()
    source: str | None = None
    source_option: str = "teacher_path"
    student: str | None = None
    evaluations: Callable[[Mapping[str, Any]], int | None] = configured_steps
    training: Callable[[Mapping[str, Any], int], str] | None = None


def policy_type(name: str) -> PolicyType:
    """Look up a policy type; for a type outside the table, return one with just its name."""
    if name not in POLICIES:
        return PolicyType(name, f"A policy of type `{name}`.")
    module: Any = import_module(POLICIES[name])
    return module.POLICY


def configuration_modules() -> list[str]:
    """Modules whose import registers the policy types with LeRobot."""
    return [f"{package}.configuration_{name}" for name, package in POLICIES.items()]
