"""A web server for what is fetched: folders of files, with ranges and connections that break; others
that answer any call alike, or never."""
import http.server
import json
import pathlib
import socket
import threading
import time


class Http:
    """Requests go to `handler` until the end of a `with`."""

    def __init__(self, handler):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.http.server_address[1]}"
        self.url = f"http://{self.address}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


class Server(Http):
    """A folder over HTTP. `cut`: after so many bytes of a part the connection ends, on the first
    `cuts` requests. `ranges`: how many were asked for; `has_ranges` False: each is answered with the
    whole file, as by `python3 -m http.server`."""

    def __init__(self, folder, cut=None, cuts=0, has_ranges=True):
        self.cuts = cuts
        self.ranges = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                path = pathlib.Path(folder, self.path.lstrip("/"))
                if not path.is_file():
                    self.send_error(404)
                    return
                body, start = path.read_bytes(), 0
                asked = self.headers.get("Range")
                server.ranges += asked is not None
                if asked and has_ranges:
                    start = int(asked.removeprefix("bytes=").split("-")[0])
                    if start >= len(body):
                        self.send_error(416)
                        return
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(body) - start))
                self.end_headers()
                if cut and server.cuts > 0 and path.suffix == ".zst":
                    server.cuts -= 1
                    self.wfile.write(body[start:start + cut])
                    self.close_connection = True
                    return
                self.wfile.write(body[start:])

        super().__init__(Handler)


class Silent:
    """Takes connections and never answers."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.taken = []
        threading.Thread(target=self._take, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def _take(self):
        try:
            while True:
                self.taken.append(self.socket.accept()[0])
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        for one in self.taken:
            one.close()


class Replies(Http):
    """Answers every JSON-RPC call with these members, after so many seconds, and pages with 404."""

    def __init__(self, pause=0, **members):
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send_error(404)

            def do_POST(self):
                time.sleep(pause)
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **members}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)
        self.secret_url = f"http://user:hush@{self.address}"
