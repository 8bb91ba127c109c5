"""The nouns of Skep: frozen values that every other package speaks in. No behaviour, no edges."""
