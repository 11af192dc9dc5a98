"""Processor steps that LeRobot's pipelines can use: from the images of depth cameras to point clouds."""
