"""Decisions over the cluster's state: pure functions from a draft and a context to changes."""
