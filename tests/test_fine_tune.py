"""The fine-tune rung: its loss by hand and by brute force, training that a kill does not change, folders that any transformers can load.

The models are made of a config on the spot: two layers of 32 dimensions and a vocabulary of the words below.
The trap: on such a model anything can be learnt by heart, so what a setting does is asked of weights and losses rather than of accuracy.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fewtag.core import Label, Product
from fewtag.errors import ModelError
from fewtag.models.fine_tune.examples import Examples, Target, examples_of, rarity, split
from fewtag.models.fine_tune.rung import FineTune
from fewtag.models.fine_tune.search import search
from fewtag.models.fine_tune.settings import TrainRecord, TrainSettings
from fewtag.models.source import locate
from fewtag.taxonomy import Taxonomy

Array = npt.NDArray[np.float32]
PATHS = ("Drinks > Tea", "Drinks > Coffee", "Home > Soap", "Home > Candles", "Home > Towels")
WORDS = {
    "drinks/tea": ("sencha", "tea", "matcha"),
    "drinks/coffee": ("coffee", "beans", "roast"),
    "home/soap": ("soap", "olive", "hand"),
    "home/candles": ("candles", "wax", "wick"),
}
EXTRAS = ("small", "large", "fine", "old", "new", "blue", "red", "green")
QUICK = TrainSettings(epochs=3, batch_size=8, learning_rate=3e-3, held_out=0.0)


@pytest.fixture(scope="module")
def body(frozen: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with random weights, in a folder."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("body")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *[word for words in WORDS.values() for word in words], *EXTRAS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        initializer_range=0.2,  # with the usual .02 so small a model tells nothing apart at first
    )
    BertModel(config).save_pretrained(folder)
    return folder


def shop(per_class: int = 12, classes: Sequence[str] = tuple(WORDS)) -> tuple[list[Product], list[Label]]:
    """Products whose words tell their category, each with a text of its own, and a label for each."""
    rng = random.Random(0)
    texts: dict[str, str] = {}
    for category in classes:
        size = len(texts) + per_class
        while len(texts) < size:
            texts.setdefault(" ".join(rng.sample(EXTRAS, 3) + rng.sample(WORDS[category], 2)), category)
    products = [Product(str(number), text) for number, text in enumerate(texts)]
    return products, [Label(product.id, texts[product.text], "test") for product in products]


def rung(body: Path, folder: Path, settings: TrainSettings = QUICK, seed: int = 0) -> FineTune:
    return FineTune(Taxonomy.from_paths(PATHS), locate(str(body)), settings=settings, seed=seed, folder=folder)


@pytest.fixture(scope="module")
def lopsided(body: Path, tmp_path_factory: pytest.TempPathFactory) -> Array:
    """What the plain settings make of 12, 8 and 4 labels of three classes in two branches."""
    products, labels = shop()
    return rung(body, tmp_path_factory.mktemp("lopsided")).fit(products, [*labels[:20], *labels[24:28]]).predict_proba(products)


@pytest.fixture(scope="module")
def learnt(body: Path, tmp_path_factory: pytest.TempPathFactory) -> FineTune:
    """What has learnt all labels by the plain settings; it is asked and saved, and never taught again."""
    return rung(body, tmp_path_factory.mktemp("learnt")).fit(*shop())


def weights_of(model: FineTune) -> dict[str, Any]:
    return {name: each.detach().clone() for name, each in model._ready().model.state_dict().items()}


# The examples


TREE = Taxonomy.from_paths(["A > x", "A > y", "B > z"])


def labelled(*labels: Label, taxonomy: Taxonomy = TREE) -> Examples:
    ids = dict.fromkeys(label.product_id for label in labels)
    return examples_of(taxonomy, [Product(each, f"text {each}") for each in ids], labels)


def test_examples_are_the_texts_that_have_a_label() -> None:
    products = [Product("1", "one"), Product("2", "two"), Product("3", "three")]
    labels = [Label("1", "b/z"), Label("3", "a/x", weight=0.25), Label("3", "a/y", negative=True), Label("elsewhere", "a/y")]
    examples = examples_of(TREE, products, labels)
    assert examples.classes == ("a/x", "b/z")  # in the order of the taxonomy; a negative label makes no class
    assert examples.texts == ("one", "three")  # "not a/y" says nothing where a/y is no class
    assert examples.targets == (Target("b/z"), Target("a/x"))
    assert (examples.gold.tolist(), examples.weight.tolist()) == ([1, 0], [1.0, 0.25])


def test_a_text_that_is_there_twice_counts_once_with_its_largest_weight() -> None:
    products = [Product("1", "same"), Product("2", "same"), Product("3", "same")]
    examples = examples_of(TREE, products, [Label("1", "a/x", weight=0.5), Label("2", "a/x"), Label("3", "b/z", weight=0.5)])
    assert (examples.texts, examples.weight.tolist()) == (("same", "same"), [1.0, 0.5])


def test_what_cannot_be_learnt_from_is_an_error() -> None:
    with pytest.raises(ModelError, match="there is no label to fine-tune on -> label a few products"):
        labelled(Label("1", "a/x", negative=True))
    with pytest.raises(ModelError, match="product '1' is labelled 'A > x', which is no category -> label products with ids"):
        labelled(Label("1", "A > x"))


def test_each_class_gives_its_share_to_the_held_out_but_never_its_last() -> None:
    labels = [Label(str(number), category) for number, category in enumerate(["a/x"] * 40 + ["a/y"] * 10 + ["b/z"])]
    examples = labelled(*labels)
    learn, held = split(examples, 0.2, seed=3)
    assert np.bincount(examples.gold[held], minlength=3).tolist() == [8, 2, 0]
    assert sorted([*learn, *held]) == list(range(51))
    assert split(examples, 0.2, seed=3)[1].tolist() == held.tolist() != split(examples, 0.2, seed=4)[1].tolist()


def test_too_few_labels_are_all_learnt_from() -> None:
    examples = labelled(*(Label(str(number), "a/x") for number in range(45)))
    assert [len(rows) for rows in split(examples, 0.2, seed=0)] == [45, 0]
    assert [len(rows) for rows in split(examples, 0.25, seed=0)] == [34, 11]


def test_a_text_with_two_labels_is_never_held_out() -> None:
    labels = [Label(str(number), category) for number in range(40) for category in ("a/x", "b/z")]
    assert len(split(labelled(*labels), 0.5, seed=0)[1]) == 0


def test_a_tag_that_is_learnt_from_is_never_held_out() -> None:
    labels = [Label(str(number), "a/x", weight=0.9 if number < 60 else 1.0) for number in range(80)]
    held = split(labelled(*labels), 0.25, seed=0)[1]
    assert len(held) == 20
    assert held.min() >= 60


# The loss


def loss_of(examples: Examples, *, hierarchy: float = 1.0, smoothing: float = 0.0, taxonomy: Taxonomy = TREE) -> Any:
    from fewtag.models.fine_tune.hierarchy_loss import HierarchyLoss

    return HierarchyLoss(taxonomy, examples, examples.weight, hierarchy=hierarchy, smoothing=smoothing)


def each_loss(examples: Examples, probabilities: Sequence[float], **how: Any) -> list[float]:
    """Return the loss of every example's target, had the model given these probabilities."""
    import torch

    logits = torch.log(torch.tensor([probabilities])).repeat(len(examples), 1) + 7  # whatever is added to all logits
    return loss_of(examples, **how).each(logits, torch.from_numpy(examples.target)).tolist()


