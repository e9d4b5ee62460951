"""JSON-RPC 2.0 and HTTP themselves: ids, batches, notifications, bodies that are wrong in every
way, and a connection that always gets its answer."""
import json
import pathlib
import random
import socket
import threading
import time

import pytest

from harness.daemon import Daemon
from harness.rpc import Rpc

PROBE = pathlib.Path(__file__).parent / "modules" / "probe.wat"
TIP = 20


@pytest.fixture(scope="module")
def daemon_at_tip(node):
    node.mine(TIP)
    with Daemon(PROBE, node=node, cors="https://wallet.example") as daemon:
        daemon.start().wait_tip(node)
        yield daemon


@pytest.fixture
def rpc(daemon_at_tip):
    client = Rpc(daemon_at_tip.port)
    yield client
    client.close()


def post(rpc, body, **more):
    """The decoded answer of a POST; None when it is empty."""
    status, _, answer = rpc.http(body if isinstance(body, (bytes, str)) else json.dumps(body),
                                 **more)
    assert status in (200, 204), (status, answer)
    return json.loads(answer) if answer else None


def request(method="metashrew_height", params=None, **members):
    return {"jsonrpc": "2.0", "id": 1, "method": method,
            **({} if params is None else {"params": params}), **members}


# -- requests

@pytest.mark.parametrize("text", [
    "1", "0", "-7", "1.0", "1e3", "123456789012345678901234567890", '"a:b"', '""', '"\\u00e9"',
    '"\u00e9"', "null", "true", "[1, 2]", '{"a": 1}'])
def test_the_id_comes_back_as_it_was_written(rpc, text):
    status, headers, answer = rpc.http(
        '{"jsonrpc":"2.0","id":%s,"method":"metashrew_height","params":[]}' % text)
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    assert f'"id":{text}' in answer.decode()
    assert json.loads(answer)["jsonrpc"] == "2.0"
    assert json.loads(answer)["result"] == str(TIP)


def test_a_success_has_no_error_and_an_error_no_result(rpc):
    good = post(rpc, request())
    assert good.get("error") is None and good["result"] == str(TIP)
    bad = post(rpc, request("metashrew_getblockhash", [999]))
    assert "result" not in bad or bad["result"] is None
    assert isinstance(bad["error"]["code"], int) and isinstance(bad["error"]["message"], str)


def test_params_may_be_missing_null_or_empty(rpc):
    for members in ({}, {"params": None}, {"params": []}, {"params": {}}):
        assert post(rpc, {"jsonrpc": "2.0", "id": 1, "method": "metashrew_height", **members})[
            "result"] == str(TIP)


def test_a_client_that_leaves_out_jsonrpc_is_answered(rpc):
    assert post(rpc, {"id": 1, "method": "metashrew_height"})["result"] == str(TIP)


@pytest.mark.parametrize("method", ["metashrew_nothing", "", "METASHREW_HEIGHT", "rpc.discover",
                                    "metashrew_height ", "x" * 100000, "\u0000"])
def test_an_unknown_method(rpc, method):
    assert post(rpc, request(method))["error"]["code"] == -32601


@pytest.mark.parametrize("body", [
    7, "text", None, True, {}, {"id": 1}, {"id": 1, "method": 7}, {"id": 1, "method": None},
    {"id": 1, "method": ["metashrew_height"]}, {"jsonrpc": "1.0", "id": 1, "method": "x"},
    {"jsonrpc": 2, "id": 1, "method": "metashrew_height"}])
def test_what_is_no_request(rpc, body):
    answer = post(rpc, json.dumps(body))
    assert answer["error"]["code"] == -32600 and answer["jsonrpc"] == "2.0" and "id" in answer


# -- batches and notifications

def test_a_batch_is_answered_in_order(rpc):
    calls = [request("metashrew_view", ["echo", f"{n:04x}", n % TIP], id=n) for n in range(300)]
    answers = post(rpc, calls)
    assert [answer["id"] for answer in answers] == list(range(300))
    assert all(answer["result"] == f"0x{n % TIP:02x}000000{n:04x}"
               for n, answer in enumerate(answers))


def test_a_batch_with_everything_in_it(rpc):
    answers = post(rpc, [request(id="a"), 1, {"jsonrpc": "2.0", "method": "metashrew_height"},
                         request("nothing", id="b"), request("metashrew_view", ["echo"], id="c"),
                         request("metashrew_view", ["traps", ""], id="d"), []])
    assert len(answers) == 6
    by_id = {answer["id"]: answer for answer in answers if answer["id"] is not None}
    assert by_id["a"]["result"] == str(TIP)
    assert by_id["b"]["error"]["code"] == -32601
    assert by_id["c"]["error"]["code"] == -32602
    assert by_id["d"]["error"]["code"] == -32000
    assert [answer["error"]["code"] for answer in answers if answer["id"] is None] == [-32600] * 2


