"""Reward models, one folder each, with a configuration, a modeling and a processor module."""
