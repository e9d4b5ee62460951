"""A JSON-RPC client on one keep-alive connection, for the node and for shrewd alike."""
import base64
import decimal
import http.client
import json


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code = error.get("code")
        self.message = error.get("message")
        self.data = error.get("data")


class Rpc:
    def __init__(self, port, auth=None, path="/", timeout=120, check=None):
        self.port, self.path, self.timeout = port, path, timeout
        self.check = check  # called with the method and each reply to ask and call
        self.headers = {"Content-Type": "application/json"}
        if auth:
            self.headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
        self.connection = None
        self.next_id = 0
        self.connections = 0  # opened so far: more than one means the other side hung up

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def http(self, body, method="POST", path=None, headers=None):
        """One request with any body at all; returns (status, headers, body). A connection that
        was closed between requests is opened again, which `connections` tells."""
        if isinstance(body, str):
            body = body.encode()
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                             timeout=self.timeout)
                self.connections += 1
            fresh = self.connection.sock is None
            try:
                self.connection.request(method, path or self.path, body,
                                        {**self.headers, **(headers or {})})
                response = self.connection.getresponse()
                answer = response.read()
            except (http.client.HTTPException, OSError):
                self.close()
                if fresh or attempt == 2:
                    raise
                continue
            if response.will_close:
                self.close()
            return response.status, response.headers, answer

    def ask(self, method, *params):
        """The whole answer to one call, as an object."""
        self.next_id += 1
        body = json.dumps({"jsonrpc": "2.0", "id": self.next_id, "method": method,
                           "params": list(params)})
        _, _, answer = self.http(body)
        decoded = json.loads(answer, parse_float=decimal.Decimal)
        assert decoded["id"] == self.next_id
        if self.check:
            self.check(method, decoded)
        return decoded

    def call(self, method, *params):
        """The result of one call; RpcError when it is an error."""
        answer = self.ask(method, *params)
        if answer.get("error") is not None:
            raise RpcError(answer["error"])
        return answer["result"]

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *params: self.call(name, *params)
