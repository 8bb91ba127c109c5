"""Containers and images, through Podman's Docker-compatible service. It never touches networks."""
