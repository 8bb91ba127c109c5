"""Sends frames as they are: send_frames.py LINK HEX… (run inside a namespace)."""

import socket
import sys

link, *frames = sys.argv[1:]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((link, 0))
    for frame in frames:
        sock.send(bytes.fromhex(frame))
