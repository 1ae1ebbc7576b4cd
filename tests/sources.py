"""Sources of examples and a grammar for the tests. Worker processes import this module, so it must not import jax or grain."""

import os
import sys

import numpy as np

from crnn_jax.alphabet import Alphabet
from crnn_jax.data.examples import ENDLESS, BatchMaker, Example, Preparation
from crnn_jax.data.images import UnreadableImage
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Grammar, columns
from crnn_jax.tasks import Task


class Squares:
    """Example i is a grey picture of brightness i with i as its text."""

    def __init__(self, height=6, width=8):
        self.shape = (height, width, 3)

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return Example(np.full(self.shape, index % 256, np.uint8), str(index))


def maker(**changes):
    return BatchMaker(
        **{
            "source": Squares(),
            "preparation": Preparation(6, 8),
            "alphabet": Alphabet("0123456789"),
            "max_length": 3,
            **changes,
        }
    )


class ModulesOfWorker:
    """Tells whether the process that reads an example has imported jax."""

    def __len__(self):
        return ENDLESS

    def __getitem__(self, index):
        return Example(np.zeros((6, 8, 3), np.uint8), str(int("jax" in sys.modules)))


class DiesAtFive(ModulesOfWorker):
    def __getitem__(self, index):
        if index == 5:
            os._exit(3)
        return super().__getitem__(index)


class Bars:
    """Texts of one to three bits, drawn as bars: narrow for 0, wide for 1; noise where the seed says so."""

    HEIGHT, WIDTH, MAX_LENGTH = 16, 64, 3

    def __init__(self, split, seed):
        self.key = (split, seed)

    def __len__(self):
        return ENDLESS

    def __getitem__(self, index):
        split, seed = self.key
        draws = Draws(seed, split, index)
        text = "".join(draws.choice("01") for _ in range(1 + draws.below(self.MAX_LENGTH)))
        image = np.full((self.HEIGHT, self.WIDTH, 3), 220 + draws.below(20), np.uint8)
        x = draws.below(6)
        for bit in text:
            width = 10 if bit == "1" else 3
            image[2:14, x : x + width] = draws.below(60)
            x += width + 8 + draws.below(3)
        return Example(image, text)


class Blank(Bars):
    """Pictures that hold nothing: a network learns to read nothing but blanks."""

    def __getitem__(self, index):
        return super().__getitem__(index)._replace(text="")


class Broken(Bars):
    """Validation pictures that can't be read."""

    def __getitem__(self, index):
        if self.key[0] == "validation":
            raise UnreadableImage(f"{index}.png: can't be read")
        return super().__getitem__(index)


class Interrupting(Bars):
    """Sends this process a signal while an example is drawn."""

    def __init__(self, split, seed, index, number):
        super().__init__(split, seed)
        self.index, self.number = index, number

    def __getitem__(self, index):
        if index == self.index:
            os.kill(os.getpid(), self.number)
        return super().__getitem__(index)


class Failing(Bars):
    """Raises an exception that nobody expects: the nearest thing to a kill within one process."""

    def __init__(self, split, seed, index):
        super().__init__(split, seed)
        self.index = index

    def __getitem__(self, index):
        if index == self.index:
            raise RuntimeError("as if killed")
        return super().__getitem__(index)


def bars_task(source=Bars, **changes):
    return Task(
        **{
            "name": "bars",
            "alphabet": Alphabet("01"),
            "preparation": Preparation(Bars.HEIGHT, Bars.WIDTH),
            "max_length": Bars.MAX_LENGTH,
            "source": source,
            "judge": "the tests",
            **changes,
        }
    )


class Words(Grammar):
    """The example of `Grammar`'s docstring."""

    name = "fruit"
    alphabet = Alphabet("abcdefghijklmnopqrstuvwxyz")
    start = ""
    words = ("apple", "cherry", "plum")

    def advance(self, state, character):
        text = state + character
        return text if any(word.startswith(text) for word in self.words) else None

    def completion(self, state):
        rests = (word[len(state) :] for word in self.words if word.startswith(state))
        return min(rests, key=lambda rest: columns(rest, after=state))

    def sample(self, draws):
        return self.words[draws.below(len(self.words))]
