"""doc/rpc/*.json held against what the server answers: every reply a test gets is checked."""
import functools
import json
import re

from harness import paths

TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


@functools.cache
def method_schema(method):
    path = paths.REPO / "doc" / "rpc" / f"{method}.json"
    return json.loads(path.read_text()) if path.exists() else None


def check_value(schema, value, where):
    assert type(value) is TYPES[schema["type"]], f"{where} is {value!r}, not a {schema['type']}"
    if "pattern" in schema:
        assert re.search(schema["pattern"], value, re.ASCII), f"{where} is {value[:200]!r}"
        assert not value.endswith("\n")
    if "contentSchema" in schema:
        check_value(schema["contentSchema"], json.loads(value), where)
    for name in schema.get("required", []):
        assert name in value, f"{where} lacks {name}"
    for name, inner in schema.get("properties", {}).items():
        if name in value:
            check_value(inner, value[name], f"{where}.{name}")


def check_reply(method, reply):
    """Fails unless the reply is one that the method's file describes."""
    assert reply["jsonrpc"] == "2.0" and "id" in reply
    schema = method_schema(method)
    if schema is None:
        assert reply["error"]["code"] == -32601, f"{method} is not described in doc/rpc"
        return
    if "error" in reply:
        assert "result" not in reply
        error = reply["error"]
        known = {one["code"] for one in schema["errors"]}
        assert error["code"] in known, f"{method}: {error} is not described in doc/rpc"
        assert isinstance(error["message"], str) and error["message"]
        return
    check_value(schema["result"], reply["result"], f"{method}: the result")
