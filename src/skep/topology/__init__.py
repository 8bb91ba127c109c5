"""The cluster as a picture: what there is, what is joined to what, and what flows."""
