"""Sends what it reads, a message in hex per line, each on a connection of its own.

send_noise.py KIND PLACE (run inside a namespace): KIND is udp, tcp, tls or unix, PLACE is "address
port" or a path. Waits a moment for what comes back. Prints "sent" at the end.
"""

import socket
import ssl
import sys

kind, place = sys.argv[1:]
PATIENCE = 0.05


def sent(message):
    """Say it, and listen for a while."""
    host, _, port = place.rpartition(" ")
    family = socket.AF_INET if host else socket.AF_UNIX
    shape = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    with socket.socket(family, shape) as plain:
        plain.settimeout(60)
        plain.connect((host, int(port)) if host else place)
        with secured(plain) if kind == "tls" else plain as opened:
            opened.sendall(message)
            opened.settimeout(PATIENCE)
            opened.recv(1 << 16)


def secured(plain):
    """The connection by TLS, with whomever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain)


for line in sys.stdin:
    try:
        sent(bytes.fromhex(line))
    except OSError:
        continue
print("sent")
