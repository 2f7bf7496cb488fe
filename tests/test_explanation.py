"""Why a product has its tag: its words, the labelled products like it, the weights of the rungs, and what a person reads of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fewtag import Product, Tagger, Taxonomy, explanation
from fewtag.blend import Blend
from fewtag.cli_explain import print_words
from fewtag.climb import Step
from fewtag.core import Tag
from fewtag.explanation import Explanation, Word, answer_of, weighed_words, words_of
from fewtag.ladder import Ladder
from fewtag.upper import Upper

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Water", "Toys > Guns"])
TEA, WATER, GUNS = SHOP.classes
TOY = Product("P1", "Water pistol, a toy")


class ByWord:
    """A ladder that holds a product for a gun where it is called a pistol, and for water at a sureness that its other words lower."""

    taxonomy = SHOP

    def by_rungs(self, products: Sequence[Product]) -> Any:
        rows = []
        for product in products:
            gun = 0.75 if "pistol" in product.text else 0.0
            water = 0.125 if "Water" in product.text else 0.0
            rows.append([1 - gun - water, water, gun])
        return np.float32(rows)


def weighed(product: Product) -> list[Word]:
    return list(weighed_words(product, GUNS, 0.75, cast(Ladder, ByWord()), 0.7))


def test_words_come_by_how_much_the_answer_changes_without_them() -> None:
    found = weighed(TOY)
    assert found[0] == Word("pistol", 0.0, TEA)  # 0.125 is water then, and the rest tea
    assert found[1:] == [Word("Water", 0.75, GUNS), Word("a", 0.75, GUNS), Word("toy", 0.75, GUNS)]


def test_marks_stay_with_what_they_mark() -> None:
    assert words_of("カ\u3099ム") == ["カ\u3099ム"], "a kana and its mark, decomposed"
    assert words_of("ｶﾞﾑ") == ["ｶﾞﾑ"]
    assert words_of("Cafe\u0301 noir") == ["Cafe\u0301", "noir"]


def test_a_text_without_a_word_has_none_to_weigh() -> None:
    assert weighed(Product("P2", "!!")) == []


def test_of_a_product_that_is_left_open_the_likeliest_category_is_the_answer() -> None:
    assert answer_of(Tag("P1", None, 0.75, "zero-shot", ((GUNS, 0.75), (WATER, 0.125)))) == GUNS


def test_of_a_long_text_the_first_words_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "WORDS", 2)
    assert [each.word for each in weighed(Product("P1", "toy gun, pistol"))] == ["toy", "gun"]


def test_printed_are_the_words_that_change_something(capsys: pytest.CaptureFixture[str]) -> None:
    tag = Tag("P1", GUNS, 0.75, "zero-shot", ((GUNS, 0.75),))
    words = (Word("pistol", 0.0, TEA), Word("toy", 0.76, GUNS), Word("a", 0.745, None), Word("Water", 0.751, GUNS))
    found = Explanation(TOY, tag, tag, 0.7, (("toys", 0.75), (GUNS, 0.75)), {}, (), 0.75, words, (), ())
    print_words(found, SHOP)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "without  the word; how likely Toys > Guns is without it, with all 0.75",
        "   0.00  pistol; the tag would be Drinks > Tea",
        "   0.76  toy",
        "   0.74  a; the tag would be left open",
    ]
    print_words(replace(found, words=words[3:]), SHOP)
    assert capsys.readouterr().out == "No single word changes how likely Toys > Guns is.\n"


def test_the_way_leads_to_the_likeliest_category_and_neighbours_are_labelled_products(tmp_path: Path) -> None:
    shop = Taxonomy.from_paths(["饮料 > 茶叶", "饮料 > 咖啡", "日用 > 香皂", "日用 > 毛巾"])
    texts = ["西湖绿茶 茶叶", "红茶 茶叶", "咖啡豆 深烘", "速溶咖啡", "香皂 三块装", "洁白香皂", "纯棉毛巾", "毛巾 两条"]
    products = [Product(f"P{number}", text) for number, text in enumerate(texts)]
    mine = Tagger(shop, workspace=tmp_path)
    mine.bootstrap(products)
    assert mine.explain(products[0]).neighbours == ()
    assert mine.explain(products[0]).weights == {"zero-shot": 1.0}
    mine.fit(products[:6], ["茶叶", "茶叶", "咖啡", "咖啡", "香皂", "香皂"], tune=False)
    found = mine.explain(products[1])
    encode = mine._ladder._zero_shot.ngrams.encode
    cosines = dict(zip(texts, encode(texts) @ encode([texts[1]])[0], strict=True))
    nearest = sorted((text for text in texts[:6] if text != texts[1]), key=lambda text: -cosines[text])
    assert [each.text for each in found.neighbours] == nearest
    assert found.neighbours[0].text == texts[0]
    assert found.neighbours[0].label.category == shop.classes[0]
    assert found.neighbours[0].similarity == pytest.approx(cosines[texts[0]], abs=1e-6)
    [row] = mine._ladder.by_rungs(products[1:2])
    assert [category for category, _ in found.way] == ["饮料", "饮料/茶叶"]
    assert [share for _, share in found.way] == pytest.approx([row[0] + row[1], row[0]], abs=1e-6)
    assert sum(found.weights.values()) == pytest.approx(1)
    assert found.level == 0.9
    assert (found.tag.stage, found.by_rungs.stage) == ("label", "few-shot")
    assert found.is_decided_by_people
    assert (found.likely, found.answer) == (found.way[-1][1], "饮料/茶叶")
    assert not mine.explain(products[7]).is_decided_by_people
    wordless = replace(products[1], id="P9", text="茶叶")  # nobody has said anything of this one
    assert {each.word: each.without for each in found.words}["红茶"] == pytest.approx(mine.predict_proba([wordless])[0][0], abs=1e-3)


def test_weights_are_the_shares_of_the_rungs_in_what_is_said_where_all_speak() -> None:
    def step(stage: Any, below: float, rung: float, speaks: bool) -> Step:
        return Step(stage, Blend(below, rung), (speaks,), (0.0,), 0, 0, 0, {})

    upper = Upper.__new__(Upper)
    upper.steps = (step("few-shot", 0.5, 1.0, True), step("fine-tune", 0.5, 0.25, True))
    assert upper.weights == {"zero-shot": 0.25, "few-shot": 0.5, "fine-tune": 0.25}  # .25, .5 and .25 of 1
    upper.steps = (step("few-shot", 1.0, 3.0, True), step("fine-tune", 0.5, 0.25, False))
    assert upper.weights == {"zero-shot": 0.25, "few-shot": 0.75, "fine-tune": 0.0}
