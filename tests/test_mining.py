"""Mined words against log-odds worked out one word at a time, and what must never be told as one."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from fewtag.mining import LEAST, PRIOR, SURE, log_odds, mine, terms_of
from fewtag.taxonomy import Category, Taxonomy

SHOP = Taxonomy.from_paths(["Drinks > Tea", "Drinks > Coffee", "Home > Soap", "Home > Candles"])
TEA, COFFEE, SOAP, CANDLES = SHOP.classes
TEXTS = [
    *["Sencha leaves, loose"] * 8, *["Tea with lemon"] * 8, *["Arabica beans with lemon"] * 8, *["Espresso loose"] * 8,
    *["Sencha soap bar"] * 20, *["Lavender bar"] * 8,
]  # fmt: skip
BELONGS = [TEA] * 16 + [COFFEE] * 16 + [SOAP] * 28


def brute(word: str, own: list[str], rivals: list[str], everyone: list[str]) -> float:
    """Monroe, Colaresi and Quinn 2008, equations 16, 20 and 22, with counts of products."""
    here, there, all_of_it = (Counter(term for text in each for term in set(terms_of(text))) for each in (own, rivals, everyone))
    n, m, a = here.total(), there.total(), PRIOR * all_of_it.total()
    x, y = here[word] + PRIOR * all_of_it[word], there[word] + PRIOR * all_of_it[word]
    gap = math.log(x / (n + a - x)) - math.log(y / (m + a - y))
    return gap / math.sqrt(1 / x + 1 / y)


def test_the_words_are_those_that_log_odds_against_the_siblings_tell() -> None:
    tea, coffee = TEXTS[:16], TEXTS[16:32]
    mined = mine(TEXTS, BELONGS, SHOP)
    odds = {term: brute(term, tea, coffee, TEXTS) for text in tea for term in terms_of(text)}
    told = sorted((term for term in odds if odds[term] > SURE), key=lambda term: -odds[term])
    # Sencha is the soap's word too, but soap is no sibling; loose and lemon are said by as many coffees.
    assert set(told) == {"sencha", "leaves", "sencha leaves", "tea", "tea with"}
    # What holds a word that was told before, or is held by one, is not told again, nor is "tea".
    assert mined[TEA] == ("sencha", "leaves", "tea with")
    assert [odds[word] for word in mined[TEA]] == sorted((odds[word] for word in mined[TEA]), reverse=True)
    assert min(odds[word] for word in mined[TEA]) > SURE > max(odds["loose"], odds["with lemon"])


def test_log_odds_one_word_at_a_time() -> None:
    own, rivals, background = np.array([8.0, 0, 2]), np.array([1.0, 5, 2]), np.array([0.9, 0.5, 0.4])
    expected = []
    for x, y in zip(own + background, rivals + background, strict=True):
        gap = math.log(x / (10 + 1.8 - x)) - math.log(y / (8 + 1.8 - y))
        expected.append(gap / math.sqrt(1 / x + 1 / y))
    np.testing.assert_allclose(log_odds(own, rivals, background), expected)
    assert expected[0] > 0 > expected[1]


def test_a_category_without_rivals_beside_it_is_set_apart_from_the_next_branch_above() -> None:
    """No product is a candle, so that soap's rivals are the drinks; with nothing else in the shop there is nothing to tell."""
    assert {"bar", "lavender"} <= set(mine(TEXTS, BELONGS, SHOP)[SOAP])
    assert mine(TEXTS[32:], BELONGS[32:], SHOP) == {}


def test_what_few_products_say_is_not_told() -> None:
    """Two titles of any length prove nothing, though no rival says such a thing."""
    texts = [*["zinc oxide"] * (LEAST - 1), *["bar lavender"] * 40, *["wax pillar"] * 40]
    mined = mine(texts, [SOAP] * (LEAST + 39) + [CANDLES] * 40, SHOP)
    assert not any("zinc" in word for word in mined[SOAP])
    assert mined[SOAP] == ("bar", "lavender")


def test_products_that_are_not_known_well_enough_take_no_part() -> None:
    silent = [None if "Sencha leaves" in text else category for text, category in zip(TEXTS, BELONGS, strict=True)]
    assert mine(TEXTS, silent, SHOP)[TEA] == ("tea with",)
    assert mine(TEXTS, [None] * len(TEXTS), SHOP) == {}


def test_what_the_path_and_the_aliases_say_is_no_news() -> None:
    named = Taxonomy([Category("t", "Tea", aliases=("Sencha",)), Category("c", "Coffee")])
    mined = mine(TEXTS[:32], ["t"] * 16 + ["c"] * 16, named)
    assert mined["t"][0] == "leaves"
    assert not any(word == "sencha" for word in mined["t"])


def test_no_more_than_asked_for() -> None:
    assert len(mine(TEXTS, BELONGS, SHOP, most=1)[SOAP]) == 1


@pytest.mark.parametrize(
    ("text", "language", "terms"),
    [
        ("Tea 2-pack 50x2g", "en", ["tea", "pack"]),
        ("chef's knife", "en", ["chef's", "knife", "chef's knife"]),
        ("x-large T shirt", "en", ["x-large", "shirt", "x-large shirt"]),
        ("हिन्दी चाय", "hi", ["हिन्दी", "चाय", "हिन्दी चाय"]),
        ("茶", "zh", []),
        ("", "en", []),
    ],
)
def test_terms(text: str, language: str, terms: list[str]) -> None:
    assert terms_of(text, language) == terms


def test_mining_is_the_same_in_chinese() -> None:
    shop = Taxonomy.from_paths(["饮料 > 茶叶", "饮料 > 咖啡"])
    mined = mine([*["龙井 礼盒"] * 10, *["拿铁 礼盒"] * 10], [shop.classes[0]] * 10 + [shop.classes[1]] * 10, shop)
    assert mined == {shop.classes[0]: ("龙井",), shop.classes[1]: ("拿铁",)}
