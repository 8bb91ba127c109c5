"""The manager: agrees on the cluster's state and tells every host what of it is its own."""
