"""DNS as a host needs it: zones from the host's view, the wire format, answers. Pure."""
