"""skep-dns, the process that answers 127.0.0.11 in every sandbox, and skepd's client for it."""
