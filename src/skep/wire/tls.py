"""TLS 1.3 contexts for the cluster's connections, from keys that are only in memory."""

from __future__ import annotations

import os
import ssl

import msgspec


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A host's certificate and private key, and its cluster's CA certificate, all PEM."""

    certificate: str
    key: str
    ca: str

    def __repr__(self) -> str:
        return "Credentials(…)"


def server_context(credentials: Credentials) -> ssl.SSLContext:
    """For a manager. A client need not show a certificate, but one that it shows must be ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    # No resumption: a session would outlive its certificate, and agents seldom reconnect.
    context.num_tickets = 0
    context.load_verify_locations(cadata=credentials.ca)
    load_own(context, credentials)
    return context


def client_context(ca: str, credentials: Credentials | None = None) -> ssl.SSLContext:
    """For whoever talks to a manager: only a certificate of ``ca`` (PEM) that is for the name
    `SERVER_NAME` is accepted. ``credentials`` are shown if given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca)
    if credentials is not None:
        load_own(context, credentials)
    return context


def blind_context() -> ssl.SSLContext:
    """For fetching a CA's certificate, whose digest is then checked. Trusts anyone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def load_own(context: ssl.SSLContext, credentials: Credentials) -> None:
    """Make the context show these from the next handshake on.

    The ssl module reads keys from files only; an anonymous one in memory never meets a disk.
    """
    descriptor = os.memfd_create("credentials", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{credentials.key}\n{credentials.certificate}".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
