"""Reads JSON files that may be damaged."""

import json
from pathlib import Path
from typing import Any

from lerobot_sdm.errors import InputError

AGAIN = "Copy or download it again."
LONGEST_REASON = 300


def read_object(file: Path, source: str, fix: str = AGAIN) -> dict[str, Any]:
    """Read the object in a JSON file.

    Args:
        source: The user's name for it, for the message.
        fix: Sentence on what to do if it is damaged.

    Raises:
        InputError: It cannot be read, is not JSON, or does not contain an object.
    """
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({said(error)}). {fix}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not valid JSON ({said(error)}). {fix}") from error
    if not isinstance(content, dict):
        raise InputError(f"{source}: contains {short(repr(content))}, must be a JSON object. {fix}")
    return content


def said(error: BaseException) -> str:
    """An exception in one line."""
    return short(f"{type(error).__name__}: {error}")


def short(text: str) -> str:
    """The beginning of a text, in one line."""
    text = " ".join(text.split())
    return f"{text[:LONGEST_REASON]}..." if len(text) > LONGEST_REASON else text
