"""Processor steps for LeRobot's pipelines: depth images to clouds, observations made fit for a policy or refused."""
