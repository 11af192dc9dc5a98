"""Methods on suites of tasks: cells that are measured once, side by side or on several machines, and one table."""
