"""The command ``skep``: its verbs, its complaints, and how it shows progress."""
