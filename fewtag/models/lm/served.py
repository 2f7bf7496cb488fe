"""A language model on an OpenAI-compatible server, asked over HTTP for what `LanguageModel` works out here.

The trap: a server reads prompt and label as one text, and a token may straddle the seam between the two. So what counts is all that the
server reads from where it parts from the prompt read alone, less what it reads of the prompt alone from there on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from fewtag.errors import ModelError, did_you_mean
from fewtag.models.lm.label_trie import one_begins_another, shared_prefix
from fewtag.models.lm.likelihood import Scores
from fewtag.models.source import Source

UNKNOWN_WEIGHTS: Final = "as served"
KEY: Final = "OPENAI_API_KEY"
END: Final = "\n"
"""What closes labels of which one begins another: a server does not say which token ends its texts."""
AT_ONCE: Final = 8
TIMEOUT_S: Final = 120.0
RETRIES: Final = 3
ADDRESS: Final = "check its address, which mostly ends in /v1"
NEEDS: Final = "name a server whose /completions knows `echo` with `logprobs`, such as vLLM or llama-cpp-python, or a model folder"


@dataclass(frozen=True, slots=True)
class Reading:
    """The tokens of a text as a server reads them, and the log-probability of each behind those before it, the first one's being 0."""

    tokens: tuple[str, ...]
    log_probs: tuple[float, ...]

    def behind(self, prompt: Reading) -> float:
        """Return the log-probability of what this text adds to a prompt that it begins with.

        Where a token straddles the seam, that is p(text) / p(prompt), each in its own tokens. It compares labels of one prompt rightly.

        >>> prompt = Reading(("a", " b"), (0.0, -1.0))
        >>> Reading(("a", " b", " c"), (0.0, -1.0, -3.0)).behind(prompt), Reading(("a", " bc"), (0.0, -3.0)).behind(prompt)
        (-3.0, -2.0)
        """
        alike = shared_prefix(self.tokens, prompt.tokens)
        return sum(self.log_probs[alike:]) - sum(prompt.log_probs[alike:])


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A causal model on a server, with the face of `LanguageModel`; `model` is the server's name for it, `client` the openai package's.

    Labels are closed by a line break where one begins another ("tea", "tea bags"), for the reason that `LanguageModel` has for its
    end token.
    """

    source: Source
    client: Any
    model: str

    @classmethod
    def load(cls, source: Source) -> ServedModel:
        """Make the client of a model that `find_served` has found; raises ModelError where the openai package is missing."""
        address, _, model = source.place.partition("#")
        return cls(source, _client(address), model)

    @property
    def name(self) -> str:
        """The server's address and its name for the model."""
        return self.source.name

    def score(self, prompts: Sequence[str], labels: Sequence[str], *, chat: bool = False) -> Scores:
        """Return the summed log-probability of every label after every prompt, float32 (n_prompts, n_labels)."""
        every = np.broadcast_to(np.arange(len(labels)), (len(prompts), len(labels)))
        return self.score_shortlists(prompts, labels, every, chat=chat)

    def score_shortlists(
        self, prompts: Sequence[str], labels: Sequence[str], shortlists: npt.NDArray[np.integer], *, chat: bool = False
    ) -> Scores:
        """Score for each prompt a shortlist of the labels, given as places in `labels`, (n_prompts, k); returns float32 (n_prompts, k).

        Raises ModelError where the server is down, refuses, or keeps the log-probabilities of what it reads to itself.
        """
        if chat:
            raise ModelError(f"a model on a server ({self.name}) reads no chat prompts", mend="use a completion prompt such as category.v1")
        closed = _closed(labels)
        texts = [(prompt, [prompt + closed[place] for place in row]) for prompt, row in zip(prompts, shortlists, strict=True)]
        read = self._read_all([text for prompt, longer in texts for text in (prompt, *longer)])
        rows = [[read[text].behind(read[prompt]) for text in longer] for prompt, longer in texts]
        return np.array(rows, dtype=np.float32).reshape(shortlists.shape)

    def token_counts(self, labels: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the number of tokens that each label's score sums over, behind a line break, (n_labels,)."""
        closed = _closed(labels)
        read = self._read_all([END, *(END + label for label in closed)])
        before = read[END].tokens
        counts = [len(read[END + label].tokens) - shared_prefix(read[END + label].tokens, before) for label in closed]
        return np.array(counts, dtype=np.int64)

    def _read_all(self, texts: Sequence[str]) -> dict[str, Reading]:
        """Have the server read each text once, a few at a time; after Ctrl-C those under way are all that is waited for."""
        once, pool = list(dict.fromkeys(texts)), ThreadPoolExecutor(AT_ONCE)
        try:
            return dict(zip(once, pool.map(self._read, once), strict=True))
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, text: str) -> Reading:
        """Have the server read a text: it echoes that, and one token more, as there are servers that take 0 for "no limit"."""
        asked: dict[str, Any] = {"prompt": text, "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0}
        answer = _answer(lambda: self.client.completions.create(model=self.model, **asked), self.name)
        found = answer.choices[0].logprobs if getattr(answer, "choices", None) else None
        tokens, log_probs = (list(getattr(found, name, None) or ()) for name in ("tokens", "token_logprobs"))
        end = len(tokens) - (answer.usage.completion_tokens if getattr(answer, "usage", None) else len(tokens))
        if end < 1 or len(log_probs) != len(tokens) or None in log_probs[1:end]:
            raise ModelError(f"the server of {self.name} gives no log-probabilities of what it reads", mend=NEEDS)
        return Reading(tuple(tokens[:end]), (0.0, *log_probs[1:end]))


def is_address(name: str) -> bool:
    """Say whether a model's name is the address of a server.

    >>> is_address("http://localhost:8000/v1#qwen"), is_address("organisation/model")
    (True, False)
    """
    return name.startswith(("http://", "https://"))


def find_served(name: str, revision: str | None = None) -> Source:
    """Find a model by the address of its server and, behind a "#", the server's name for it, which may be missing where it has only one.

    A server's weights cannot be hashed, nor does it say when they change: the ledger names the address and the model, and whoever changes
    what they stand for must start a new workspace. With `revision`, as a saved tagger has, the server is asked nothing before it must be.

    Raises ModelError for an address with a password in it, and where the server is down or has no such model.
    """
    address, _, model = name.partition("#")
    parts = urlsplit(address)
    if parts.username or parts.password or parts.query:
        problem = f"the address of the server at {parts.hostname} holds more than a place, and addresses are written into the ledger"
        raise ModelError(problem, mend=f"write it without user, password and `?...`; a key is read from {KEY}")
    if not (model and revision):
        client = _client(address)
        known = [each.id for each in _answer(lambda: client.with_options(max_retries=1).models.list(), address).data]
        model = _chosen(model, known, address)
    return Source(f"{address}#{model}", f"{address}#{model}", UNKNOWN_WEIGHTS)


def _chosen(model: str, known: Sequence[str], address: str) -> str:
    """Return the model that is named, or the only one."""
    if not model and len(known) == 1:
        return known[0]
    listed = ", ".join(known) or "none"
    if not model:
        raise ModelError(f"the server at {address} has several models, or none: {listed}", mend=f"name one as `{address}#MODEL`")
    if model not in known:
        raise ModelError(f"the server at {address} has no model '{model}'", mend=did_you_mean(model, known, f"it has {listed}"))
    return model


def _closed(labels: Sequence[str]) -> list[str]:
    """Close all labels where one begins another.

    >>> _closed([" tea", " coffee"]), _closed([" tea", " tea bags"])
    ([' tea', ' coffee'], [' tea\\n', ' tea bags\\n'])
    """
    return [label + END for label in labels] if one_begins_another([tuple(map(ord, label)) for label in labels]) else list(labels)


def _client(address: str) -> Any:
    try:
        from openai import OpenAI
    except ImportError:
        raise ModelError("a language model on a server needs the package openai", mend='pip install "fewtag[server]"') from None
    return OpenAI(base_url=address, api_key=os.environ.get(KEY) or "none", timeout=TIMEOUT_S, max_retries=RETRIES)


def _answer(ask: Any, name: str) -> Any:
    """Ask a server, and turn what goes wrong into a ModelError; tries again and waits are the client's."""
    from openai import APIConnectionError, APIStatusError, OpenAIError

    try:
        return ask()
    except APIConnectionError as error:
        raise ModelError(f"the server of {name} does not answer", mend="start it, or go without: `--lm none`") from error
    except APIStatusError as error:
        if error.status_code in (401, 403):  # what it says may repeat the key
            raise ModelError(f"the server of {name} lets nobody in without its key", mend=f"put the key into {KEY}") from error
        said = " ".join(str(error.body.get("message") if isinstance(error.body, dict) else error.message).split())[:200]
        mend = ADDRESS if error.status_code == 404 else f"mend what it says, or {NEEDS}"
        raise ModelError(f"the server of {name} refuses ({error.status_code}): {said}", mend=mend) from error
    except (OpenAIError, ValueError, AttributeError) as error:  # the client stumbles over a page that is no JSON
        raise ModelError(f"the server of {name} does not speak the OpenAI protocol", mend=ADDRESS) from error
