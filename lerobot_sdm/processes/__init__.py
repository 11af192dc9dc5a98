"""Starting processes: programs that are forked from one warm process, and how many cores and threads they take."""
