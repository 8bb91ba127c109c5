"""Sends datagrams as they are: send_datagrams.py ADDRESS PORT HEX… (run inside a namespace)."""

import socket
import sys

address, port, *payloads = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for payload in payloads:
        sock.sendto(bytes.fromhex(payload), (address, int(port)))
