"""How hosts trust and reach one another: certificates, join tokens, sessions over mutual TLS."""
