"""The table of policy types: one line each. All else about a type stands in its folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

POLICIES = {
    "adjoint_matching": "lerobot_sdm.policies.adjoint_matching",
    "consistency": "lerobot_sdm.policies.consistency",
    "difftori": "lerobot_sdm.policies.difftori",
    "dp3": "lerobot_sdm.policies.dp3",
    "edm": "lerobot_sdm.policies.edm",
    "manicm": "lerobot_sdm.policies.manicm",
    "sdm": "lerobot_sdm.policies.sdm",
}
"""Policy type -> its folder as a package, with `POLICY`, a `PolicyType`, in `__init__.py`, and three modules,
`configuration_<type>`, `modeling_<type>` and `processor_<type>`, as LeRobot names them."""


def configured_steps(policy: Mapping[str, Any]) -> int | None:
    """Network evaluations of a policy whose configuration says them; None where it does not."""
    return policy.get("num_inference_steps")


@dataclass(frozen=True)
class PolicyType:
    """What cards and benchmarks need to know about a policy type.

    Args:
        title: Its name.
        description: What it does in two sentences, Markdown.
        papers: (title, address) of what it builds on.
        source: Policy type that benchmarks make it from; None for one that is trained on demonstrations alone.
        source_option: Field of its configuration that names that policy.
        student: Policy type that is distilled from it; None for none.
        evaluations: Network evaluations (NFE) per action chunk, from its configuration as plain values.
    """

    title: str
    description: str
    papers: tuple[tuple[str, str], ...] = ()
    source: str | None = None
    source_option: str = "teacher_path"
    student: str | None = None
    evaluations: Callable[[Mapping[str, Any]], int | None] = configured_steps


def policy_type(name: str) -> PolicyType:
    """What is known of a policy type; of one that is not in the table, its name."""
    if name not in POLICIES:
        return PolicyType(name, f"A policy of type `{name}`.")
    module: Any = import_module(POLICIES[name])
    return module.POLICY


def configuration_modules() -> list[str]:
    """Modules whose import registers the policy types with LeRobot."""
    return [f"{package}.configuration_{name}" for name, package in POLICIES.items()]
