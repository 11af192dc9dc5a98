"""Point clouds as plain arrays: deprojected from depth images, transformed, cropped and subsampled."""

POINT_CLOUD = "observation.point_cloud"
POINT_CLOUD_KEYS = (POINT_CLOUD, "observation.pointcloud")
"""Keys of the cloud in datasets and environments; policies themselves only use the first."""

IMAGINED_ROBOT = "observation.imagin_robot"
"""Key of the robot's own points where they are apart, spelled as in DexArt's stores."""

ROBOT_CLOUD = "observation.images.point_cloud"
"""Key of a robot's observation `point_cloud`. LeRobot's loops pass on scalars and images only, so a robot gives its
cloud as a one-channel image (N, C, 1), which arrives as (..., 1, N, C)."""
