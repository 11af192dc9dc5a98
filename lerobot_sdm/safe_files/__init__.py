"""Strict readers of untrusted files, which run nothing in them and name what they refuse."""
