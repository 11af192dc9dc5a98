"""Pre- and post-processing of Adjoint Matching: the base's. LeRobot looks them up by name."""

from lerobot_sdm.policies.source.processors import make_student_processors

make_adjoint_matching_pre_post_processors = make_student_processors
