"""Processor steps for LeRobot's pipelines: convert depth images to clouds, and check and convert observations."""
