"""The agent: makes one host's kernel, names and containers what the cluster assigned to it."""
