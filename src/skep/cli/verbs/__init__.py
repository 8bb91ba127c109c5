"""The commands, a module per noun: each lists them as ``COMMANDS``."""
