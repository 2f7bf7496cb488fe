"""What works without an encoder: the words that categories are said in, the n-grams they are compared by, and the discriminant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fewtag.models import ngrams as ngrams_module
from fewtag.models.ngrams import DIMENSIONS, CharacterNgrams, fold
from fewtag.models.verbalise import Phrases, keywords, parts_of, sentences
from fewtag.models.zero_shot.discriminant import Discriminant, Moments
from fewtag.taxonomy import Category, Taxonomy

TITLES = ["green tea bags", "black tea", "tea pot", "coffee beans", "coffee pot", "dog food", "cat food", "dog toy", "cat toy"]
Array = npt.NDArray[np.float32]


def cosines(ngrams: CharacterNgrams, one: str, others: list[str]) -> list[float]:
    rows = ngrams.grams([one, *others]).toarray()
    return (rows[1:] @ rows[0]).tolist()


# --- n-grams


def test_grams_are_tf_idf_of_padded_words() -> None:
    """The slow way for two texts: counts sublinear, 1 + ln; rarity smooth, ln(3 / (1 + texts with it)) + 1; rows of length 1."""
    fitted = CharacterNgrams("en").fit(["ab", "ab ac"])
    words = {"ab": [" a", "ab", "b ", " ab", "ab ", " ab "], "ac": [" a", "ac", "c ", " ac", "ac ", " ac "]}
    rarity = dict.fromkeys(words["ac"], np.log(3 / 2) + 1) | dict.fromkeys(words["ab"], 1.0)
    names = fitted._vectorizer.get_feature_names_out().tolist()
    assert sorted(names) == sorted(rarity)
    weights = {gram: (1 + np.log(2) if gram == " a" else 1) * rarity[gram] for gram in rarity}
    length = np.sqrt(sum(weight**2 for weight in weights.values()))
    found = fitted.grams(["ab ac"]).toarray()[0]
    np.testing.assert_allclose(found, [weights[gram] / length for gram in names], rtol=1e-5)


def test_grams_have_length_one_or_nothing() -> None:
    rows = CharacterNgrams("en").fit(TITLES).grams(["tea", "TEA", "xyz", "", "  ", "tea xyz"])
    assert rows.dtype == np.float32
    dense = rows.toarray()
    np.testing.assert_allclose(np.linalg.norm(dense, axis=1), [1, 1, 0, 0, 0, 1], atol=1e-6)
    assert np.array_equal(dense[0], dense[1])


def test_typos_and_inflections_are_near() -> None:
    near, nearer, far = cosines(CharacterNgrams("en").fit(TITLES), "coffee", ["cofee", "coffees", "dog toy"])
    assert nearer > 0.7
    assert near > 0.4
    assert far < 0.05


def test_a_language_without_spaces_is_cut_into_single_characters_and_pairs() -> None:
    fitted = CharacterNgrams("zh").fit(["绿茶", "茶 杯"])
    assert set(fitted._vectorizer.get_feature_names_out()) == {"绿", "茶", "杯", " ", "绿茶", "茶 ", " 杯"}
    assert "绿" not in CharacterNgrams("ko").fit(["绿茶", "茶 杯"])._vectorizer.vocabulary_, "spaced languages are cut into pairs and more"


def test_of_many_texts_a_sample_is_learnt_from_and_of_the_phrases_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtag.models.ngrams.FIT_ON", 2)
    fitted = CharacterNgrams("zh").fit(["茶"] * 50, ["咖", "啡"])
    assert set(fitted._vectorizer.vocabulary_) == {"茶", "咖", "啡"}


def test_a_second_fit_forgets_the_first_one_and_what_was_loaded(tmp_path: Path) -> None:
    arrays = CharacterNgrams("zh").fit(["绿茶"]).save(tmp_path)
    loaded = CharacterNgrams.load(tmp_path, arrays)
    assert set(loaded.fit(["咖啡"])._vectorizer.vocabulary_) == {"咖", "啡", "咖啡"}


def test_forms_of_one_character_are_one() -> None:
    assert fold("ＧＲＥＥＮ Ｔｅａ") == fold("green tea")
    assert fold("Straße ﬁne ½") == "strasse fine 1⁄2"
    assert fold("e\u0301") == "\u00e9"


def test_the_dense_view_keeps_what_goes_together() -> None:
    fitted = CharacterNgrams("en").fit(TITLES)
    dense = fitted.reduce(fitted.grams([*TITLES, "xyz"]))
    assert (dense.dtype, dense.shape) == (np.float32, (len(TITLES) + 1, len(TITLES) - 1))
    np.testing.assert_allclose(np.linalg.norm(dense, axis=1), [1] * len(TITLES) + [0], atol=1e-5)


def test_the_dense_view_is_the_projection_on_the_first_singular_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams_module, "DIMENSIONS", 3)
    fitted = CharacterNgrams("en").fit(TITLES)
    grams = fitted.grams(TITLES)
    _, _, vectors = np.linalg.svd(grams.toarray(), full_matrices=False)
    exact = grams.toarray() @ vectors[:3].T
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    # Singular vectors may point either way; cosines between texts do not care.
    dense = fitted.reduce(grams)
    assert dense.shape == (len(TITLES), 3)
    np.testing.assert_allclose(dense @ dense.T, exact @ exact.T, atol=1e-3)


def test_a_catalogue_of_one_text_has_grams_and_no_dense_view() -> None:
    fitted = CharacterNgrams("en").fit(["tea"])
    assert fitted.reduce(fitted.grams(["tea", "coffee"])).tolist() == [[0.0], [0.0]]
    assert cosines(fitted, "tea", ["tea"]) == pytest.approx([1.0])


def test_fitting_is_the_same_each_time_and_limited() -> None:
    texts = [f"{one} {other}" for one in TITLES for other in TITLES for _ in range(5)]
    first, second = (CharacterNgrams("en", seed=1).fit(texts) for _ in range(2))
    assert np.array_equal(first.reduce(first.grams(TITLES)), second.reduce(second.grams(TITLES)))
    assert first.reduce(first.grams(TITLES)).shape[1] <= DIMENSIONS


def test_of_a_large_catalogue_a_sample_is_fitted_that_the_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams_module, "FIT_ON", 10)
    texts = [f"{number:04}" for number in range(1000)]

    def learnt(seed: int) -> set[str]:
        names = CharacterNgrams("en", seed).fit(texts)._vectorizer.get_feature_names_out()
        return {name for name in names if name.strip() == name and len(name) == 4}

    assert len(learnt(0)) == 10
    assert learnt(0) == learnt(0) != learnt(1)


def test_only_the_most_frequent_grams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams_module, "MAX_GRAMS", 3)
    fitted = CharacterNgrams("zh").fit(["茶茶茶茶茶", "绿绿绿", "杯"])
    assert set(fitted._vectorizer.get_feature_names_out()) == {"茶", "茶茶", "绿"}


@pytest.mark.parametrize(("language", "texts"), [("en", TITLES), ("zh", ["绿茶 ＴＥＡ", "红茶", "咖啡豆", "茶杯", "“引号”\u2028"])])
def test_what_is_saved_comes_back_the_same(language: str, texts: list[str], tmp_path: Path) -> None:
    fitted = CharacterNgrams(language, seed=3).fit(texts)
    arrays = fitted.save(tmp_path)
    assert {name: array.dtype for name, array in arrays.items()} == dict.fromkeys(("ngrams.idf", "ngrams.components"), np.dtype("float32"))
    loaded = CharacterNgrams.load(tmp_path, arrays)
    assert (loaded.language, loaded.seed) == (language, 3)
    asked = [*texts, "new tea 茶", "?"]
    assert (fitted.grams(asked) != loaded.grams(asked)).nnz == 0
    assert np.array_equal(fitted.reduce(fitted.grams(asked)), loaded.reduce(loaded.grams(asked)))
    assert json.loads((tmp_path / "ngrams.json").read_text(encoding="utf-8")).keys() == {"language", "seed", "vocabulary"}


# --- the discriminant


def clusters(seed: int = 0, dimensions: int = 4) -> tuple[Array, npt.NDArray[np.int64]]:
    """Three unequal classes of correlated features."""
    rng = np.random.default_rng(seed)
    classes = np.repeat([0, 1, 2], [30, 20, 10])
    centres = rng.normal(0, 2, (3, dimensions))
    return (centres[classes] + rng.normal(0, 1, (60, dimensions)) @ rng.normal(0, 1, (dimensions, dimensions))).astype(np.float32), classes


def gathered(features: Array, beliefs: Array, times: int = 1) -> Moments:
    moments = Moments(features.shape[1], beliefs.shape[1])
    for _ in range(times):
        moments.add(features, beliefs)
    return moments


def by_formula(features: Array, beliefs: Array, shrinkage: float) -> npt.NDArray[np.float64]:
    """Return -1/2 of the squared Mahalanobis distance to each class's mean, product by product, as the docstrings have it."""
    x, b = features.astype(np.float64), beliefs.astype(np.float64)
    centre = x.mean(axis=0)
    counts = b.sum(axis=0)
    means = [(sum(b[i, c] * x[i] for i in range(len(x))) + centre) / (counts[c] + 1) for c in range(b.shape[1])]
    covariance = sum(np.outer(row - centre, row - centre) for row in x) / len(x)
    covariance = covariance - sum(counts[c] * np.outer(means[c] - centre, means[c] - centre) for c in range(b.shape[1])) / len(x)
    size = np.trace(covariance) / x.shape[1]
    inverse = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * size * np.eye(x.shape[1]))
    return np.array([[-0.5 * (row - mean) @ inverse @ (row - mean) for mean in means] for row in x])


