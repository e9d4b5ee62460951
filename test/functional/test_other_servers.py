"""--server, and diff, with servers that are none of shrewd's, or do not answer."""
import time

import pytest

from harness.daemon import shrewd
from harness.web import Replies, Silent

NODE = 4

PROVE = ["prove", "key"], ["prove", "--view", "totals"]
ODD = [5, None, "0xzz", True, [], {"height": 5}, {"entries": []}]


@pytest.mark.parametrize("words", PROVE, ids=["keys", "view"])
@pytest.mark.parametrize("result", ODD, ids=repr)
def test_what_is_no_proof_is_not_printed(words, result):
    with Replies(result=result) as server:
        said = shrewd(*words, "--server", server.url, check=NODE)
        assert said.stdout == ""
        assert f"{server.url} answered something that is not a proof" in said.stderr


def test_a_proof_of_other_keys_is_not_printed():
    proof = {"height": 3, "root": "0x" + "11" * 32, "proof": "0x00",
             "entries": [{"key": "0x00", "value": None}]}
    with Replies(result=proof) as server:
        at = ["--server", server.url]
        assert '"0x00"' in shrewd("prove", "0x00", *at, check=0).stdout
        for words in (["0x01"], ["0x00", "0x01"], ["0x00", "--height", 4], ["--view", "totals"]):
            said = shrewd("prove", *words, *at, check=NODE)
            assert said.stdout == "" and "not a proof of what it was asked" in said.stderr


@pytest.mark.parametrize("words", [["status"], ["view", "a"], ["preview", "00" * 100, "a"]],
                         ids=lambda words: words[0])
@pytest.mark.parametrize("result", [5, None, "0xzz", {"height": 5}], ids=repr)
def test_odd_answers(words, result):
    with Replies(result=result) as server:
        said = shrewd(*words, "--server", server.url, check=NODE)
        assert said.stdout == "" and f"{server.url} answered" in said.stderr


@pytest.mark.parametrize("result", [5, None, "0xzz", {"height": 5}], ids=repr)
def test_odd_answers_to_diff(result):
    with Replies(result=result) as server:
        said = shrewd("diff", server.url, server.url, check=NODE)
        assert said.stdout == "" and f"{server.url} answered" in said.stderr


@pytest.mark.parametrize("words", [["status"], ["view", "a"], ["prove", "key"]],
                         ids=lambda words: words[0])
def test_a_server_that_never_answers_is_given_up(words):
    with Silent() as server:
        start = time.monotonic()
        said = shrewd(*words, "--server", server.url, check=NODE, timeout=40)
        assert 5 < time.monotonic() - start < 20
        assert server.url in said.stderr and "did not answer" in said.stderr


def test_diff_gives_up_too():
    with Silent() as server:
        said = shrewd("diff", server.url, server.url, check=NODE, timeout=40)
        assert server.url in said.stderr and "did not answer" in said.stderr


def test_an_answer_may_take_its_time():
    """A view that works for longer than a server that never answers is waited for."""
    with Replies(pause=12, result="0x00") as server:
        assert shrewd("view", "a", "--server", server.url, check=0, timeout=40).stdout == "0x00\n"


ASKING = [["status", "--server"], ["view", "a", "--server"], ["prove", "key", "--server"],
          ["diff"]]
ERRORS = [{"code": -32601, "message": "Method not found"}, {"code": -5}, {}, "no"]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("words", ASKING, ids=lambda words: words[0])
def test_a_server_that_is_none_of_shrewds_is_named(words, error):
    """As a Bitcoin node answers, and others; what stands before the @ is never shown."""
    with Replies(error=error) as server:
        words = ["diff", server.secret_url] if words[0] == "diff" else words
        said = shrewd(*words, server.secret_url, check=NODE)
        assert f"http://{server.address}" in said.stderr and said.stdout == ""
        assert "hush" not in said.stderr and "user" not in said.stderr


def test_diff_shows_no_password_of_a_server_that_is_not_there():
    said = shrewd("diff", "http://user:hush@127.0.0.1:9", "http://user:hush@127.0.0.1:9",
                  check=NODE)
    assert "http://127.0.0.1:9" in said.stderr and "hush" not in said.stderr
