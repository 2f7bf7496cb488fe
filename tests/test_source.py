"""Where a model is found: a folder, the hub at a commit, or what the hub's cache has kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub.errors import HfHubHTTPError

from fewtag.errors import ModelError
from fewtag.models.source import locate, weights_hash


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the test say what the hub answers."""

    def answers(answer: Any) -> None:
        def model_info(self: object, name: str, revision: str | None, timeout: float) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)

    return answers


def test_a_folder_is_known_by_the_hash_of_its_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    source = locate(str(tmp_path))
    line = f"model.safetensors {hashlib.sha256(b'weights').hexdigest()}\n"
    assert source.revision == hashlib.sha256(line.encode()).hexdigest()
    assert source.identity == f"{tmp_path}@{source.revision}"
    assert source.arguments == {"local_files_only": True}


@pytest.mark.parametrize("name", ["2_Dense/model.safetensors", "1_Pooling/config.json", "tokenizer.json"])
def test_whatever_changes_a_models_answers_changes_its_hash(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    hashes = {weights_hash(tmp_path)}
    for content in (b"one", b"two"):
        (tmp_path / name).write_bytes(content)
        hashes.add(weights_hash(tmp_path))
    (tmp_path / "README.md").write_text("no matter")
    assert len(hashes | {weights_hash(tmp_path)}) == 3


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the folder holds no model weights -> name a folder"):
        weights_hash(tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "~/nowhere", "a/b/c"])
def test_what_can_only_be_a_folder_is_not_asked_of_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match=f"there is no model folder '{name}' -> name a folder that is there"):
        locate(name)


def test_a_hub_model_is_pinned_to_the_commit_that_its_name_means_today(hub: Any) -> None:
    hub(SimpleNamespace(sha="c0ffee"))
    source = locate("org/model")
    assert source.identity == "org/model@c0ffee"
    assert source.arguments == {"revision": "c0ffee", "local_files_only": False}


def test_a_saved_commit_is_asked_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, name, revision, timeout: SimpleNamespace(sha=revision or "today"))
    assert [locate("org/model", revision).revision for revision in (None, "c0ffee")] == ["today", "c0ffee"]


def test_without_network_a_hub_model_comes_from_the_cache(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(ConnectionError("no route"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file, revision: f"/cache/snapshots/beef/{file}")
    source = locate("org/model")
    assert source.arguments == {"revision": "beef", "local_files_only": True}


def test_without_network_and_cache_the_error_names_the_preset_that_works_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as caught:
        locate("fewtag-tests/no-such-model")
    assert str(caught.value) == (
        "the model 'fewtag-tests/no-such-model' is not on this machine, and the hub cannot be reached"
        " -> use `preset: embedded`, which works offline (`lm: none` goes without a language model), or name a folder that holds the model"
    )


def test_a_name_that_the_hub_does_not_have_says_so(hub: Any) -> None:
    refusal = HfHubHTTPError.__new__(HfHubHTTPError)  # its constructor wants a response of whichever network library is in use
    refusal.response = SimpleNamespace(status_code=404)
    hub(refusal)
    with pytest.raises(ModelError, match="the hub has no model 'org/typo' that you may read -> check its spelling"):
        locate("org/typo")


def test_a_name_that_no_model_can_have_says_so() -> None:
    with pytest.raises(ModelError, match="'bad id!' is neither a folder nor a hub id -> write 'organisation/model'"):
        locate("bad id!")
