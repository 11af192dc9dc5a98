"""Experts that act when demonstrations are recorded."""

from lerobot_sdm.experts.base import (
    Expert,
    check_expert,
    check_variants,
    default_expert,
    expert_class,
    expert_names,
    make_expert,
    register_expert,
)

register_expert("scripted", "lerobot_sdm.experts.scripted:ScriptedExpert", default_for=("metaworld_pc",))
register_expert("detour", "lerobot_sdm.experts.detour:DetourExpert", default_for=("metaworld_pc/detour",))
register_expert(
    "faucet-turn", "lerobot_sdm.experts.scripted:FaucetTurnExpert", default_for=("metaworld_pc/faucet-turn",)
)
register_expert("dapg", "lerobot_sdm.experts.dapg:DAPGExpert")
register_expert("minari", "lerobot_sdm.experts.minari:MinariExpert")
register_expert("mpc", "lerobot_sdm.experts.mpc:MPCExpert", default_for=("adroit",))
register_expert("dexart", "lerobot_sdm.experts.dexart:DexArtExpert", default_for=("dexart",))

__all__ = [
    "Expert",
    "check_expert",
    "check_variants",
    "default_expert",
    "expert_class",
    "expert_names",
    "make_expert",
    "register_expert",
]
