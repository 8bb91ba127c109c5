"""How things are shown: Go's templates, docker's tables, human times, JSON."""
