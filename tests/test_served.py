"""A language model on a server: what it says is what the engine says, and whatever can be wrong with a server is told in a line.

The server is a real one, of this test, with a tiny model behind it; it answers as vLLM and llama-cpp-python do, or as those that cannot.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run
from test_cli import edit, stored
from test_lm import LABELS, PROMPTS, load, save

from fewtag.errors import ModelError
from fewtag.models.lm import served
from fewtag.models.lm.model import LanguageModel
from fewtag.models.lm.served import Reading, ServedModel, find_served
from fewtag.models.zero_shot.shortlist_lm import ShortlistScorer
from fewtag.store import Ledger

APART = [" tea", " coffee", " dog food", " oat drink"]
"""Labels of which none begins another."""


@dataclass
class Behaviour:
    """How the server answers: whether it echoes, opens texts with a start token, and what else may be wrong with it."""

    models: tuple[str, ...] = ("tiny",)
    opens: str = ""
    echoes: bool = True
    hides: bool = False
    fails: list[int] = field(default_factory=list)
    says: str = "Only no echo is supported"
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


def handler(lm: LanguageModel, how: Behaviour) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            how.keys.add(self.headers["Authorization"])
            data = [{"id": name, "object": "model", "created": 0, "owned_by": "test"} for name in how.models]
            self._send(200, {"object": "list", "data": data})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                how.asked.append(asked)
                status = how.fails.pop(0) if how.fails else 200
                answer = completion(lm, asked, how) if status == 200 else {"error": {"message": how.says, "code": status}}
            self._send(status, answer)

        def _send(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def completion(lm: LanguageModel, asked: dict[str, Any], how: Behaviour) -> dict[str, Any]:
    """Answer as /v1/completions does: the tokens read, then the one generated."""
    ids = lm.tokenizer(asked["prompt"])["input_ids"]
    with torch.inference_mode():
        log_probs = lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    new = int(log_probs[-1].argmax())
    scores: list[float | None] = [None, *(float(log_probs[at, token]) for at, token in enumerate([*ids[1:], new]))]
    tokens = [lm.tokenizer.decode([token]) for token in [*ids, new]]
    if how.opens:  # as vLLM does with a tokenizer that has a start token: each text is longer than what was asked
        tokens, scores = [how.opens, *tokens], [None, -1.5, *scores[1:]]
    if not (how.echoes and asked["echo"]):
        tokens, scores = tokens[-1:], scores[-1:]
    logprobs = None if how.hides else {"tokens": tokens, "token_logprobs": scores, "text_offset": [], "top_logprobs": None}
    choice = {"index": 0, "text": "".join(tokens), "finish_reason": "length", "logprobs": logprobs}
    usage = {"prompt_tokens": len(ids), "completion_tokens": 1, "total_tokens": len(ids) + 1}
    return {"id": "1", "object": "text_completion", "created": 0, "model": asked["model"], "choices": [choice], "usage": usage}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(save(tmp_path_factory.mktemp("llama"), "llama"))


@pytest.fixture
def how(monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Behaviour()


@pytest.fixture
def address(llama: LanguageModel, how: Behaviour) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(llama, how))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("opens", ["", "<s>"])
def test_a_server_scores_as_the_engine_does(address: str, how: Behaviour, llama: LanguageModel, opens: str) -> None:
    how.opens = opens
    lm = ServedModel.load(find_served(address))
    found = lm.score(PROMPTS, APART)
    assert (found.dtype, lm.name) == (np.dtype(np.float32), f"{address}#tiny")
    np.testing.assert_allclose(found, llama.score(PROMPTS, APART), rtol=0, atol=1e-4)
    assert np.ptp(found, axis=1).min() > 1
    shortlists = np.array([[2, 0], [1, 3], [3, 3]])
    np.testing.assert_allclose(lm.score_shortlists(PROMPTS, APART, shortlists), np.take_along_axis(found, shortlists, 1), atol=1e-6)
    assert lm.token_counts(APART).tolist() == llama.token_counts(APART).tolist()
    assert lm.score([], APART).shape == (0, 4)


def test_labels_of_which_one_begins_another_are_closed_by_a_line_break(address: str, llama: LanguageModel) -> None:
    lm = ServedModel.load(find_served(address))
    expected = llama.score(PROMPTS, [f"{label}\n" for label in LABELS])
    np.testing.assert_allclose(lm.score(PROMPTS, LABELS), expected, rtol=0, atol=1e-4)
    alone = llama.score(PROMPTS, [" tea"])[:, 0]
    assert np.abs(lm.score(PROMPTS, LABELS)[:, 0] - alone).min() > 0.1


def test_a_token_that_straddles_the_seam_counts_as_text_against_text(address: str, llama: LanguageModel) -> None:
    """The prompt ends in the middle of a word, which the tokenizer knows as a whole when the label completes it."""
    words = llama.tokenizer
    alone, together = words("dog foo")["input_ids"], words("dog food")["input_ids"]
    assert len(together) < len(alone)

    def likelihood(ids: list[int]) -> float:
        with torch.inference_mode():
            read = llama.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(read[at, token]) for at, token in enumerate(ids[1:]))

    [[found]] = ServedModel.load(find_served(address)).score(["dog foo"], ["d"])
    assert found == pytest.approx(likelihood(together) - likelihood(alone), abs=1e-4)


def test_each_text_is_read_once_whatever_it_is_asked_for(address: str, how: Behaviour) -> None:
    ServedModel.load(find_served(address)).score([PROMPTS[0], PROMPTS[0], PROMPTS[1]], APART)
    assert len(how.asked) == 2 * (1 + 4)
    assert {(each["model"], each["max_tokens"], each["echo"]) for each in how.asked} == {("tiny", 1, True)}


def test_a_server_that_stumbles_is_asked_again(address: str, how: Behaviour, llama: LanguageModel) -> None:
    how.fails = [503, 429]
    found = ServedModel.load(find_served(address)).score(PROMPTS[2:], APART)
    np.testing.assert_allclose(found, llama.score(PROMPTS[2:], APART), rtol=0, atol=1e-4)
    assert len(how.asked) == 5 + 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"echoes": False}, "gives no log-probabilities of what it reads -> name a server whose /completions knows `echo`"),
        ({"hides": True}, "gives no log-probabilities of what it reads -> name a server whose /completions knows `echo`"),
        (
            {"fails": [400] * 50},
            r"refuses \(400\): Only no echo is supported -> mend what it says, or name a server whose /completions knows `echo`",
        ),
        ({"fails": [500] * 50}, r"refuses \(500\): Only no echo is supported"),
        ({"fails": [404] * 50, "says": "Not Found"}, r"refuses \(404\): Not Found -> check its address, which mostly ends in /v1"),
        ({"fails": [401] * 50, "says": "wrong key sk-secret"}, "lets nobody in without its key -> put the key into OPENAI_API_KEY$"),
    ],
    ids=["no echo", "no log-probabilities", "refuses", "breaks", "not there", "no key"],
)
def test_a_server_that_cannot_is_told_in_a_line(
    address: str, how: Behaviour, wrong: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "RETRIES", 0)
    lm = ServedModel.load(find_served(address))
    for name, value in wrong.items():
        setattr(how, name, value)
    with pytest.raises(ModelError, match=told) as error:
        lm.score(PROMPTS[:1], APART)
    assert f"the server of {address}#tiny" in str(error.value)
    assert "sk-secret" not in str(error.value)


def test_a_server_that_is_down_is_told(address: str) -> None:
    with pytest.raises(ModelError, match=r"the server of http://127\.0\.0\.1:1/v1 does not answer -> start it, or go without: `--lm none`"):
        find_served("http://127.0.0.1:1/v1")


def test_what_answers_but_speaks_no_such_protocol_is_told(llama: LanguageModel) -> None:
    class Website(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

    with ThreadingHTTPServer(("127.0.0.1", 0), Website) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with pytest.raises(ModelError, match="does not speak the OpenAI protocol -> check its address"):
            find_served(f"http://127.0.0.1:{server.server_port}/v1")
        server.shutdown()


def test_a_model_is_the_servers_only_one_or_must_be_named(address: str, how: Behaviour) -> None:
    assert find_served(f"{address}#tiny").identity == f"{address}#tiny@as served"
    with pytest.raises(ModelError, match=rf"the server at {address} has no model 'tinny' -> did you mean 'tiny'\?"):
        find_served(f"{address}#tinny")
    how.models = ("tiny", "other")
    with pytest.raises(ModelError, match=f"has several models, or none: tiny, other -> name one as `{address}#MODEL`"):
        find_served(address)
    assert find_served(f"{address}#other").place == f"{address}#other"
    # A saved tagger's is taken at its word: the server may be down until it is asked.
    assert find_served("http://127.0.0.1:1/v1#tiny", "as served").name == "http://127.0.0.1:1/v1#tiny"


@pytest.mark.parametrize("place", ["http://me:word@127.0.0.1:1/v1", "http://127.0.0.1:1/v1?key=word"])
def test_an_address_with_a_password_in_it_is_refused_and_not_repeated(place: str) -> None:
    with pytest.raises(ModelError, match="holds more than a place, and addresses are written into the ledger") as error:
        find_served(place)
    assert "word@" not in str(error.value)
    assert "key=" not in str(error.value)


def test_without_the_package_the_line_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModelError, match=r'needs the package openai -> pip install "fewtag\[server\]"'):
        find_served("http://127.0.0.1:1/v1")


def test_chat_prompts_are_refused(address: str) -> None:
    with pytest.raises(ModelError, match=r"reads no chat prompts -> use a completion prompt such as category\.v1"):
        ServedModel.load(find_served(address)).score(PROMPTS, APART, chat=True)


def test_tokens_alike_to_the_end_add_nothing() -> None:
    same = Reading(("a", "b"), (0.0, -2.0))
    assert same.behind(same) == 0


@pytest.mark.parametrize("way", ["option", *(pytest.param(each, marks=pytest.mark.slow) for each in ("file", "mapping"))])
def test_a_bootstrap_with_a_server_names_it_and_never_writes_the_key(
    address: str, how: Behaviour, shop: Path, run: Run, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(ShortlistScorer, "weight", lambda *_: 0.5)  # by its random weights the model would have none
    with (shop / "products.csv").open("a", encoding="utf-8") as file:
        file.write("A13,绿茶 咖啡 橙汁 礼盒,\n")
    assert run("bootstrap", "taxonomy.yaml", "--workspace", shop / "without").code == 0
    named = {"file": address, "mapping": f'{{server: "{address}", model: tiny}}'}
    if way != "option":
        edit("taxonomy.yaml", "categories:", f"models: {{lm: {named[way]}}}\ncategories:")
    said = run("bootstrap", "taxonomy.yaml", *(["--lm", address] if way == "option" else []))
    assert (said.code, said.out[:12]) == (0, "13 products:")
    assert f"language model: {address}#tiny" in said.talk
    assert how.keys == {"Bearer sk-secret"}
    with Ledger.open(Path(".fewtag/fewtag.db")) as ledger:
        assert (ledger.history("A1")[0].model.name, ledger.history("A1")[0].model.revision) == (f"{address}#tiny", "as served")
    heard, without = ({each.tag.product_id: each.tag.alternatives for each in stored(root)} for root in (Path(".fewtag"), Path("without")))
    assert heard["A13"] != without["A13"]
    assert not [file for file in (shop / ".fewtag").rglob("*") if file.is_file() and b"sk-secret" in file.read_bytes()]
    # What has been said is not asked again, and a tagger that is opened asks the server for nothing.
    before = len(how.asked)
    how.models = ()
    assert run("tag", "products.csv").code == 0
    assert len(how.asked) == before
    # An explanation leaves out one word after the other, which nobody has asked about yet.
    assert run("explain", "A13").code == 0
    assert before < len(how.asked) <= before + 14 * 7
