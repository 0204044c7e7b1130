"""A proxy in front of a real registry that does one thing wrong on purpose, and counts what it passes on."""

import http.client
import http.server
import re
import socket
import struct
import threading


class Proxy:
    """`fault(request, response)` may change what is sent. It gets the handler and the upstream's
    (status, headers, body) and returns such a triple, or None when it has answered itself."""

    def __init__(self, upstream_port, fault=None, rate=None):
        self.fault = fault
        self.rate = rate  # bytes a second, None: as fast as it goes
        self.requests = []  # (method, path, Range header or None)
        self.blob_bytes = 0
        self.seen = {}
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                proxy.serve(self, upstream_port)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.host = f"localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, handler, upstream_port):
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        self.requests.append((handler.command, handler.path, handler.headers.get("Range")))
        key = (handler.command, handler.path)
        self.seen[key] = self.seen.get(key, 0) + 1
        c = http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=60)
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in ("connection", "content-length")}
        c.request(handler.command, handler.path, body, headers)
        r = c.getresponse()
        answer = (r.status, [(k, v) for k, v in r.getheaders() if k.lower() != "connection"], r.read())
        c.close()
        if self.fault is not None:
            answer = self.fault(handler, answer)
        if answer is not None:
            self.send(handler, *answer)

    def send(self, handler, status, headers, body):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        if not any(k.lower() in ("content-length", "transfer-encoding") for k, _ in headers):
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        try:
            for at in range(0, len(body), 65536):
                handler.wfile.write(body[at : at + 65536])
                if "/blobs/" in handler.path:
                    self.blob_bytes += len(body[at : at + 65536])
                if self.rate:
                    threading.Event().wait(65536 / self.rate)
        except OSError:
            handler.close_connection = True

    def times(self, method, pattern):
        return sum(n for (m, path), n in self.seen.items() if m == method and re.search(pattern, path))

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def cut(handler, status, headers, body, after, reset=True):
    """Sends the headers and `after` bytes, then breaks the connection."""
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[:after])
    handler.wfile.flush()
    if reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    return None


def blob(handler):
    return handler.command == "GET" and "/blobs/sha256" in handler.path


def manifest(handler):
    return handler.command in ("GET", "HEAD") and "/manifests/" in handler.path
