"""Point clouds as plain arrays: from depth image to camera frame, to any frame, cropped and subsampled."""

POINT_CLOUD = "observation.point_cloud"
POINT_CLOUD_KEYS = (POINT_CLOUD, "observation.pointcloud")
"""Keys under which a dataset or an environment may hold the cloud; policies themselves only know the first."""
