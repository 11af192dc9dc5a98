"""Point clouds as plain arrays: from depth image to camera frame, to any frame, cropped and thinned out."""
