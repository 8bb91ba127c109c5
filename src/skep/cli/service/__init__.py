"""Services: their flags, their specs, and how they come to run."""
