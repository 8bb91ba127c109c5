"""The parts of `road.py`, each measuring one stretch."""