def test_the_loss_is_what_one_works_out_by_hand() -> None:
    examples = labelled(
        Label("1", "a/x"),
        Label("2", "a/y"),
        Label("3", "b/z"),
        Label("4", "a"),
        Label("5", "a/x", negative=True),
        Label("6", "a", negative=True),
    )
    p = (0.5, 0.3, 0.2)
    # x: itself .5, A .8 | y: itself .3, A .8 | z: itself .2, B .2 | A: x or y, nothing above | not x: .5 | not A: z
    assert each_loss(examples, p, hierarchy=0) == pytest.approx(-np.log([0.5, 0.3, 0.2, 0.8, 0.5, 0.2]), abs=1e-6)
    assert each_loss(examples, p, hierarchy=2) == pytest.approx(
        -np.log([0.5 * 0.8**2, 0.3 * 0.8**2, 0.2 * 0.2**2, 0.8, 0.5, 0.2]), abs=1e-6
    )


def test_a_sibling_is_a_smaller_error_than_a_stranger() -> None:
    examples = labelled(Label("1", "a/x"), Label("2", "a/y"), Label("3", "b/z"))
    sibling, stranger = each_loss(examples, (0.1, 0.8, 0.1))[0], each_loss(examples, (0.1, 0.1, 0.8))[0]
    assert (sibling, stranger) == (pytest.approx(-np.log(0.1) - np.log(0.9)), pytest.approx(-np.log(0.1) - np.log(0.2)))
    without = [each_loss(examples, p, hierarchy=0)[0] for p in ((0.1, 0.8, 0.1), (0.1, 0.1, 0.8))]
    assert without[0] == pytest.approx(without[1])


