"""Makes texts that are no products, questions and requests and sayings, upon which a tuned encoder is to stay what it was.

Moulds of our own are filled with words of the encoder's vocabulary at random: what they say makes no sense, and need not, as only the
original's vector of each is asked for. The trap: a text that a measuring set holds would make its figure a lie; none was looked up.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

WORD: Final = "{}"
MOULDS: Final = (
    "What is {}?", "What is the {} of {}?", "What was the first {} to {}?", "What does {} mean?", "What {} is the largest in {}?",
    "What kind of {} do {} have?", "What year did {} become {}?", "What are the {} of a {}?", "What do you call a {} that is {}?",
    "What is another word for {}?", "What causes {}?", "What color is {}?", "What country is {} from?", "Which {} has the most {}?",
    "Which {} wrote {}?", "Who is {}?", "Who was the {} of {}?", "Who invented {}?", "Who wrote the {}?", "Who won the {} in {}?",
    "Whose {} is this?", "Where is {}?", "Where can I find {}?", "Where does {} come from?", "Where was {} born?", "When was {} {}?",
    "When did the {} begin?", "When do {} usually {}?", "Why is {} so {}?", "Why do {} {}?", "Why was my {} {}?", "How do I {} a {}?",
    "How do {} work?", "How many {} are there in a {}?", "How much does a {} cost?", "How far is it from {} to {}?",
    "How long does {} take?", "How old is {}?", "How did {} die?", "How tall is the {}?", "How can I change my {}?",
    "Name a {} that {}.", "Can you {} my {}?",
    "Can I use {} for {}?", "Could you tell me about {}?", "Is it {} to {}?", "Is there a {} for {}?", "Do I need a {} to {}?",
    "Does {} have {}?", "Are {} and {} the same?", "Will the {} be {} tomorrow?", "I want to {} my {}.", "I would like a {}, please.",
    "I need help with my {}.", "I lost my {}.", "I have not received my {} yet.", "I think there is a {} in my {}.", "I can not {} the {}.",
    "I was charged for a {}.", "Please {} the {}.", "Please explain the {}.", "Help me {} this {}.", "My {} is not working.",
    "My {} was {} and I do not know why.", "Tell me what {} is.", "Show me the {} of {}.", "There is a {} on my {} that I did not {}.",
    "The {} was {} by the {}.", "The {} of {} is {}.", "The {} {} is a {} in {}.", "A {} is a kind of {}.", "He {} the {} in {}.",
    "She said that the {} was {}.", "They were {} when the {} came.", "We {} to {} every {}.", "It was a {} and {} day.",
    "This {} made me feel {}.", "The {} is better than the {}.", "In {}, a {} became {}.", "After the {}, {} was {}.",
    "{} and {} are {}.", "{} is known for its {}.", "{} was a {} {}.", "{} {} {} {} {}", "{} {} {} {} {} {} {} {} {} {}",
)  # fmt: skip
"""Questions, requests, sayings, and words that stand in no sentence."""


def whole_words(vocabulary: Sequence[str]) -> list[str]:
    """Return the tokens of a vocabulary that are words of three Latin letters or more, in order.

    >>> whole_words(["##ing", "tea", "[SEP]", "of", "naïve", "bus"])
    ['bus', 'tea']
    """
    return sorted(token for token in vocabulary if re.fullmatch(r"[a-z]{3,}", token))


def general_texts(words: Sequence[str], count: int, seed: int) -> list[str]:
    """Fill moulds with words; the same for the same seed.

    >>> len(set(general_texts(["tea", "bus", "law"], 3, seed=0)))
    3
    """
    rng = random.Random(seed)
    return [re.sub(re.escape(WORD), lambda _: rng.choice(words), rng.choice(MOULDS)) for _ in range(count)]
