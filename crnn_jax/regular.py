"""Grammars that a regular expression describes: dates, plates, serial numbers."""

from __future__ import annotations

import contextlib
import heapq
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

import interegular
import interegular.fsm

from crnn_jax.alphabet import Alphabet
from crnn_jax.errors import UserError
from crnn_jax.grammar import Chooser, Grammar

PREFIX = "regex:"  # of the names of such grammars, which say all
_GOES_ON = 4  # of five times, where a sampled text may end
_MOST_STATES = 5000  # of an automaton; some short patterns, such as .*A.{20}, have millions
_LONGEST = 200  # characters of a sampled text, before it is brought to its end
_BOUNDING = threading.Lock()  # all threads share the function that `_bounded` puts another in the place of


class _State(NamedTuple):
    """Where a text stands: the automaton's state and, because a repeated character needs one more column, the last one."""

    automaton: int
    last: str


class Regular(Grammar):
    r"""The texts that a regular expression matches as a whole.

    >>> from crnn_jax import Alphabet
    >>> date = Regular(r"\d{4}-\d{2}-\d{2}", Alphabet("0123456789-"))
    >>> date.contains("2024-05-01"), date.contains("2024-5-1"), date.completion(date.start)
    (True, False, '0101-01-01')

    Args:
        pattern: in Python's syntax, without back references, looking ahead or behind, and possessive quantifiers; a ``^``
            before and a ``$`` after it change nothing.
        alphabet: of the texts.

    Raises:
        UserError: the pattern can't be understood, takes an automaton that is too large, or matches no text of this alphabet.
    """

    def __init__(self, pattern: str, alphabet: Alphabet) -> None:
        self.name, self.alphabet, self.pattern = PREFIX + pattern, alphabet, pattern
        try:
            with _bounded():
                plain = _in_plain_syntax(_without_anchors(pattern), alphabet)
                automaton: Any = interegular.parse_pattern(plain).to_fsm()
        except RecursionError:
            raise UserError(f"the regular expression {pattern[:40]!r} ... can't be used: its brackets are too deep") from None
        except Exception as error:  # the library raises its own kinds, and plain ones for what makes no sense
            raise UserError(f"the regular expression {pattern!r} can't be used: {_reason(error)}") from None
        self._symbols = {character: automaton.alphabet[character] for character in alphabet.characters}
        self._map, self._finals = automaton.map, automaton.finals
        # Characters that the pattern doesn't tell apart: two of each kind are enough, one for where the other came last.
        kinds: dict[int, list[str]] = defaultdict(list)
        for character, symbol in self._symbols.items():
            kinds[symbol].append(character)
        self._some = [character for kind in kinds.values() for character in kind[:2]]
        self._live = self._that_end()
        self._rests: dict[_State, str] = {}
        self.start: _State = _State(automaton.initial, "")
        if self.start.automaton not in self._live:
            raise UserError(f"the regular expression {pattern!r} matches no text of the characters {alphabet.characters!r}")

    def __reduce__(self) -> Any:
        """The automaton is made anew in another process."""
        return Regular, (self.pattern, self.alphabet)

    def advance(self, state: _State, character: str) -> _State | None:
        """See `Grammar`."""
        if character not in self._symbols:
            return None
        automaton = self._follow(state.automaton, character)
        return _State(automaton, character) if automaton in self._live else None

    def completion(self, state: _State) -> str:
        """See `Grammar`."""
        if state not in self._rests:
            self._rests[state] = self._search(state)
        return self._rests[state]

    def sample(self, draws: Chooser) -> str:
        """See `Grammar`; each character that may follow is as likely."""
        text, state = "", _State(*self.start)
        while len(text) < _LONGEST:
            followers = [(c, after) for c in self.alphabet.characters if (after := self.advance(state, c)) is not None]
            if not followers or (self.accepts(state) and draws.below(_GOES_ON + 1) == _GOES_ON):
                return text
            character, state = followers[draws.below(len(followers))]
            text += character
        return text + self.completion(state)

    def _follow(self, automaton: int, character: str) -> int | None:
        return self._map.get(automaton, {}).get(self._symbols[character])

    def _that_end(self) -> frozenset[int]:
        """The automaton's states from which a text of this alphabet can come to its end."""
        symbols = set(self._symbols.values())
        before: dict[int, set[int]] = defaultdict(set)
        for state, follow in self._map.items():
            for symbol, after in follow.items():
                if symbol in symbols:
                    before[after].add(state)
        live, waiting = set(self._finals), list(self._finals)
        while waiting:
            for state in before[waiting.pop()] - live:
                live.add(state)
                waiting.append(state)
        return frozenset(live)

    def _search(self, state: _State) -> str:
        """Dijkstra, "A note on two problems in connexion with graphs", 1959, over columns."""
        order = count()
        queue = [(0, next(order), "", state)]
        seen = set()
        while queue:
            cost, _, text, here = heapq.heappop(queue)
            if here.automaton in self._finals:
                return text
            if here in seen:
                continue
            seen.add(here)
            for character in self._some:
                automaton = self._follow(here.automaton, character)
                if automaton in self._live:
                    after = _State(automaton, character)
                    heapq.heappush(queue, (cost + 1 + (character == here.last), next(order), text + character, after))
        raise AssertionError("`advance` leads to no dead end")


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Lets interegular, which has no limit of its own, give up on automata that are too large."""

    def bounded(alphabet: Any, initial: Any, final: Callable[[Any], bool], follow: Any) -> Any:
        states = count(1)

        def counted(state: Any) -> bool:  # is asked once of each state
            if next(states) > _MOST_STATES:
                raise ValueError(f"an automaton for it would have more than {_MOST_STATES} states")
            return final(state)

        return crawl(alphabet, initial, counted, follow)

    with _BOUNDING:
        crawl = interegular.fsm.crawl
        interegular.fsm.crawl = bounded
        try:
            yield
        finally:
            interegular.fsm.crawl = crawl


def _without_anchors(pattern: str) -> str:
    """A whole text is matched in any case."""
    pattern = pattern.removeprefix("^")
    backslashes = len(pattern[:-1]) - len(pattern[:-1].rstrip("\\"))
    return pattern[:-1] if pattern.endswith("$") and backslashes % 2 == 0 else pattern


def _in_plain_syntax(pattern: str, alphabet: Alphabet) -> str:
    r"""A pattern in which interegular sees what Python does: ``\w`` and the like are written out for an alphabet.

    Raises:
        ValueError: interegular would read something else into it than Python.
    """
    parts, i, inside = [], 0, False  # inside: a class, in brackets
    while i < len(pattern):
        length = 1
        if pattern[i] == "\\":
            length = 2
            kind = pattern[i : i + 2]
            if kind[1:] and kind[1] in "wWdDsS":
                matching = [c for c in alphabet.characters if re.fullmatch(kind, c)] or ["\0"]  # which no text holds
                listed = "".join(map(re.escape, matching))
                parts.append(listed if inside else f"[{listed}]")
                i += length
                continue
        elif inside:
            inside = pattern[i] != "]"
        elif pattern[i] == "[":
            inside = True
            if pattern[i + 1 :].removeprefix("^").startswith("]"):
                raise ValueError("a ] that is the first of a class must be written as \\]")
        elif pattern.startswith(("(?=", "(?!"), i):
            raise ValueError("it looks ahead, at what a text may go on with")
        elif pattern[i] in "*+?}" and pattern[i + 1 : i + 2] == "+":
            raise ValueError(f"{pattern[i : i + 2]} is a possessive quantifier")
        parts.append(pattern[i : i + length])
        i += length
    return "".join(parts)


def _reason(error: BaseException) -> str:
    """Of an error of interegular's, which leaves the words to the one before it, or goes on with all that might follow."""
    while not str(error) and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    reason = " ".join(str(error).partition(". Got")[0].split()) or type(error).__name__
    return "^ may only be its first character, and $ its last" if reason in ("'^'", "'$'") else reason
