"""A daemon for labs under test: answers the few API calls that the lab itself makes.

Usage: stand_in.py SOCKET [START-DELAY]. It forgets its images when it ends.
"""

import http.server
import json
import os
import socketserver
import sys
import time

IMAGES: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/_ping":
            self._answer(b"OK")
        elif self.path == "/images/json":
            self._answer(json.dumps([{"RepoTags": [tag]} for tag in IMAGES]).encode())
        else:
            self._answer(b'{"message":"page not found"}', 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body.startswith(b"bad"):
            self._answer(b'{"stream":"x"}\n{"errorDetail":{"message":"torn"},"error":"torn"}\n')
        else:
            IMAGES.append(f"docker.io/library/{body.decode().strip()}:latest")
            self._answer(b'{"stream":"Loaded"}\n')

    def _answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "client"

    def log_message(self, *arguments):
        pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    path = sys.argv[1]
    time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0)
    if os.path.exists(path):
        os.unlink(path)
    Server(path, Handler).serve_forever()
