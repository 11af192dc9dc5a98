"""Teachers of the one-step students: diffusion policies of several types behind one interface.

A type of policy becomes a teacher by one file with a `TeacherAdapter` and one line in `adapters.ADAPTERS`.
"""

from lerobot_sdm.teachers.adapters import ADAPTERS, Adapter, adapter_for
from lerobot_sdm.teachers.description import configuration, describe
from lerobot_sdm.teachers.files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    check_same_teacher,
    fingerprint,
    read_teacher_config,
    teacher_file,
)
from lerobot_sdm.teachers.teacher import Teacher, check_same_features, load_teacher

__all__ = [
    "ADAPTERS",
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "Adapter",
    "Teacher",
    "adapter_for",
    "check_same_features",
    "check_same_teacher",
    "configuration",
    "describe",
    "fingerprint",
    "load_teacher",
    "read_teacher_config",
    "teacher_file",
]
