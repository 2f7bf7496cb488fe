"""The label-likelihood engine against the slow and obvious way: one forward pass for each prompt and label."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from fewtag.errors import ModelError
from fewtag.models.lm.label_trie import LabelTrie, one_begins_another, tries
from fewtag.models.lm.likelihood import Budget, way_of
from fewtag.models.lm.model import LanguageModel
from fewtag.models.lm.prefix import PrefixConfig, prefix_mask, register

LINES = ["tea bags black tea green tea", "coffee beans dark roast coffee", "dog food cat food dry food", "Product: Category:"]
PROMPTS = [
    "Product: loose green tea from Fujian, 250 g tin, spring harvest\nCategory:",
    "Product: dark roast beans\nCategory:",
    "dog:",
]
LABELS = [" tea", " tea bags", " coffee", " coffee beans", " dog food", " dog food dry", " cat food", " oat drink"]
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}

CONFIGS: dict[str, Callable[[int], transformers.PreTrainedConfig]] = {
    "llama": lambda vocab: transformers.LlamaConfig(vocab_size=vocab, num_key_value_heads=2, **SMALL),
    "qwen2": lambda vocab: transformers.Qwen2Config(vocab_size=vocab, num_key_value_heads=2, **SMALL),
    "qwen3": lambda vocab: transformers.Qwen3Config(vocab_size=vocab, num_key_value_heads=2, head_dim=8, **SMALL),
    "gpt2": lambda vocab: transformers.GPT2Config(vocab_size=vocab, n_embd=32, n_layer=2, n_head=4, n_positions=256),
    "mistral": lambda vocab: transformers.MistralConfig(vocab_size=vocab, num_key_value_heads=2, sliding_window=8, **SMALL),
    "bloom": lambda vocab: transformers.BloomConfig(vocab_size=vocab, hidden_size=32, n_layer=2, n_head=4),
    "prefix": lambda vocab: PrefixConfig(vocab_size=vocab, is_decoder=True, decoder_start_token_id=1, eos_token_id=1, **SMALL),
    "mamba": lambda vocab: transformers.MambaConfig(vocab_size=vocab, hidden_size=32, num_hidden_layers=2, state_size=4),
    "t5": lambda vocab: transformers.T5Config(
        vocab_size=vocab, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0
    ),
    "bart": lambda vocab: transformers.BartConfig(
        vocab_size=vocab, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=256, decoder_start_token_id=0,
    ),
}  # fmt: skip
WAYS = {"mistral": "plain", "bloom": "plain", "mamba": "plain", "t5": "seq2seq", "bart": "seq2seq"}


def tokenizer(*, pad: bool = True, eos: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that learned a few words; in a model with an encoder its texts end in the end token."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=300, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>" if pad else None, eos_token="<eos>" if eos else None)


def save(folder: Path, kind: str, **tokens: bool) -> Path:
    """Save a model of random weights, large enough that likelihoods differ by whole units, with its tokenizer."""
    torch.manual_seed(7)
    words = tokenizer(**tokens)
    if kind == "prefix":  # its prompts end with the token that opens an answer
        words.bos_token = "<eos>"
        words.backend_tokenizer.post_processor = processors.TemplateProcessing("$A <eos>", special_tokens=[("<eos>", 1)])
    register()
    config = CONFIGS[kind](len(words))
    auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    model = auto.from_config(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim > 1 and not any(part in name for part in ("A_log", "conv1d", "dt_proj")):
                weights.normal_(0, 0.25)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def load(folder: Path) -> LanguageModel:
    return LanguageModel.load(str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def lms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LanguageModel]:
    return {kind: load(save(tmp_path_factory.mktemp(kind), kind)) for kind in CONFIGS}


def naive(lm: LanguageModel, prompts: list[str], labels: list[str], *, end: bool = True) -> np.ndarray:
    """One forward pass for each prompt and label, nothing padded, nothing shared, log-softmax over everything."""

    def one(prompt: str, label: str) -> float:
        before = lm.tokenizer(prompt)["input_ids"]
        seq2seq = lm.model.config.is_encoder_decoder
        wanted = lm.tokenizer(label.strip() if seq2seq else label, add_special_tokens=False)["input_ids"] + (
            [lm.tokenizer.eos_token_id] if end else []
        )
        if seq2seq:
            start = [lm.model.config.decoder_start_token_id]
            logits = lm.model(input_ids=torch.tensor([before]), decoder_input_ids=torch.tensor([start + wanted[:-1]])).logits[0]
        else:
            logits = lm.model(torch.tensor([before + wanted])).logits[0, len(before) - 1 : -1]
        return float(sum(logits.log_softmax(-1)[at, token] for at, token in enumerate(wanted)))

    with torch.inference_mode():
        return np.array([[one(prompt, label) for label in labels] for prompt in prompts], dtype=np.float32)


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_model_scores_as_one_pass_per_label_does(lms: dict[str, LanguageModel], kind: str) -> None:
    lm = lms[kind]
    expected = naive(lm, PROMPTS, LABELS)
    scores = lm.score(PROMPTS, LABELS)
    assert lm.way == WAYS.get(kind, "tree")
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected, axis=1).min() > 1  # the labels differ by far more than the tolerance
    assert np.ptp(expected, axis=0).max() > 0.5  # and so do the prompts


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mamba", "t5", "prefix"])
@pytest.mark.parametrize("budget", [Budget(1, 1), Budget(50, 5), Budget(4096, 12)])
def test_the_budget_cuts_work_into_chunks_without_changing_scores(lms: dict[str, LanguageModel], kind: str, budget: Budget) -> None:
    lm = lms[kind]
    np.testing.assert_allclose(replace(lm, budget=budget).score(PROMPTS, LABELS), lm.score(PROMPTS, LABELS), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "mamba", "t5", "prefix"])
@pytest.mark.parametrize("budget", [Budget(4096, 4096), Budget(50, 3)])
def test_a_shortlist_gives_the_entries_of_the_full_matrix(lms: dict[str, LanguageModel], kind: str, budget: Budget) -> None:
    lm = replace(lms[kind], budget=budget)
    shortlists = np.array([[1, 0, 5], [3, 7, 2], [6, 4, 4]])
    expected = np.take_along_axis(naive(lm, PROMPTS, LABELS), shortlists, axis=1)
    np.testing.assert_allclose(lm.score_shortlists(PROMPTS, LABELS, shortlists), expected, rtol=0, atol=1e-4)


def test_a_model_that_passes_over_the_tree_mask_takes_the_plain_way(lms: dict[str, LanguageModel], monkeypatch: pytest.MonkeyPatch) -> None:
    model = lms["llama"].model
    forward = model.forward

    @functools.wraps(forward)
    def careless(**inputs: Any) -> Any:
        return forward(**inputs | {"attention_mask": None if inputs["attention_mask"].ndim == 4 else inputs["attention_mask"]})

    assert way_of(model) == "tree"
    monkeypatch.setattr(model, "forward", careless)
    assert way_of(model) == "plain"


def test_half_precision_keeps_the_order_of_scores(tmp_path: Path) -> None:
    folder = save(tmp_path, "llama")
    exact = load(folder).score(PROMPTS, LABELS)
    half = LanguageModel.load(str(folder), device="cpu", dtype="bfloat16").score(PROMPTS, LABELS)
    np.testing.assert_allclose(half, exact, rtol=0.05, atol=0.5)


def test_labels_of_which_none_begins_another_get_no_end_token(lms: dict[str, LanguageModel]) -> None:
    lm, labels = lms["llama"], [" tea", " coffee", " dog food"]
    np.testing.assert_allclose(lm.score(PROMPTS, labels), naive(lm, PROMPTS, labels, end=False), rtol=0, atol=1e-4)
    assert lm.token_counts(labels).tolist() == [1, 1, 4]
    assert lm.token_counts([*labels, " tea bags"]).tolist() == [2, 2, 5, 4]
    assert lms["t5"].token_counts([" dog food"])[0] == len(lms["t5"].tokenizer("dog food")["input_ids"]) + 1


def test_labels_of_one_token_are_read_off_the_prompt_alone(lms: dict[str, LanguageModel]) -> None:
    lm = lms["gpt2"]
    scores = lm.score(PROMPTS, [" tea", " coffee"])
    with torch.inference_mode():
        after = lm.model(torch.tensor([lm.tokenizer(PROMPTS[0])["input_ids"]])).logits[0, -1].log_softmax(-1)
    wanted = [lm.tokenizer(label)["input_ids"] for label in (" tea", " coffee")]
    np.testing.assert_allclose(scores[0], [after[ids[0]] for ids in wanted], rtol=0, atol=1e-4)
    assert [len(ids) for ids in wanted] == [1, 1]


def test_a_question_is_read_from_both_sides_and_an_answer_from_left_to_right(lms: dict[str, LanguageModel]) -> None:
    lm = lms["prefix"]
    question, answer = [5, 6, 7], [8, 9]
    last = [lm.model.config.decoder_start_token_id, *answer]

    def read(*tokens: int) -> torch.Tensor:
        with torch.inference_mode():
            return lm.model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1][0]

    whole = read(*question, *last)
    assert torch.allclose(whole[:5], read(*question, *last[:2], 11)[:5], atol=1e-5), "nothing sees what is written behind it"
    assert not torch.allclose(whole[0], read(5, 6, 12, *last)[0], atol=1e-2), "the first word of a question sees its last"
    assert prefix_mask(torch.tensor([[4]]), opener=1, seen=2)[0, 0].tolist() == [[True, True, True]]


def test_a_prompt_of_one_token_and_no_prompts_at_all(lms: dict[str, LanguageModel]) -> None:
    lm = lms["llama"]
    assert len(lm.tokenizer("A")["input_ids"]) == 1
    np.testing.assert_allclose(lm.score(["A"], LABELS), naive(lm, ["A"], LABELS), rtol=0, atol=1e-4)
    np.testing.assert_allclose(lm.score(["A", PROMPTS[0]], LABELS), naive(lm, ["A", PROMPTS[0]], LABELS), rtol=0, atol=1e-4)
    assert lm.score([], LABELS).shape == (0, 8)


def test_a_tokenizer_without_pad_token_needs_none(tmp_path: Path) -> None:
    lm = load(save(tmp_path, "llama", pad=False))
    assert lm.tokenizer.pad_token_id is None
    np.testing.assert_allclose(lm.score(PROMPTS, LABELS), naive(lm, PROMPTS, LABELS), rtol=0, atol=1e-4)


def test_a_tokenizer_that_opens_every_text_with_a_space_spends_it_before_the_label(lms: dict[str, LanguageModel]) -> None:
    words = tokenizer()
    plain = words(" tea")["input_ids"]
    words.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(replacement=" ", prepend_scheme="always", split=False), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    assert words("tea")["input_ids"] == plain  # this tokenizer cannot see whether a text that stands alone had its space
    assert replace(lms["llama"], tokenizer=words).token_counts([" tea"]).tolist() == [1]


def test_an_end_or_a_second_start_that_the_tokenizer_adds_is_dropped(lms: dict[str, LanguageModel]) -> None:
    lm = lms["llama"]
    words = tokenizer()
    words.bos_token = "<pad>"
    words.backend_tokenizer.post_processor = processors.TemplateProcessing("<pad> $A <eos>", special_tokens=[("<pad>", 0), ("<eos>", 1)])
    closed = replace(lm, tokenizer=words)
    expected = naive(lm, [f"<pad>{prompt}" for prompt in PROMPTS], LABELS)
    np.testing.assert_allclose(closed.score(PROMPTS, LABELS), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(closed.score([f"<pad>{prompt}" for prompt in PROMPTS], LABELS), expected, rtol=0, atol=1e-4)


def test_a_chat_prompt_goes_through_the_chat_template(lms: dict[str, LanguageModel]) -> None:
    words = tokenizer()
    words.chat_template = "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}\n{% endfor %}you:"
    lm = replace(lms["llama"], tokenizer=words)
    expected = naive(lm, [f"user: {prompt}\nyou:" for prompt in PROMPTS], LABELS)
    np.testing.assert_allclose(lm.score(PROMPTS, LABELS, chat=True), expected, rtol=0, atol=1e-4)
    with pytest.raises(ModelError, match=r"has no chat template -> use a completion prompt such as category\.v1"):
        lms["llama"].score(PROMPTS, LABELS, chat=True)


def test_a_prompt_beyond_the_context_loses_its_middle(lms: dict[str, LanguageModel]) -> None:
    lm = lms["gpt2"]  # 256 positions; the longest label has 8 tokens, so 248 are left, of which 62 are kept for the end
    text = "Product: " + "tea coffee " * 150 + "beans\nCategory:"
    ids = lm.tokenizer(text)["input_ids"]
    longest = int(lm.token_counts(LABELS).max())
    room = 256 - longest
    assert lm._prompt_tokens([text], room) == [tuple(ids[: room - room // 4] + ids[-(room // 4) :])]
    assert np.isfinite(lm.score([text], LABELS)).all()


def test_what_cannot_be_scored_is_a_model_error(lms: dict[str, LanguageModel], tmp_path: Path) -> None:
    lm = lms["llama"]
    with pytest.raises(ModelError, match="the label '' has no tokens"):
        lm.score(PROMPTS, ["", " tea"])
    with pytest.raises(ModelError, match="the prompt '' has no tokens"):
        lm.score([""], LABELS)
    with pytest.raises(ModelError, match=r"' tea tea .* takes 200 of the 256 tokens .* -> shorten the category's name"):
        lm.score(PROMPTS, [" tea" * 200, " coffee"])
    endless = load(save(tmp_path, "llama", eos=False))
    assert endless.score(PROMPTS, [" tea", " coffee"]).shape == (3, 2)
    with pytest.raises(ModelError, match="has no end token, which these labels need"):
        endless.score(PROMPTS, LABELS)


def test_an_encoder_without_a_language_model_head_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48)
    transformers.BertModel(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is no language model, its weights lack cls"):
        load(tmp_path)


def test_a_trie_holds_shared_prefixes_once() -> None:
    trie = LabelTrie.build([(4, 5, 1), (4, 6, 1), (4, 1), (7, 1)])
    assert trie.nodes.tolist() == [0, 4, 5, 6, 7]
    assert trie.depth.tolist() == [0, 1, 2, 2, 1]
    assert trie.sees.astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 0, 0, 0, 1],
    ]
    assert trie.edges.tolist() == [[0, 4], [1, 5], [2, 1], [1, 6], [3, 1], [1, 1], [0, 7], [4, 1]]
    assert trie.label_edges.tolist() == [[0, 1, 2], [0, 3, 4], [0, 5, 8], [6, 7, 8]]


@pytest.mark.parametrize("max_nodes", [1, 2, 3, 5, 8, 100])
def test_tries_hold_every_label_once_and_keep_to_their_size(max_nodes: int) -> None:
    rng = np.random.default_rng(3)
    labels = tuple(tuple(int(token) for token in rng.integers(0, 4, size=rng.integers(1, 5))) for _ in range(40))
    cut = tries(labels, max_nodes)
    assert sorted(place for trie in cut for place in trie.labels.tolist()) == list(range(40))
    assert all(len(trie) <= max_nodes or len(trie.labels) == 1 for trie in cut)
    for trie in cut:
        read = [tuple(trie.edges[edge, 1].item() for edge in row if edge < len(trie.edges)) for row in trie.label_edges]
        assert read == [labels[place] for place in trie.labels]
    assert one_begins_another(labels) == any(a != b and b[: len(a)] == a for a in labels for b in labels)
