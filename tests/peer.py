"""A small HTTP server that answers what a test says and remembers what it was asked: the side of a conversation that
the network, or a daemon of another version, would have."""

import http.server
import json
import threading


class Peer:
    """answers: {"GET /path": value or (status, value) or function(request)}; the longest path that begins a request wins."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []  # (method, path with query, body)
        self.headers = []  # of each
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                request = (self.command, self.path, json.loads(body) if body else None)
                peer.asked.append(request)
                peer.headers.append(dict(self.headers))
                fitting = [k for k in peer.answers if f"{self.command} {self.path}".startswith(k)]
                value = peer.answers[max(fitting, key=len)] if fitting else (404, "not found")
                if callable(value):
                    value = value(request)
                status, value = value if isinstance(value, tuple) else (200, value)
                data = value if isinstance(value, str) else json.dumps(value)
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
                self.send_header("Content-Length", str(len(data.encode())))
                self.end_headers()
                self.wfile.write(data.encode())

            do_GET = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def asked_for(self, start):
        return [body for method, path, body in self.asked if f"{method} {path}".startswith(start)]

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
