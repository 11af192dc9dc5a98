"""Importers for files of other projects, none of which is trusted."""
