"""Reward models: one folder each, always configuration, modeling and processor."""
