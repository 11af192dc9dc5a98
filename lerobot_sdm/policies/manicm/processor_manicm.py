"""Pre- and post-processing of ManiCM: the teacher's."""

from lerobot_sdm.policies.source.processors import make_student_processors

make_manicm_pre_post_processors = make_student_processors
"""LeRobot looks the pipelines up under this name."""
