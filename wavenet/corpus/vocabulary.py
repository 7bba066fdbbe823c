"""Characters to token ids and back. Needs neither torch nor Lightning."""

from collections import Counter
from collections.abc import Iterable, Sequence

from wavenet.errors import ArgumentError

BOUNDARY = 0
"""The token id that both starts and ends a word; shown as ``.``, though it is no character."""

ANY = 0
"""The label id of words whose label is not known, or not told: they may be of any kind."""


class UnknownCharacterError(ValueError):
    """A word holds a character that the alphabet does not."""

    def __init__(self, character: str, word: str, alphabet: str) -> None:
        super().__init__(
            f"unknown character {character!r} (U+{ord(character):04X}) in {word!r}: "
            f"expected one of the {len(alphabet)} characters of the alphabet {alphabet!r}"
        )
        self.character = character
        self.word = word


class Vocabulary:
    """A one-to-one map between the characters of an alphabet and the token ids 1, 2, ...; id 0 is the boundary.

    Args:
        alphabet: The characters, each once, in the order of their ids. Any Unicode character will do; a full stop is
            a character like the others.

    Raises:
        ArgumentError: The alphabet is empty or holds a character twice.

    Examples:
        >>> vocabulary = Vocabulary.from_words(["emma", "ava"])
        >>> vocabulary.alphabet, len(vocabulary)
        ('aemv', 5)
        >>> vocabulary.encode("emma")
        [2, 3, 3, 1]
        >>> vocabulary.decode([2, 3, 3, 1])
        'emma'
    """

    def __init__(self, alphabet: str) -> None:
        if not alphabet:
            raise ArgumentError("alphabet", "must have at least one character, got none")
        character, count = Counter(alphabet).most_common(1)[0]
        if count > 1:
            raise ArgumentError("alphabet", f"must have each character once, got {character!r} {count} times")
        self.alphabet = alphabet
        self._ids = {character: token for token, character in enumerate(alphabet, start=1)}

    @classmethod
    def from_words(cls, words: Iterable[str]) -> "Vocabulary":
        """The vocabulary of all characters of ``words``, in the order of their code points."""
        return cls("".join(sorted(set().union(*words))))

    def encode(self, word: str) -> list[int]:
        """Token ids of the word's characters, without boundaries.

        Raises:
            UnknownCharacterError: A character is not in the alphabet.
        """
        try:
            return [self._ids[character] for character in word]
        except KeyError as error:
            raise UnknownCharacterError(error.args[0], word, self.alphabet) from None

    def decode(self, tokens: Sequence[int]) -> str:
        """The word that :meth:`encode` would turn into ``tokens``.

        Raises:
            ValueError: A token id is the boundary, which is no character, or outside the vocabulary.
        """
        if tokens and not (min(tokens) > BOUNDARY and max(tokens) < len(self)):
            wrong = next(token for token in tokens if not BOUNDARY < token < len(self))
            raise ValueError(f"expected token ids from 1 to {len(self) - 1}, got {wrong}")
        return "".join(self.alphabet[token - 1] for token in tokens)

    def __len__(self) -> int:
        """Number of token ids V: the characters and the boundary."""
        return len(self.alphabet) + 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.alphabet == other.alphabet

    def __hash__(self) -> int:
        return hash(self.alphabet)

    def __repr__(self) -> str:
        return f"Vocabulary({self.alphabet!r})"
