"""Who drives when demonstrations are recorded."""

from lerobot_sdm.experts.base import (
    Expert,
    default_expert,
    expert_class,
    expert_names,
    make_expert,
    register_expert,
)

register_expert("scripted", "lerobot_sdm.experts.scripted:ScriptedExpert")
register_expert("detour", "lerobot_sdm.experts.detour:DetourExpert", default_for=("detour",))

__all__ = ["Expert", "default_expert", "expert_class", "expert_names", "make_expert", "register_expert"]
