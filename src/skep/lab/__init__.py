"""One machine as a cluster: hosts that are namespaces, on an underlay that leads nowhere."""
