"""Datasets: fast reading, checks, and recording of demonstrations."""
