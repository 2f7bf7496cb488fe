"""Measures tagging without a single label: `python benchmarks/cold_start.py` (ten minutes on 2 cores).

Three ways of saying a category's name are compared with each title by cosine, each as it is and with batch calibration, by
all-MiniLM-L6-v2 and by the embedded encoder, beside `fewtag bootstrap` upon each, on the same products. `--lm FOLDER` adds a language
model, alone and in the bootstrap; it weighs every category for every title, so draw fewer (`--rows 400`). With no labels there is nothing
that SetFit, TF-IDF with a linear model or a frozen encoder with logistic regression could be trained on: they enter where labels do.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from product_sets import CACHE, DATA, SOURCES, ProductSet, encoder_name, load, tagger_for

from fewtag import Taxonomy
from fewtag.decide import PRECISION
from fewtag.metrics import accuracy, hierarchical_f1, macro_f1, selective_precision
from fewtag.models.calibrate import batch_prior, content_free_prior, log_softmax, pmi_prior, remove_prior, token_mean
from fewtag.models.encoder import CachedEncoder, SentenceEncoder
from fewtag.models.lm.model import LanguageModel
from fewtag.models.ngrams import CharacterNgrams
from fewtag.models.source import EMBEDDED
from fewtag.models.zero_shot.rung import LETTERS_TEMPERATURE, PRIOR_STRENGTH, TEMPERATURE
from fewtag.models.zero_shot.shortlist_lm import distinct_names
from fewtag.prompts import Prompt

SENTENCES: Final = {"en": "This product is a {}", "zh": "这件商品是{}"}
WRITTEN: Final = "title.v1"
"""The prompt that fewtag's own language model was trained with."""
CALIBRATED: Final = ", calibrated"
Encode = Callable[[Sequence[str]], Any]
Scores = npt.NDArray[np.float32]


def phrasings(taxonomy: Taxonomy) -> dict[str, list[str]]:
    names = [taxonomy[category].name for category in taxonomy.classes]
    return {
        "name": names,
        "sentence": [SENTENCES[taxonomy.language].format(name) for name in names],
        "path": [taxonomy.path(category) for category in taxonomy.classes],
    }


def encoders(data: ProductSet) -> dict[str, tuple[Encode, float]]:
    """Return what turns texts into vectors, by name, each with the temperature that suits its cosines."""
    if data.taxonomy.language == "en":
        names = {"MiniLM": EMBEDDED, "embedded": encoder_name(data.name)}
        return {who: (CachedEncoder(SentenceEncoder(name), CACHE / "vectors").encode, TEMPERATURE) for who, name in names.items()}
    texts = [product.text for product in data.products] + phrasings(data.taxonomy)["path"]
    return {"n-grams": (CharacterNgrams(data.taxonomy.language).fit(texts).grams, LETTERS_TEMPERATURE)}


def cosines(data: ProductSet) -> dict[str, Scores]:
    """Return the scores of every way but fewtag's and a language model's, each (n, n_classes)."""
    scores = {}
    for who, (encode, temperature) in encoders(data).items():
        titles = encode([product.text for product in data.products])
        for phrasing, phrases in phrasings(data.taxonomy).items():
            cosine = titles @ encode(phrases).T
            logs = log_softmax(np.asarray(cosine if isinstance(cosine, np.ndarray) else cosine.toarray()) / np.float32(temperature))
            scores[f"{who}, {phrasing}"] = logs
            scores[f"{who}, {phrasing}{CALIBRATED}"] = remove_prior(logs, batch_prior(logs), PRIOR_STRENGTH)
    return scores


