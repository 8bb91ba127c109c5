"""Containers: what ``run`` and ``create`` ask for, and being attached to them."""
