"""A policy type as somebody adds it: this folder, and its line in the table."""

from lerobot_sdm.policy_types import PolicyType

POLICY = PolicyType(title="Toy regression", description="Regresses a chunk of actions.", evaluations=lambda policy: 1)
