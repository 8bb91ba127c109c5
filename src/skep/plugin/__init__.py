"""Plugins that speak Docker's plugin protocol: where they are, and what is asked of them."""
