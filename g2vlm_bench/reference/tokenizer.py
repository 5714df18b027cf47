"""Words and their numbers: a small word-level tokenizer, made by the tokenizers library."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from g2vlm_bench.errors import BenchError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, ASK, OPTION, ANSWER, END, SCENE = (
    "[PAD]", "[UNK]", "[ASK]", "[OPTION]", "[ANSWER]", "[END]", "[SCENE]",
)  # fmt: skip
SPECIAL = (PAD, UNKNOWN, ASK, OPTION, ANSWER, END, SCENE)


class Words:
    """A tokenizer whose words are lower-case words, single digits and signs.

    Single digits, so that a number never seen in training has a spelling too.

    Args:
        tokenizer: As the tokenizers library has it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.pad, self.unknown, self.ask, self.option, self.answer, self.end, self.scene = (
            tokenizer.token_to_id(word) or 0 for word in SPECIAL
        )

    def __len__(self) -> int:
        """Number of words."""
        return int(self._tokenizer.get_vocab_size())

    @classmethod
    def learn(cls, texts: Iterable[str]) -> Words:
        """Make one of every word that texts hold, the most frequent first."""
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
        )
        tokenizer.train_from_iterator(
            texts, trainers.WordLevelTrainer(special_tokens=list(SPECIAL), show_progress=False)
        )
        return cls(tokenizer)

    def extended(self, texts: Iterable[str]) -> Words:
        """These words under their numbers, and behind them those of texts that are none of them.

        >>> words = Words.learn(["a red box"])
        >>> more = words.extended(["a blue box", "a ball"])
        >>> more.encode("a red box") == words.encode("a red box"), more.unknown_words("blue ball")
        (True, ())
        """
        from tokenizers import Tokenizer, models

        numbers = dict(self.vocabulary)
        for text in texts:
            for word in self.unknown_words(text):
                numbers.setdefault(word.lower(), len(numbers))
        tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
        tokenizer.normalizer = self._tokenizer.normalizer
        tokenizer.pre_tokenizer = self._tokenizer.pre_tokenizer
        tokenizer.add_special_tokens(list(SPECIAL))
        return Words(tokenizer)

    @classmethod
    def load(cls, path: Path) -> Words:
        """Read one that was saved.

        Raises:
            BenchError: The file is missing or is none.
        """
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exceptions
            raise BenchError(path, expected="a tokenizer", got=str(error)) from None
        for mark in SPECIAL:
            if tokenizer.token_to_id(mark) is None:
                raise BenchError(path, expected="a tokenizer of `train`", got=f"one without {mark}")
        return cls(tokenizer)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        self._tokenizer.save(str(path))

    @property
    def vocabulary(self) -> dict[str, int]:
        """The number of each word."""
        return self._tokenizer.get_vocab()

    def sayable(self) -> list[int]:
        """Numbers of all words but marks, which mean something to the model alone.

        >>> words = Words.learn(["a red box"])
        >>> words.decode(words.sayable())
        'a box red'
        """
        return [n for n in range(len(self)) if self._tokenizer.id_to_token(n) not in SPECIAL]

    def encode(self, text: str) -> list[int]:
        """Numbers of a text's words."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_with_places(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Numbers of a text's words, and each word's first character and one past its last."""
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        return list(encoded.ids), [(int(a), int(b)) for a, b in encoded.offsets]

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Words of a text that have no number of their own, each once.

        >>> Words.learn(["a red box"]).unknown_words("A blue box, a blue ball")
        ('blue', ',', 'ball')
        """
        numbers, places = self.encode_with_places(text)
        spans = zip(numbers, places, strict=True)
        found = [text[start:end] for number, (start, end) in spans if number == self.unknown]
        return tuple(dict.fromkeys(found))

    def prompt(self, question: str, options: Sequence[str] = ()) -> list[int]:
        """Numbers of a question with its options, up to where the answer begins."""
        numbers = [self.ask, *self.encode(question)]
        for option in options:
            numbers += [self.option, *self.encode(option)]
        return [*numbers, self.answer]

    def decode(self, numbers: Sequence[int]) -> str:
        """Words again, up to the end mark; digits and signs of a number stand close.

        >>> words = Words.learn(["it is 1.75 m, no?"])
        >>> words.decode(words.encode("It is 1.75 m"))
        'it is 1.75 m'
        """
        text = ""
        for number in numbers:
            word = self._tokenizer.id_to_token(int(number)) or UNKNOWN
            if word == END:
                break
            if word in SPECIAL:
                continue
            in_number = word.isdigit() and re.search(r"\d\.?$", text) is not None
            text += word if not text or in_number or word in ",.;:?!" else f" {word}"
        return text
