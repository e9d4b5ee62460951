"""A node that misbehaves: passes requests on to a real one, except when told to spoil them."""
import http.client
import http.server
import threading
import time


class Proxy:
    """`spoil(path, body)` is asked before each request; it returns the name of a fault below, or
    None. `alter(path, body, answer)` may change the real answer's bytes."""

    def __init__(self, node_port, spoil=None, alter=None):
        self.spoil = spoil or (lambda path, body: None)
        self.alter = alter or (lambda path, body, answer: answer)
        self.requests = 0
        self.spoiled = 0
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.requests += 1
                fault = proxy.spoil(self.path, body)
                if fault is not None:
                    proxy.spoiled += 1
                    getattr(self, "fault_" + fault)()
                    return
                node = http.client.HTTPConnection("127.0.0.1", node_port, timeout=60)
                headers = {name: value for name, value in self.headers.items()
                           if name.lower() in ("authorization", "content-type")}
                node.request(self.command, self.path, body, headers)
                response = node.getresponse()
                answer = proxy.alter(self.path, body, response.read())
                self.answer(response.status, answer, response.headers.get("Content-Type"))
                node.close()

            do_GET = do_POST = handle_one

            def answer(self, status, body, kind="application/json"):
                self.send_response(status)
                if kind:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def fault_busy(self):
                self.answer(503, b"Work queue depth exceeded", "text/html")

            def fault_broken(self):
                self.answer(500, b"internal error", "text/html")

            def fault_warming_up(self):
                self.answer(500, b'{"result":null,"error":{"code":-28,"message":'
                                 b'"Loading block index..."},"id":0}')

            def fault_hang_up(self):
                self.close_connection = True

            def fault_cut_off(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "100000")
                self.end_headers()
                self.wfile.write(b'{"result": "00')
                self.close_connection = True

            def fault_no_json(self):
                self.answer(200, b"<html>hello</html>", "text/html")

            def fault_slow(self):
                time.sleep(0.5)
                self.answer(503, b"")

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # the other side hung up: no news here

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
