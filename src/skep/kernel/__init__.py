"""The edge to Linux: observes network namespaces and performs operations on them."""
