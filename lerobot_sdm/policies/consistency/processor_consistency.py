"""Pre- and post-processing of Consistency Policy: the teacher's. LeRobot looks them up by name."""

from lerobot_sdm.policies.source.processors import make_student_processors

make_consistency_pre_post_processors = make_student_processors
