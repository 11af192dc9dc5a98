"""Shows one episode of a dataset or demonstration store, in Rerun or on a contact sheet."""
