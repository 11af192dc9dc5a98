"""Start programs as forks of one warm process, and choose their numbers of cores and threads."""