def test_an_empty_batch_is_no_request(rpc):
    answer = post(rpc, [])
    assert isinstance(answer, dict) and answer["error"]["code"] == -32600


def test_notifications_get_no_answer(rpc):
    assert post(rpc, {"jsonrpc": "2.0", "method": "metashrew_height"}) is None
    assert post(rpc, [{"jsonrpc": "2.0", "method": "metashrew_height"}] * 3) is None
    assert post(rpc, request())["result"] == str(TIP)
    assert rpc.connections == 1


# -- bodies that are wrong

def nested(depth):
    return b"[" * depth + b"]" * depth


HAND_MADE = [
    b"", b" ", b"{", b"}", b"[", b"]", b"{}{}", b"[1,]", b'{"a"}', b'{"a":}', b'{"a":1,}', b"'a'",
    b"nul", b"NaN", b"Infinity", b"-", b"01", b"1.", b".5", b"1e", b"+1", b"0x10", b"tru", b'"',
    b'"\\', b'"\\x"', b'"\\u12"', b'"\x01"', b'"\n"', b"\x00", b"\xff\xfe", b'"\xff"', b'"\xc0\x80"',
    b'"\xed\xa0\x80"', b'"\xf5\x80\x80\x80"', b"\xef\xbb\xbf{}", b"{}\x00", b"{} x", b"/* */{}",
    b'{"id":1,"id":2', b"GET / HTTP/1.1\r\n\r\n", b"<xml/>", b"[" * 100000, nested(101),
    nested(5000), b'{"a":' * 200 + b"1" + b"}" * 200, b'"' + b"a" * 1000000, b"9" * 100000 + b"x",
    b'{"jsonrpc":"2.0","id":1,"method":"metashrew_height","params":[}',
]


@pytest.mark.parametrize("body", HAND_MADE, ids=range(len(HAND_MADE)))
def test_what_is_no_json(rpc, body):
    assert post(rpc, body)["error"]["code"] == -32700
    assert post(rpc, request())["result"] == str(TIP)
    assert rpc.connections == 1


def test_a_hundred_levels_pass_and_more_do_not(rpc):
    inner = b'{"jsonrpc":"2.0","id":%s,"method":"metashrew_height"}'
    answer = post(rpc, inner % nested(99))
    assert answer["result"] == str(TIP)
    assert post(rpc, inner % nested(100))["error"]["code"] == -32700


def is_json(body):
    """Whether Python's own reader takes the bytes as strict JSON of at most 100 levels."""
    def refuse(word):
        raise ValueError(word)
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=refuse, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return depth_of(value) <= 100


def depth_of(value):
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


SEEDS = [
    json.dumps(request()).encode(),
    json.dumps(request("metashrew_view", ["echo", "0x00ff", "latest"], id="a:1")).encode(),
    json.dumps(request("metashrew_preview", ["00" * 81, "stored", "", 3])).encode(),
    json.dumps([request(), {"jsonrpc": "2.0", "method": "metashrew_snapshot"}]).encode(),
    '{"id":"\\ud83d\\ude00 \u00e9","method":"metashrew_getblockhash","params":{"height":"0x1"}}'
    .encode(),
]
TOKENS = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u0000", b"null", b"-", b"1e9", b"\x00",
          b"\xff", b"\xc3", b"latest", b"0x", b" ", b"\n"]


def mutate(dice):
    body = bytearray(dice.choice(SEEDS))
    for _ in range(dice.choice([1, 1, 2, 5, 20])):
        at = dice.randrange(len(body) + 1)
        end = min(len(body), at + dice.choice([0, 1, 1, 3, 10]))
        body[at:end] = dice.choice([b"", dice.choice(TOKENS), dice.randbytes(dice.randrange(4)),
                                    bytes(body[at:end]) * 2])
    return bytes(body)


def test_hundreds_of_malformed_bodies_on_one_connection(rpc):
    dice = random.Random(20090103)
    wrong = 0
    for _ in range(1500):
        body = mutate(dice)
        answer = post(rpc, body)
        answers = answer if isinstance(answer, list) else [answer] if answer is not None else []
        for one in answers:
            assert one["jsonrpc"] == "2.0" and "id" in one, (body, one)
            assert ("result" in one) != ("error" in one), (body, one)
            assert "error" not in one or isinstance(one["error"]["code"], int), (body, one)
        refused = [one["error"]["code"] for one in answers if "error" in one] == [-32700]
        assert refused != is_json(body), (body, answers)
        wrong += bool(refused)
    assert wrong > 500
    assert post(rpc, request())["result"] == str(TIP)
    assert rpc.connections == 1


