"""Pre- and post-processing of the mean flow policy: DP3's. LeRobot looks them up by name."""

from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors

make_meanflow_pre_post_processors = make_dp3_pre_post_processors
