"""What a host's kernel should contain, the operations that bring it there, and where packets go."""

from skep.plan.desired import closure, namespaces_of, overlay_namespace

__all__ = ["closure", "namespaces_of", "overlay_namespace"]