# -- HTTP

def test_a_body_of_sixteen_megabytes(rpc):
    answer = post(rpc, request("metashrew_view", ["echo", "ab" * 8_000_000, 1]))
    assert answer["result"] == "0x01000000" + "ab" * 8_000_000


def test_a_body_over_every_bound_is_still_answered(rpc, daemon_at_tip):
    status, _, answer = rpc.http(b" " * (40 << 20))
    assert status in (200, 413) and json.loads(answer)["error"]["code"] in (-32600, -32006, -32700)
    assert post(Rpc(daemon_at_tip.port), request())["result"] == str(TIP)


def test_a_body_that_comes_in_pieces(daemon_at_tip):
    body = json.dumps(request()).encode()
    with socket.create_connection(("127.0.0.1", daemon_at_tip.port), timeout=20) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        for byte in body:
            sock.sendall(bytes([byte]))
            time.sleep(0.002)
        assert b"200" in sock.recv(100000).split(b"\r\n")[0]


def test_a_chunked_body(daemon_at_tip):
    body = json.dumps(request()).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                      for part in (body[:5], body[5:20], body[20:])) + b"0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", daemon_at_tip.port), timeout=20) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                     b"Connection: close\r\n\r\n" + chunks)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b'"result":"%d"' % TIP in answer


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_http_methods_get_an_answer(rpc, method):
    status, _, _ = rpc.http(b"", method=method)
    assert 200 <= status < 500
    assert post(rpc, request())["result"] == str(TIP)


def test_content_type_does_not_matter(rpc):
    for kind in ("text/plain", "application/octet-stream", "application/x-www-form-urlencoded",
                 "multipart/form-data; boundary=x", ""):
        assert post(rpc, request(), headers={"Content-Type": kind})["result"] == str(TIP)


def test_health_and_metrics(rpc):
    status, _, answer = rpc.http(b"", method="GET", path="/health")
    assert status == 200 and str(TIP) in answer.decode()
    status, headers, answer = rpc.http(b"", method="GET", path="/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    values = dict(line.rsplit(" ", 1) for line in answer.decode().splitlines()
                  if line and not line.startswith("#"))
    assert str(TIP) in [value.split(".")[0] for value in values.values()]
    status, _, _ = rpc.http(b"", method="GET", path="/nothing")
    assert status == 404


def test_cors(rpc, node, daemon):
    status, headers, _ = rpc.http(b"", method="OPTIONS", headers={
        "Origin": "https://wallet.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type"})
    assert status in (200, 204)
    assert headers["Access-Control-Allow-Origin"] == "https://wallet.example"
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert "content-type" in headers["Access-Control-Allow-Headers"].lower()
    for body in (json.dumps(request()), "{"):
        _, headers, _ = rpc.http(body)
        assert headers["Access-Control-Allow-Origin"] == "https://wallet.example"
    closed = daemon(PROBE, node=node).start()
    _, headers, _ = closed.rpc.http(json.dumps(request()))
    assert headers["Access-Control-Allow-Origin"] is None


def test_clients_that_hang_up_or_send_nothing_hold_nobody_up(daemon_at_tip):
    idle = [socket.create_connection(("127.0.0.1", daemon_at_tip.port)) for _ in range(100)]
    for number, sock in enumerate(idle):
        if number % 2:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
    body = json.dumps(request("metashrew_view", ["echo", "00" * 1_000_000, 1])).encode()
    for _ in range(50):  # asks for megabytes, never reads them
        sock = socket.create_connection(("127.0.0.1", daemon_at_tip.port))
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        sock.close()
    start = time.monotonic()
    assert post(Rpc(daemon_at_tip.port, timeout=20), request())["result"] == str(TIP)
    assert time.monotonic() - start < 5
    for sock in idle:
        sock.close()


def test_slow_views_do_not_hold_up_the_quick_calls(node, daemon):
    """As many views that never return as may run at once: heights are still answered."""
    busy = daemon(PROBE, node=node, view_concurrency=2).start()
    busy.wait_tip(node)
    spin = json.dumps(request("metashrew_view", ["spins", ""])).encode()
    held = []
    for _ in range(2):
        sock = socket.create_connection(("127.0.0.1", busy.port))
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(spin) + spin)
        held.append(sock)
    time.sleep(0.3)
    done = []

    def poll():
        own = Rpc(busy.port, timeout=20)
        done.extend(own.call("metashrew_height") for _ in range(20))

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [str(TIP)] * 80
    code, seconds = busy.stop()
    assert code == 0 and seconds < 2.5
    for sock in held:
        sock.close()
