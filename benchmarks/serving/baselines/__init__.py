"""Other servers for the same graph, each a file that needs nothing of Lineside, run in its own environment."""
