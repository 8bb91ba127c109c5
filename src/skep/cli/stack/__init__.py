"""Stacks: compose files read, checked, merged, and turned into what the API knows."""