def test_the_loss_equals_brute_force_on_a_taxonomy_with_everything() -> None:
    """Several parents, inner classes, unlabelled classes, inner and negative labels, several depths."""
    import torch

    from fewtag.taxonomy import Category

    taxonomy = Taxonomy(
        [
            Category("a", "A"),
            Category("b", "B", parents=("a",), assignable=True),
            Category("c", "C", parents=("b",)),
            Category("d", "D", parents=("b", "e")),
            Category("e", "E"),
            Category("f", "F", parents=("e",)),
            Category("g", "G"),
            Category("h", "H", parents=("e",)),
        ]
    )
    said = [("b", False), ("c", False), ("d", False), ("f", False), ("g", False), ("a", False), ("e", True), ("d", True), ("b", True)]
    examples = labelled(*(Label(str(n), category, negative=negative) for n, (category, negative) in enumerate(said)), taxonomy=taxonomy)
    assert examples.classes == ("b", "c", "d", "f", "g")
    logits = torch.randn((len(said), 5), generator=torch.Generator().manual_seed(1)) * 3
    found = loss_of(examples, hierarchy=0.7, taxonomy=taxonomy).each(logits, torch.from_numpy(examples.target))
    for row, (category, negative) in enumerate(said):
        exponentials = np.exp(logits[row].double().numpy())
        p = dict(zip(examples.classes, exponentials / exponentials.sum(), strict=True))

        def within(node: str, p: dict[str, float] = p) -> float:
            return sum(share for each, share in p.items() if node == each or node in taxonomy.ancestors(each))

        own = p[category] if category in p else within(category)
        above = [*taxonomy.ancestors(category), *(["b"] if category == "b" else [])]
        expected = -np.log(1 - own) if negative else -np.log(own) + sum(-0.7 / len(above) * np.log(within(node)) for node in above)
        assert float(found[row]) == pytest.approx(expected, abs=1e-5), (category, negative)


def test_the_hopeless_still_have_a_finite_loss_and_gradient() -> None:
    import torch

    examples = labelled(Label("1", "a/x"), Label("2", "b/z", negative=True), Label("3", "b/z"))
    logits = torch.tensor([[-500.0, 0.0, 500.0][:2]] * 3, requires_grad=True)
    total = loss_of(examples).each(logits, torch.from_numpy(examples.target)).sum()
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(logits.grad).all()


def test_smoothing_is_that_of_torch() -> None:
    import torch

    examples = labelled(Label("1", "a/x"), Label("2", "a/y"), Label("3", "b/z"))
    logits = torch.tensor([[1.0, 2.0, -1.0]] * 3)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2]), label_smoothing=0.3, reduction="none")
    found = loss_of(examples, hierarchy=0, smoothing=0.3).each(logits, torch.from_numpy(examples.target))
    torch.testing.assert_close(found, expected)


def test_a_label_counts_by_its_weight_and_a_batch_by_its_size() -> None:
    import torch
    from transformers.modeling_outputs import SequenceClassifierOutput

    examples = labelled(Label("1", "a/x"), Label("2", "a/y", weight=0.25), Label("3", "b/z"))
    outputs = SequenceClassifierOutput(logits=torch.log(torch.tensor([[0.5, 0.3, 0.2]] * 2)))
    loss = loss_of(examples, hierarchy=0)
    by_hand = -np.log(0.5) - 0.25 * np.log(0.3)
    assert float(loss(outputs, torch.tensor([0, 1]))) == pytest.approx(by_hand / 2)
    assert float(loss(outputs, torch.tensor([0, 1]), num_items_in_batch=8)) == pytest.approx(by_hand / 8)


def test_a_rare_class_weighs_by_the_inverse_root_of_its_count() -> None:
    examples = labelled(*(Label(str(number), "a/x" if number < 9 else "b/z") for number in range(10)))
    # 1/3 each for nine, 1 for one, over their mean of .4
    assert rarity(examples, np.arange(10)).tolist() == pytest.approx([1 / 1.2] * 9 + [2.5])


# The order of batches


