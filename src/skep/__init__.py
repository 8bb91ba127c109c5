"""Skep: multi-host container networking and services with Docker Swarm's commands."""

__version__ = "0.1.0"
