"""--server, and diff, with servers that are none of shrewd's, or do not answer."""
import pytest

from harness.daemon import shrewd
from harness.web import Replies

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
