"""Point clouds as plain arrays: deprojected from depth images, transformed, cropped and subsampled."""

POINT_CLOUD = "observation.point_cloud"
POINT_CLOUD_KEYS = (POINT_CLOUD, "observation.pointcloud")
"""Keys of the cloud in datasets and environments; policies themselves only use the first."""