def opinions(data: ProductSet, lm: LanguageModel) -> dict[str, Scores]:
    """Return a language model's scores of every category, in five ways, each (n, n_classes)."""
    names, prompt, channel = distinct_names(data.taxonomy), Prompt.load(WRITTEN), Prompt.load("channel.v1")
    said = lm.score([prompt.render(product=product, taxonomy_name=data.taxonomy.name) for product in data.products], names)
    nothing = lm.score(prompt.content_free(taxonomy_name=data.taxonomy.name), names)
    lines = [channel.verbalise(" ".join(product.text.split())) + "\n" for product in data.products]
    behind = [channel.render_category(name, taxonomy_name=data.taxonomy.name) for name in names]
    return {
        "LM, sum": said,
        "LM, mean of tokens": token_mean(said, lm.token_counts(names)),
        "LM, PMI": said - pmi_prior(nothing),
        "LM, content-free": remove_prior(said, content_free_prior(nothing)),
        "LM, batch-calibrated": remove_prior(said, batch_prior(said)),
        "LM, channel": lm.score(behind, lines).T,
    }


def row(way: str, data: ProductSet, tags: Sequence[str], more: str = "") -> float:
    figures = accuracy(tags, data.gold), macro_f1(tags, data.gold), hierarchical_f1(tags, data.gold, data.taxonomy)
    print(f"{data.name:<12} {way:<34} " + " ".join(f"{figure:>9.3f}" for figure in figures) + more, flush=True)
    return figures[0]


def bootstrapped(way: str, data: ProductSet, encoder: str | None, lm: Path | None = None) -> float:
    """Print the row of `fewtag bootstrap`, and what it says of its language model."""
    tagger = tagger_for(data, CACHE / f"workspace-{data.name}", encoder=encoder, lm=lm, prompt=WRITTEN if lm else None)
    start = time.perf_counter()
    tagger.bootstrap(data.products)
    tags = tagger.predict(data.products)
    coverage, precision = selective_precision([tag.category for tag in tags], data.gold, data.taxonomy)
    more = f" {coverage:>9.2f} {precision:>10.3f} {time.perf_counter() - start:>7.0f}"
    found = row(way, data, [tag.alternatives[0][0] for tag in tags], more)
    if lm:
        print(f"{'':<12} {tagger.consulted}")
    return found


def measure(data: ProductSet, lm: Path | None) -> dict[str, float]:
    """Print the rows of one set, and return the accuracy of each way."""
    found = {}
    scores = cosines(data) | (opinions(data, LanguageModel.load(str(lm), device="cpu")) if lm else {})
    for way, each in scores.items():
        found[way] = row(way, data, [data.taxonomy.classes[column] for column in each.argmax(axis=1)])
    if data.taxonomy.language == "en":
        found["fewtag upon MiniLM"] = bootstrapped("fewtag bootstrap upon MiniLM", data, EMBEDDED)
        if lm:
            found["fewtag with LM"] = bootstrapped("fewtag bootstrap with LM", data, None, lm)
    found["fewtag"] = bootstrapped("fewtag bootstrap", data, None)
    print()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=6000, help="products drawn from each set; 0 for all")
    parser.add_argument("--sets", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--lm", type=Path, help="the folder of a language model in English, which only English sets can be asked of")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.error(f"there is no folder {DATA}: set FEWTAG_DATA to the folder that holds the product sets")
    print(f"{'set':<12} {'way':<34} {'accuracy':>9} {'macro-F1':>9} {'hier. F1':>9} {'coverage':>9} {'precision':>10} {'seconds':>7}")
    print(f"{'':<12} {'':<34} {'of the likeliest category':^29} {f'of the tags at {PRECISION}':^20}")
    every = defaultdict(list)
    for name in arguments.sets:
        data = load(name, arguments.rows or None)
        if data.taxonomy.language == "en":
            for way, figure in measure(data, arguments.lm).items():
                every[way].append(figure)
        else:
            measure(data, None)
    print(f"mean of {', '.join(name for name in arguments.sets if SOURCES[name].language == 'en')}:")
    for way, figures in every.items():
        print(f"{'':<12} {way:<34} {np.mean(figures):>9.3f}")


if __name__ == "__main__":
    main()
