"""Untrusted files: read strictly, without running what they hold, or refused by name."""
