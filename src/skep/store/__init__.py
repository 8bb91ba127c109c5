"""Where a cluster's state is kept: one interface, its engines. Knows nothing of what it keeps."""
