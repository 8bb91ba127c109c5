"""The Docker Engine API on a unix socket: routes, schema, streams. It decides nothing itself."""
