"""Pre- and post-processing of the drifting policy: DP3's, whose cloud step does not touch other observations."""

from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors

make_drift_pre_post_processors = make_dp3_pre_post_processors
"""LeRobot looks the pipelines up under this name."""