def test_every_row_comes_once_in_an_order_of_its_epoch() -> None:
    from fewtag.models.fine_tune.batches import EpochSampler

    lengths = [number % 7 for number in range(50)]
    sampler = EpochSampler(lengths, 8, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    assert sorted(first) == sorted(second) == list(range(50))
    assert (list(sampler), first != second) == (first, True)
    for start in range(0, 48, 8):  # a batch of 8 out of 50 sorted by seven lengths spans at most three of them
        batch = [lengths[row] for row in first[start : start + 8]]
        assert max(batch) - min(batch) <= 2


def test_rows_are_drawn_by_their_chances() -> None:
    from fewtag.models.fine_tune.batches import EpochSampler

    drawn = list(EpochSampler([1] * 1000, 8, 0, np.array([3] * 250 + [1] * 750, dtype=np.float32)))
    assert len(drawn) == 1000
    assert 450 < sum(row < 250 for row in drawn) < 550  # 750 of 1,500 shares


# Adversarial steps


def test_embeddings_move_by_the_given_length_along_the_gradient_and_come_back_to_the_bit() -> None:
    import torch

    from fewtag.models.fine_tune.adversarial import perturbed

    weight = torch.nn.Parameter(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)) * 1e-3)
    before = weight.detach().clone()
    with perturbed(weight, 0.7):
        assert torch.equal(weight, before)  # without a gradient there is no worse direction
    weight.grad = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    with perturbed(weight, 0.7):
        step = (weight - before).detach()
        assert float(torch.linalg.norm(step)) == pytest.approx(0.7, rel=1e-5)
        torch.testing.assert_close(step / 0.7, weight.grad / torch.linalg.norm(weight.grad), rtol=1e-3, atol=1e-6)
    assert torch.equal(weight, before)


# The head's start


