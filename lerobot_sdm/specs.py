"""Options of the form `HEAD,FIELD=VALUE,...`: a checkpoint or an environment with settings that differ.

Paths may hold commas and equal signs themselves. A comma ends something only where `NAME=` follows, and nothing that
exists is cut: of `runs/a,lr=1/model,label=x` the longest part that is a folder or file is the path.
"""

import re
from pathlib import Path

from lerobot_sdm.errors import InputError

SEPARATOR = re.compile(r",(?=\s*[A-Za-z_]\w*\s*=)")


def split_spec(text: str, option: str, form: str) -> tuple[str, dict[str, str]]:
    """The head of a specification and its settings, in order.

    Args:
        text: What the user gave.
        option: The option that it was given for, for messages.
        form: How it should look, for messages.

    Returns:
        Head, and field -> value as text.

    Raises:
        InputError: A setting is not `FIELD=VALUE`.
    """
    places = [match.start() for match in SEPARATOR.finditer(text)]
    whole = [place for place in [*places, len(text)] if place and Path(text[:place]).exists()]
    end = max(whole, default=places[0] if places else len(text))
    head, rest = text[:end], text[end + 1 :]
    settings = SEPARATOR.split(rest) if rest else []
    if not whole and "," in head:
        # No path: what follows the first comma can only be a setting without a value.
        raise InputError(f"{option}={text}: '{head.partition(',')[2]}' is not FIELD=VALUE. Write {form}.")
    found = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        found[key.strip()] = value.strip()
    return head, found
