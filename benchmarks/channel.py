"""Times a channel prompt, by titles behind each reading of it, beside the direct one: `python benchmarks/channel.py` (a minute or two).

A step of a channel reads the prompt of each category once, and behind it all titles that have the category on their shortlists. The model
is a Llama of 5M parameters with random weights, and the titles are made up: what is timed is the engine, and no opinion is judged.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from lm_scoring import build_model, category_names

from fewtag.models.source import Source
from fewtag.models.zero_shot import shortlist_lm
from fewtag.models.zero_shot.shortlist_lm import ShortlistScorer
from fewtag.prompts import Prompt
from fewtag.taxonomy import Taxonomy

CATEGORIES = 64
TITLES = 256
READINGS = (4, 8, 16, 32, 64)


def main() -> None:
    names = category_names(CATEGORIES + TITLES)
    taxonomy = Taxonomy.from_paths(names[:CATEGORIES], language="en")
    titles = [f"{name}, {number} pieces, {name.split()[0]}" for number, name in enumerate(names[CATEGORIES:])]
    scores = np.log(np.random.default_rng(0).dirichlet(np.full(CATEGORIES, 0.1), TITLES).astype(np.float32) + 1e-9)
    with tempfile.TemporaryDirectory() as folder:
        lm = build_model(folder, hidden=128, layers=4)
        print(f"{TITLES} titles, {CATEGORIES} categories, shortlists of {shortlist_lm.SHORTLIST}; milliseconds of processor time a title")
        for prompt, readings in (("category.v1", READINGS[:1]), ("channel.v1", READINGS)):
            for each in readings:
                shortlist_lm.PER_READING = each  # type: ignore[misc]
                scorer = ShortlistScorer(Source("random", "nowhere", "1"), Prompt.load(prompt), taxonomy, Path(folder) / f"{prompt} {each}")
                scorer._lm = lm
                start = time.process_time()
                scorer.reweigh(titles, scores, 0.5)
                taken = 1000 * (time.process_time() - start) / TITLES
                print(f"{prompt:12} {f'{each} titles a reading' if scorer.prompt.channel else '':>20} {taken:6.1f}")


if __name__ == "__main__":
    main()