def test_a_fresh_head_is_fitted_to_where_no_step_helps(body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import DataCollatorWithPadding

    from fewtag.models.fine_tune import probe

    monkeypatch.setattr(probe, "best_dtype", lambda device: torch.float32)
    products, labels = shop()
    model = rung(body, tmp_path)
    examples = examples_of(model.taxonomy, products, [*labels[:47], Label("47", "home"), Label("0", "home/soap", negative=True)])
    network, tokenizer = model._fresh(examples.classes)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    tokens = tokenizer(list(examples.texts))["input_ids"]
    rows = [{"input_ids": each, "labels": number} for number, each in enumerate(tokens)]
    collate, loss = DataCollatorWithPadding(tokenizer), loss_of(examples, taxonomy=model.taxonomy)
    probe.fit_head(network, collate, rows, loss)
    assert {name for name, weight in network.state_dict().items() if not torch.equal(weight, before[name])} == {
        "classifier.weight",
        "classifier.bias",
    }

    def objective() -> Any:
        batch = collate(rows)
        numbers = batch.pop("labels")
        return loss(network(**batch), numbers) + probe.DECAY * network.classifier.weight.square().sum() / 2

    objective().backward()
    assert float(network.classifier.weight.grad.norm()) < 1e-2
    assert float(objective()) < 0.5 * float(np.log(4))


@pytest.mark.parametrize("averages", [True, False])
def test_only_the_pooler_of_a_body_that_averages_is_opened(body: Path, tmp_path: Path, averages: bool) -> None:
    import torch

    from fewtag.models.fine_tune.probe import open_pooler

    shutil.copytree(body, tmp_path / "body")
    if averages:
        (tmp_path / "body" / "modules.json").write_text("[]")
    network, _ = rung(tmp_path / "body", tmp_path)._fresh(["drinks/tea"])
    open_pooler(network, locate(str(tmp_path / "body")))
    assert torch.equal(network.bert.pooler.dense.weight, torch.eye(32)) == averages


# Training


def test_it_learns_and_a_class_without_a_label_gets_nothing(body: Path, tmp_path: Path) -> None:
    products, labels = shop()
    model = rung(body, tmp_path, replace(QUICK, epochs=8)).fit(products, labels)
    found = model.predict_proba(products)
    assert (found.dtype, found.shape, model.classes_) == (np.float32, (48, 5), Taxonomy.from_paths(PATHS).classes)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found[:, model.taxonomy.index["home/towels"]] == 0).all()
    assert np.mean([model.classes_[column] for column in found.argmax(axis=1)] == np.array([each.category for each in labels])) > 0.9
    assert model.predict_proba([]).shape == (0, 5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(body: Path, tmp_path: Path) -> None:
    products, labels = shop()
    one, two, other = (
        rung(body, tmp_path / name, seed=seed).fit(products, labels).predict_proba(products)
        for name, seed in (("1", 5), ("2", 5), ("3", 6))
    )
    assert np.array_equal(one, two)
    assert not np.allclose(one, other, atol=1e-4)


def test_the_callers_random_numbers_and_streams_are_left_alone(body: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import torch

    products, labels = shop()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.random(), torch.rand(1)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    model = rung(body, tmp_path / "train", replace(QUICK, held_out=0.3, method="lora")).fit(products, labels)
    model.save(tmp_path / "saved")
    model.load(tmp_path / "saved").predict_proba(products)
    assert (random.random(), np.random.random(), torch.rand(1)) == expected
    assert capfd.readouterr() == ("", "")


@contextmanager
def interrupted_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Ctrl-C be pressed behind a step of the training within."""
    from fewtag.models.fine_tune import training

    def interrupt(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training._Progress, "on_step_end", interrupt)
        yield


@pytest.mark.parametrize(
    "settings",
    [
        replace(QUICK, checkpoint_steps=4),
        pytest.param(replace(QUICK, held_out=0.3), marks=pytest.mark.slow),
        pytest.param(
            replace(QUICK, checkpoint_steps=2, accumulate=2, balance="sampling", adversarial=0.1, batch_size=4), marks=pytest.mark.slow
        ),
        pytest.param(replace(QUICK, checkpoint_steps=3, method="lora"), marks=pytest.mark.slow),
        pytest.param(replace(QUICK, checkpoint_steps=3, method="adalora"), marks=pytest.mark.slow),
    ],
    ids=["within an epoch", "held out", "drawn, accumulated, adversarial", "lora", "adalora"],
)
def test_an_interrupted_run_ends_as_an_undisturbed_one(
    body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: TrainSettings
) -> None:
    products, labels = shop()
    undisturbed = rung(body, tmp_path / "undisturbed", settings).fit(products, labels)
    steps = undisturbed.record.steps

    with interrupted_at(steps - 2, monkeypatch), pytest.raises(KeyboardInterrupt):
        rung(body, tmp_path / "resumed", settings).fit(products, labels)
    resumed = rung(body, tmp_path / "resumed", settings).fit(products, labels)
    assert np.array_equal(resumed.predict_proba(products), undisturbed.predict_proba(products))
    assert (resumed.record.steps, resumed.record.figures) == (steps, undisturbed.record.figures)
    every = settings.checkpoint_steps or steps // settings.epochs
    assert resumed.record.resumed_at == (0 if settings.method == "adalora" else (steps - 3) // every * every)
    assert not list(tmp_path.glob("resumed/*/checkpoint-*"))  # nothing is left of a run that came to its end


@pytest.mark.slow
def test_other_labels_or_settings_begin_anew(body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    products, labels = shop()
    first = rung(body, tmp_path).fit(products, labels)
    monkeypatch.setattr(FineTune, "_train", lambda *_: pytest.fail("trained again"))
    again = rung(body, tmp_path).fit(products, labels)
    assert np.array_equal(again.predict_proba(products), first.predict_proba(products))
    assert again.record == first.record
    monkeypatch.undo()
    fewer = rung(body, tmp_path).fit(products, labels[1:])
    assert fewer.record.data != first.record.data
    assert len(list(tmp_path.glob("run-*"))) == 1
    assert rung(body, tmp_path, replace(QUICK, weight_decay=0.5)).fit(products, labels).record.resumed_at == 0


def test_a_checkpoint_that_is_not_whole_is_passed_over(tmp_path: Path) -> None:
    from fewtag.models.fine_tune.training import last_checkpoint

    assert last_checkpoint(tmp_path / "nothing") is None
    for name, state in (("checkpoint-9", '{"global_step": 9}'), ("checkpoint-10", '{"glob'), ("checkpoint-11", None), ("other-99", "{}")):
        (tmp_path / name).mkdir()
        if state:
            (tmp_path / name / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    (tmp_path / "checkpoint-10" / "trainer_state.json").write_text('{"global_step": 10}')
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def confused() -> tuple[list[Product], list[Label]]:
    """Labels that have nothing to do with the texts, so that all that is learnt is by heart."""
    products, labels = shop(20)
    rng = random.Random(1)
    return products, [replace(label, category=rng.choice(list(WORDS))) for label in labels]


@pytest.mark.slow
def test_training_stops_when_the_held_out_labels_gain_nothing(body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(QUICK, epochs=12, held_out=0.3, patience=2, learning_rate=1e-2)
    products, labels = confused()
    heard: list[float] = []
    watched = rung(body, tmp_path / "watched", settings)
    watched.fit(products, labels, lambda number, figures: bool(heard.append(figures["log_loss"])))
    best = int(np.argmin(heard))
    assert len(heard) == best + 1 + 2 < 12
    assert watched.record.figures["log_loss"] == heard[best]
    per_epoch = watched.record.steps // len(heard)
    assert watched.record.steps == per_epoch * len(heard)
    # Killed when its patience is half used up, it must remember that.
    with interrupted_at(per_epoch * (best + 2) + 1, monkeypatch), pytest.raises(KeyboardInterrupt):
        rung(body, tmp_path / "halfway", settings).fit(products, labels)
    halfway = rung(body, tmp_path / "halfway", settings).fit(products, labels)
    assert (halfway.record.resumed_at, halfway.record.steps) == (per_epoch * (best + 2), watched.record.steps)
    # Killed between its last checkpoint and its end, it must neither go on nor keep what came after the best.
    with monkeypatch.context() as patch:
        patch.setattr(FineTune, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rung(body, tmp_path / "killed", settings).fit(products, labels)
    killed = rung(body, tmp_path / "killed", settings).fit(products, labels)
    assert killed.record.resumed_at == killed.record.steps == watched.record.steps
    assert np.array_equal(killed.predict_proba(products), watched.predict_proba(products))
    patient = rung(body, tmp_path / "patient", replace(settings, patience=0)).fit(products, labels)
    assert patient.record.steps == 12 * per_epoch


@pytest.mark.parametrize(("settings", "fixed"), [(replace(QUICK, method="frozen"), 2), (replace(QUICK, freeze_layers=1), 1)])
def test_what_is_frozen_does_not_change_and_the_rest_does(body: Path, tmp_path: Path, settings: TrainSettings, fixed: int) -> None:
    from transformers import AutoModel

    before = AutoModel.from_pretrained(body).state_dict()
    after = weights_of(rung(body, tmp_path, settings).fit(*shop()))
    frozen = ("embeddings.", *(f"encoder.layer.{number}." for number in range(fixed)))
    for name, weight in before.items():
        assert (weight == after[f"bert.{name}"]).all() == name.startswith(frozen), name


def test_a_model_has_only_so_many_layers_to_freeze(body: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="freeze_layers is 3, and the model has 2 layers -> give at most 2, or use method 'frozen'"):
        rung(body, tmp_path, replace(QUICK, freeze_layers=3)).fit(*shop())


@pytest.mark.slow
def test_a_label_of_less_weight_is_learnt_less_and_a_negative_one_the_other_way(body: Path, tmp_path: Path) -> None:
    products, labels = shop(4)
    doubtful = [Product(f"doubtful {number}", text) for number, text in enumerate(("old new", "new blue", "blue old", "old new blue"))]
    candles = rung(body, tmp_path).taxonomy.index["home/candles"]

    def says(name: str, **how: Any) -> float:
        more = [Label(product.id, "home/candles", **how) for product in doubtful] if how else []
        model = rung(body, tmp_path / name, replace(QUICK, epochs=6)).fit([*products, *doubtful], [*labels, *more])
        return float(model.predict_proba(doubtful)[:, candles].mean())

    negative, light, whole = says("negative", negative=True), says("light", weight=0.2), says("whole", weight=1.0)
    assert negative < says("nothing") - 0.05
    assert says("nothing") < light < whole - 0.05


@pytest.mark.parametrize(
    "changes",
    [
        {"balance": "weights"},
        *(
            pytest.param(each, marks=pytest.mark.slow, id=str(each))
            for each in (
                {"balance": "sampling"},
                {"label_smoothing": 0.2},
                {"adversarial": 0.5},
                {"dropout": 0.4},
                {"hierarchy": 0.0},
                {"probe": False},
                {"optim": "adafactor"},
            )
        ),
    ],
    ids=str,
)
def test_a_setting_is_heard(body: Path, tmp_path: Path, lopsided: Array, changes: dict[str, Any]) -> None:
    products, labels = shop()
    changed = rung(body, tmp_path, replace(QUICK, **changes)).fit(products, [*labels[:20], *labels[24:28]]).predict_proba(products)
    assert np.isfinite(changed).all()
    assert not np.allclose(lopsided, changed, atol=1e-4)


# What is saved


@pytest.mark.parametrize(
    "method", ["full", *(pytest.param(each, marks=pytest.mark.slow) for each in ("frozen", "lora", "adalora", "prefix"))]
)
def test_a_saved_folder_is_an_ordinary_classifier_and_predicts_the_same_bits(body: Path, tmp_path: Path, method: Any) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    products, labels = shop()
    model = rung(body, tmp_path / "work", replace(QUICK, method=method, held_out=0.3)).fit(products, labels)
    expected = model.predict_proba(products)
    model.save(tmp_path / "saved")
    loaded = rung(body, tmp_path / "other").load(tmp_path / "saved")
    assert np.array_equal(loaded.predict_proba(products), expected)
    assert loaded.record == model.record
    ordinary = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    assert tuple(ordinary.config.id2label.values()) == ("drinks/tea", "drinks/coffee", "home/soap", "home/candles")
    if method == "prefix":
        from peft import PeftModel

        ordinary = PeftModel.from_pretrained(ordinary, tmp_path / "saved" / "adapter").eval()
    else:
        assert not list((tmp_path / "saved").rglob("adapter*"))
    batch = AutoTokenizer.from_pretrained(tmp_path / "saved")([products[0].text], return_tensors="pt")
    with torch.no_grad():
        found = torch.softmax(ordinary(**batch).logits, dim=-1)[0]
    np.testing.assert_allclose(found, expected[0, :4], atol=1e-5)


def test_a_single_class_is_certain_before_and_after_it_is_saved(body: Path, tmp_path: Path) -> None:
    products, labels = shop()
    model = rung(body, tmp_path / "work").fit(products, labels[:12])
    model.save(tmp_path / "saved")
    for each in (model, rung(body, tmp_path / "other").load(tmp_path / "saved")):
        assert each.predict_proba(products).tolist() == [[1, 0, 0, 0, 0]] * 48


def test_a_product_is_judged_alone_whatever_stands_beside_it(learnt: FineTune) -> None:
    products, model = shop()[0], learnt
    mixed = [*products[:3], Product("long", " ".join(EXTRAS) * 40), Product("unknown", "茶 🫖"), products[0]]
    together = model.predict_proba(mixed)
    alone = np.concatenate([model.predict_proba([product]) for product in mixed])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)
    assert not np.allclose(together[0], together[3], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_merging_changes_no_probability(body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Any) -> None:
    from fewtag.models.fine_tune import adapt

    products, labels = shop()
    settings = replace(QUICK, method=method, rank=4)
    merged = rung(body, tmp_path / "merged", settings).fit(products, labels)
    monkeypatch.setattr(adapt, "merged", lambda model, method: model)
    monkeypatch.setattr(FineTune, "save", lambda self, folder: folder.mkdir(parents=True, exist_ok=True))
    unmerged = rung(body, tmp_path / "unmerged", settings).fit(products, labels)
    assert any("lora_A" in name for name in weights_of(unmerged))
    assert not any("lora" in name for name in weights_of(merged))
    np.testing.assert_allclose(merged.predict_proba(products), unmerged.predict_proba(products), atol=1e-5)
    untrained = rung(body, tmp_path / "untrained", replace(settings, method="frozen")).fit(products, labels)
    assert not np.allclose(merged.predict_proba(products), untrained.predict_proba(products), atol=1e-4)


@pytest.mark.slow
def test_adalora_takes_ranks_away_down_to_its_budget(body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fewtag.models.fine_tune import adapt

    kept: list[Any] = []
    monkeypatch.setattr(adapt, "merged", lambda model, method: kept.append(model) or model.merge_and_unload())
    rung(body, tmp_path, replace(QUICK, method="adalora", rank=2, epochs=6)).fit(*shop())
    ranks = kept[0].peft_config["default"].rank_pattern
    assert sum(sum(each) for each in ranks.values()) == 2 * len(ranks)  # 3 each at first


def test_the_record_says_what_was_done(body: Path, tmp_path: Path) -> None:
    products, labels = shop()
    settings = replace(QUICK, held_out=0.25)
    model = rung(body, tmp_path / "work", settings, seed=4).fit(products, labels)
    model.save(tmp_path / "saved")
    content = json.loads((tmp_path / "saved" / "training.json").read_text())
    assert (content["examples"], content["held_out"], content["classes"], content["seed"]) == (36, 12, 4, 4)
    assert (content["steps"], content["source"]) == (15, locate(str(body)).identity)
    assert set(content["figures"]) == {"log_loss", "accuracy", "macro_f1", "hierarchical_f1"}
    assert TrainRecord.load(tmp_path / "saved" / "training.json") == model.record
    assert model.record.settings == settings


@pytest.mark.slow
def test_the_held_out_figures_are_those_of_the_kept_model(body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from fewtag.models.fine_tune import training

    monkeypatch.setattr(training, "best_dtype", lambda device: torch.float32)  # as predictions are
    products, labels = shop()
    settings = replace(QUICK, held_out=0.25, epochs=4)
    model = rung(body, tmp_path, settings).fit(products, labels)
    held = split(examples_of(model.taxonomy, products, labels), 0.25, 0)[1]
    found = model.predict_proba([products[row] for row in held])
    truth = [model.taxonomy.index[labels[row].category] for row in held]
    assert model.record.figures["accuracy"] == np.mean(found.argmax(axis=1) == truth)
    assert model.record.figures["log_loss"] == pytest.approx(
        -np.log(found[np.arange(12), truth]).mean(), rel=0.02
    )  # bfloat16 beside float32


def test_a_folder_of_another_taxonomy_or_of_nothing_is_an_error(body: Path, learnt: FineTune, tmp_path: Path) -> None:
    learnt.save(tmp_path / "saved")
    stranger = FineTune(Taxonomy.from_paths(["Drinks > Tea", "Home > Soap"]), locate(str(body)), folder=tmp_path)
    with pytest.raises(ModelError, match="knows a category 'drinks/coffee' that cannot be assigned -> train again"):
        stranger.load(tmp_path / "saved")
    with pytest.raises(ModelError, match="the training record cannot be read -> train again"):
        stranger.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="has not learnt anything yet -> call `fit` or `load` first"):
        stranger.predict_proba([Product("1", "tea")])


# Settings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"method": "magic"}, "there is no method 'magic' -> use one of full, frozen, lora, adalora, prefix"),
        ({"balance": "yes"}, "there is no balance 'yes' -> use one of none, weights, sampling"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0 -> give more than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan -> give more than 0"),
        ({"epochs": 0}, "epochs is 0 -> give a whole number from 1"),
        ({"epochs": 2.5}, "epochs is 2.5 -> give a whole number from 1"),
        ({"epochs": None}, "epochs is None -> give a whole number from 1"),
        ({"held_out": 0.6}, "held_out is 0.6 -> give from 0 to 0.5"),
        ({"warmup": 1}, "warmup is 1 -> give from 0 to below 1"),
        ({"hierarchy": -1}, "hierarchy is -1 -> give 0 or more"),
        ({"method": "lora", "freeze_layers": 2}, "freeze_layers has no meaning for method 'lora' -> leave it 0, or use method 'full'"),
        (
            {"method": "frozen", "adversarial": 1},
            "adversarial needs embeddings that learn -> use method 'full' with freeze_layers 0, or leave it 0",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_say_so(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError) as error:
        TrainSettings(**settings)
    assert str(error.value) == told


@pytest.mark.parametrize("changes", [{"optim": "nonsense"}, {"report_to": "nonsense"}], ids=str)
def test_what_transformers_does_not_have_says_so(body: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="transformers refuses these settings: nonsense is not "):
        rung(body, tmp_path, replace(QUICK, **changes)).fit(*shop())


def test_a_library_that_is_not_installed_names_the_line_that_installs_it(
    body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModelError, match=r'peft is not installed -> pip install "fewtag\[tune\]"'):
        rung(body, tmp_path, replace(QUICK, method="lora")).fit(*shop())
    with pytest.raises(ModelError, match=r'optuna is not installed -> pip install "fewtag\[tune\]"'):
        search(rung(body, tmp_path), *shop(), trials=1)


# The search


@pytest.mark.slow
def test_a_killed_search_asks_for_the_same_settings_as_an_undisturbed_one(
    body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna

    from fewtag.models.fine_tune import search as search_module

    usual = replace(QUICK, held_out=0.25)
    monkeypatch.setitem(search_module.SPACE, "epochs", lambda trial, usual: trial.suggest_int("epochs", 1, 2))
    found = search(rung(body, tmp_path / "undisturbed", usual), *shop(), trials=3)
    attempt = search_module._attempt
    with monkeypatch.context() as patch:
        patch.setattr(
            search_module, "_attempt", lambda *given: attempt(*given) if given[-1].number < 1 else (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            search(rung(body, tmp_path / "killed", usual), *shop(), trials=3)
    assert search(rung(body, tmp_path / "killed", usual), *shop(), trials=3) == found

    def tried(folder: Path) -> list[Any]:
        [study] = optuna.get_all_study_summaries(f"sqlite:///{folder / 'search' / 'search.db'}")
        trials = optuna.load_study(study_name=study.study_name, storage=f"sqlite:///{folder / 'search' / 'search.db'}").trials
        return [(trial.params, trial.value) for trial in trials if trial.state.is_finished() and trial.value is not None]

    assert tried(tmp_path / "killed") == tried(tmp_path / "undisturbed")
    assert len({json.dumps(params) for params, _ in tried(tmp_path / "killed")}) == 3
    best, _ = min(tried(tmp_path / "killed"), key=lambda trial: trial[1])
    assert found == replace(usual, **best)


def test_a_search_without_anything_held_out_is_an_error(body: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the labels are too few to hold 10 of them out"):
        search(rung(body, tmp_path), *shop(), trials=1)
