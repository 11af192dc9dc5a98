"""A dataset's card gets its public name, and nothing else that looks like the local one."""

from lerobot_sdm.hub.publish import _published_card


def test_only_the_name_of_the_repo_is_replaced():
    text = (
        "Converted from the store `metaworld_hammer_expert`: hammer in data/hammer.\n"
        "https://huggingface.co/spaces/lerobot/visualize_dataset?path=hammer\n"
        "lerobot-train --dataset.repo_id=hammer --dataset.root=data/hammer\n"
    )
    assert _published_card(text, "me/hammer", license=None) == (
        "Converted from the store `metaworld_hammer_expert`: hammer in data/hammer.\n"
        "https://huggingface.co/spaces/lerobot/visualize_dataset?path=me/hammer\n"
        "lerobot-train --dataset.repo_id=me/hammer --dataset.root=data/hammer\n"
    )
