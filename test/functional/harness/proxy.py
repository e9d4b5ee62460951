"""A node that misbehaves: passes requests on to a real one, except when told to spoil them."""
import gzip
import http.client
import http.server
import threading
import time


class Proxy:
    """`spoil(path, body)` is asked before each request; it returns the name of a fault below, or
    None. `alter(path, body, answer)` may change the real answer's bytes, `rewrite(path, body)`
    what the node is asked. Answers come at `pace` bytes a second, compressed with `compress`."""

    def __init__(self, node_port, spoil=None, alter=None, rewrite=None, pace=None,
                 compress=False):
        self.spoil = spoil or (lambda path, body: None)
        self.alter = alter or (lambda path, body, answer: answer)
        self.rewrite = rewrite or (lambda path, body: (path, body))
        self.pace = pace
        self.compress = compress
        self.over = threading.Event()
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
                    getattr(self, "fault_" + fault)(body)
                    return
                status, answer, kind = self.ask_node(body)
                self.answer(status, answer, kind)

            def ask_node(self, body):
                path, request = proxy.rewrite(self.path, body)
                node = http.client.HTTPConnection("127.0.0.1", node_port, timeout=60)
                headers = {name: value for name, value in self.headers.items()
                           if name.lower() in ("authorization", "content-type")}
                node.request(self.command, path, request, headers)
                response = node.getresponse()
                answer = proxy.alter(self.path, body, response.read())
                node.close()
                return response.status, answer, response.headers.get("Content-Type")

            do_GET = do_POST = handle_one

            def answer(self, status, body, kind="application/json"):
                if proxy.compress:
                    body = gzip.compress(body)
                self.head(status, len(body), kind)
                if proxy.pace:
                    self.dribble(body, proxy.pace)
                else:
                    self.wfile.write(body)

            def head(self, status, length, kind):
                self.send_response(status)
                if kind:
                    self.send_header("Content-Type", kind)
                if proxy.compress:
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(length))
                self.end_headers()

            def dribble(self, body, bytes_per_s):
                """Until the other side hangs up, or the test is over."""
                step = max(1, bytes_per_s // 20)
                for at in range(0, len(body), step):
                    self.wfile.write(body[at:at + step])
                    self.wfile.flush()
                    if proxy.over.wait(step / bytes_per_s):
                        break

            def fault_busy(self, _):
                self.answer(503, b"Work queue depth exceeded", "text/html")

            def fault_broken(self, _):
                self.answer(500, b"internal error", "text/html")

            def fault_warming_up(self, _):
                self.answer(500, b'{"result":null,"error":{"code":-28,"message":'
                                 b'"Loading block index..."},"id":0}')

            def fault_hang_up(self, _):
                self.close_connection = True

            def fault_cut_off(self, _):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "100000")
                self.end_headers()
                self.wfile.write(b'{"result": "00')
                self.close_connection = True

            def fault_no_json(self, _):
                self.answer(200, b"<html>hello</html>", "text/html")

            def fault_unauthorised(self, _):
                self.answer(401, b"", None)

            def fault_no_batches(self, _):
                self.answer(400, b"one at a time", "text/plain")

            def fault_not_http(self, _):
                self.wfile.write(b"\x16\x03\x01 SSH-2.0-nonsense\r\n" * 20)
                self.close_connection = True

            def fault_garbage(self, _):
                self.answer(200, bytes(range(256)) * 4, "application/octet-stream")

            def fault_stall(self, _):
                proxy.over.wait(60)
                self.close_connection = True

            def fault_half(self, body):
                """The right answer, broken off half-way."""
                status, answer, kind = self.ask_node(body)
                self.head(status, len(answer), kind)
                self.wfile.write(answer[:len(answer) // 2])
                self.close_connection = True

            def fault_trickle(self, body):
                """The right answer: half of it at once, the rest at a rate that never ends."""
                self.slow_down(body, 50)

            def fault_slow_down(self, body):
                """The same at 2.5 KB/s: more than nothing, less than what is waited for."""
                self.slow_down(body, 2500)

            def slow_down(self, body, bytes_per_s):
                status, answer, kind = self.ask_node(body)
                self.head(status, len(answer), kind)
                self.wfile.write(answer[:len(answer) // 2])
                self.dribble(answer[len(answer) // 2:], bytes_per_s)
                self.close_connection = True

            def fault_slow(self, _):
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
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
