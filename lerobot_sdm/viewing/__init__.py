"""Looking at recordings: one episode of a dataset or of a demonstration store, in Rerun or on one sheet of paper."""