def centred(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Take out the constant of each row, which says nothing."""
    return scores - scores.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_on_many_hard_labels_it_is_scikit_learns_discriminant_without_the_prior(shrinkage: float) -> None:
    features, classes = clusters()
    sklearns = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(features.astype(np.float64), classes)
    wanted = sklearns.decision_function(features.astype(np.float64)) - np.log(sklearns.priors_)
    # The one product's worth of the centre in each class weighs nothing among so many.
    found = gathered(features, np.eye(3, dtype=np.float32)[classes], times=5000).discriminant(shrinkage)(features)
    np.testing.assert_allclose(centred(found), centred(wanted), atol=2e-3 * np.abs(wanted).max())
    assert np.array_equal(found.argmax(axis=1), wanted.argmax(axis=1))


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 0.9])
def test_on_beliefs_it_is_the_formula(shrinkage: float) -> None:
    features, _ = clusters(1)
    beliefs = np.random.default_rng(2).dirichlet([0.3, 0.6, 0.9, 0.2], len(features)).astype(np.float32)
    found = gathered(features, beliefs).discriminant(shrinkage)(features)
    assert found.dtype == np.float32
    np.testing.assert_allclose(centred(found), centred(by_formula(features, beliefs, shrinkage)), atol=1e-4)


def test_batches_add_up() -> None:
    features, classes = clusters()
    beliefs = np.eye(3, dtype=np.float32)[classes]
    pieces = Moments(4, 3)
    for start in range(0, 60, 7):
        pieces.add(features[start : start + 7], beliefs[start : start + 7])
    whole, summed = gathered(features, beliefs).discriminant(0.9), pieces.discriminant(0.9)
    np.testing.assert_allclose(summed.weights, whole.weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(summed.bias, whole.bias, rtol=1e-4, atol=1e-6)


def test_a_large_class_is_not_favoured_for_its_size() -> None:
    """Two classes of one shape: half-way between them, the one with nine times the products is no likelier."""
    spread = np.array([[-0.5], [0.5]], dtype=np.float32)
    features = np.vstack([np.tile(spread - 2, (900, 1)), np.tile(spread + 2, (100, 1))])
    beliefs = np.eye(2, dtype=np.float32)[np.repeat([0, 1], [1800, 200])]
    one, other = gathered(features, beliefs).discriminant(0.9)(np.zeros((1, 1), dtype=np.float32))[0]
    # One product's worth of the centre, -1.6, moves the means to m = -1.99978 and M = 1.98209; the variance that they leave is 0.26303.
    # So all that tells the classes apart is (M^2 - m^2) / (2 * 0.26303) = -0.134, where a prior term would add ln 9 = 2.2.
    assert one - other == pytest.approx(-0.134, abs=1e-3)
    assert gathered(features, beliefs).discriminant(0.9)(np.array([[-2], [2]], dtype=np.float32)).argmax(axis=1).tolist() == [0, 1]


def test_a_class_without_products_lies_at_the_centre() -> None:
    features, classes = clusters()
    beliefs = np.hstack([np.eye(3, dtype=np.float32)[classes], np.zeros((60, 1), dtype=np.float32)])
    found = gathered(features, beliefs).discriminant(0.9)
    assert np.isfinite(found.weights).all()
    np.testing.assert_allclose(found.weights[:, 3], 0, atol=1e-6)
    np.testing.assert_allclose(found.bias[3], 0, atol=1e-6)


def test_full_shrinkage_goes_by_plain_distance() -> None:
    features, classes = clusters()
    found = gathered(features, np.eye(3, dtype=np.float32)[classes], times=1000).discriminant(1.0)(features)
    means = np.array([features[classes == each].mean(axis=0) for each in range(3)])
    distances = ((features[:, None] - means) ** 2).sum(axis=2)
    assert np.array_equal(found.argmax(axis=1), distances.argmin(axis=1))


def test_features_that_are_all_alike_tell_nothing_and_break_nothing() -> None:
    features = np.ones((10, 3), dtype=np.float32)
    beliefs = np.full((10, 2), 0.5, dtype=np.float32)
    found = gathered(features, beliefs).discriminant(0.9)(features)
    np.testing.assert_allclose(centred(found), 0, atol=1e-6)


def test_a_discriminant_is_weights_and_bias_and_can_be_scaled() -> None:
    given = Discriminant(np.array([[1, 2], [3, 4]], dtype=np.float32), np.array([10, 20], dtype=np.float32))
    features = np.array([[1, 0], [1, 1]], dtype=np.float32)
    assert given(features).tolist() == [[11, 22], [14, 26]]
    halved = given.scaled(0.5)
    assert halved(features).tolist() == [[5.5, 11], [7, 13]]
    assert (halved.weights.dtype, halved.bias.dtype) == (np.float32, np.float32)


# --- words


SHOP = Taxonomy(
    [
        Category("drinks", "Drinks"),
        Category("tea", "Tea & Herbal Tea", ("chai",), "leaf tea, tea bags", ("Earl Grey 100 ct",), ("drinks",)),
        Category("green", "Green", parents=("tea",)),
        Category("oil", "Oil"),
    ],
    language="en",
)
HANZI = Taxonomy([Category("food", "食品"), Category("tea", "茶叶、酒", ("饮品",), "各种茶", ("龙井 250克",), ("food",))], language="zh")


def test_an_english_root_in_sentences() -> None:
    assert sentences(SHOP, "oil") == Phrases(
        ("Oil", "This product is a Oil", "a product listing of Oil", "Oil for sale in the Oil department"),
        ("Oil for sale in the Oil department",),
    )


def test_an_english_category_below_others_in_sentences() -> None:
    name = "Tea & Herbal Tea"
    assert sentences(SHOP, "tea") == Phrases(
        (
            name,
            f"This product is a {name}",
            f"a product listing of {name}",
            f"{name} for sale in the Drinks department",
            f"{name} (Drinks)",
            f"This product is a {name}, a kind of Drinks",
            f"{name}: leaf tea, tea bags",
        ),
        (
            "Tea for sale in the Drinks department",
            "Herbal Tea for sale in the Drinks department",
            "chai for sale in the Drinks department",
            "Earl Grey 100 ct",
        ),
    )
    assert sentences(SHOP, "green").whole[-2:] == (f"Green ({name}, Drinks)", f"This product is a Green, a kind of {name}")


def test_a_chinese_category_in_sentences() -> None:
    assert sentences(HANZI, "tea") == Phrases(
        ("茶叶、酒", "这件商品是茶叶、酒", "食品类商品：茶叶、酒", "茶叶、酒（食品）", "这件商品是茶叶、酒，属于食品", "茶叶、酒: 各种茶"),
        ("食品类商品：茶叶", "食品类商品：酒", "食品类商品：饮品", "龙井 250克"),
    )
    assert sentences(HANZI, "food").whole == ("食品", "这件商品是食品", "食品类商品：食品")


def test_a_language_without_phrasings_has_bare_names() -> None:
    french = Taxonomy([Category("a", "Épicerie"), Category("b", "Thé", parents=("a",))], language="fr")
    assert sentences(french, "a") == Phrases(("Épicerie",), ("Épicerie",))
    assert sentences(french, "b") == Phrases(("Thé", "Thé (Épicerie)"), ("Thé",))


def test_a_name_with_braces_is_no_template() -> None:
    odd = Taxonomy([Category("a", "{name} {0}"), Category("b", "50% {off}", parents=("a",))], language="en")
    assert sentences(odd, "b").whole[4] == "50% {off} ({name} {0})"
    assert sentences(odd, "a").parts == ("{name} {0} for sale in the {name} {0} department",)


def test_keywords_are_the_path_and_the_bare_names() -> None:
    assert keywords(SHOP, "oil") == Phrases(("Oil",), ("Oil",))
    assert keywords(SHOP, "tea") == Phrases(
        ("Drinks Tea & Herbal Tea leaf tea, tea bags",), ("Tea & Herbal Tea", "chai", "Earl Grey 100 ct")
    )
    assert keywords(SHOP, "green") == Phrases(("Drinks Tea & Herbal Tea Green",), ("Green",))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Bath, Body and Hair", ("Bath", "Body", "Hair")),
        ("Sand AND Gravel", ("Sand", "Gravel")),
        ("Sandals", ("Sandals",)),
        ("Tea (loose) | Mugs; Cups", ("Tea", "loose", "Mugs", "Cups")),
        ("A/C Units", ("C Units",)),
        ("R&B", ("R&B",)),
        ("&", ("&",)),
        ("米、面、油", ("米", "面", "油")),
        ("茶叶、酒", ("茶叶", "酒")),
        ("T恤（男，女）", ("T恤", "男", "女")),
        ("차 & 커피", ("차", "커피")),
    ],
)
def test_a_name_that_lists_things_is_split_and_no_word_is_lost(name: str, parts: tuple[str, ...]) -> None:
    assert parts_of(name) == parts
