"""Make LeRobot's commands start faster: read the help text of each option from the source code once.

draccus, which reads LeRobot's command lines, builds the parser of all options of all types for every command, twice if
a configuration file is given. For the help text of each option it searches the source code of a class and its bases
anew, which takes four fifths of the time of reading the command line.
"""

import functools

from draccus.wrappers import docstring

from lerobot_sdm.lerobot_internals import patch


def register() -> None:
    """Keep what was read. In a process that becomes several commands, all of them share it."""
    if hasattr(docstring.get_attribute_docstring, "cache_info"):
        return
    # Remembered by draccus for a hundred classes, fewer than there are.
    patch(docstring, "_get_class_source", functools.cache(docstring._get_class_source.__wrapped__))
    patch(docstring, "_contains_attribute_definition", functools.cache(docstring._contains_attribute_definition))
    patch(docstring, "get_attribute_docstring", functools.cache(docstring.get_attribute_docstring))
