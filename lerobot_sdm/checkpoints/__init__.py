"""Importers for untrusted files of other projects."""
