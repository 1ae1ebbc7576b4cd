"""New formulas from the lines of labelled ones: an expression, and for each of its variables any assignment of that variable.

The source document's way to more data (its section on the generator), as a pure function of (seed, index).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from crnn_jax.data.crops import crop_path
from crnn_jax.data.examples import ENDLESS, Example
from crnn_jax.data.folder import Labelled
from crnn_jax.data.images import read_image
from crnn_jax.drawing.random import Draws
from crnn_jax.errors import UserError
from crnn_jax.grammar import SEPARATOR
from crnn_jax.locate import join


class Line(NamedTuple):
    """A line of a picture.

    Attributes:
        path: of its file.
        text: that is in it.
        variables: of an expression, in the order of their assignments.
    """

    path: str
    text: str
    variables: str = ""


@dataclass(frozen=True)
class RecombinedSource:
    """Strips for training, put together from the lines of others.

    Attributes:
        expressions: last lines.
        assignments: the others, by their variable.
        seed: of the examples.
    """

    expressions: tuple[Line, ...]
    assignments: Mapping[str, tuple[Line, ...]]
    seed: int

    @classmethod
    def of(cls, labels: Iterable[Labelled], seed: int) -> RecombinedSource:
        """From the labels of a folder that ``crnn-jax locate`` made, with the lines in its folder of crops.

        Raises:
            UserError: there are none, or the lines of a picture are missing.
        """
        expressions: list[Line] = []
        assignments: defaultdict[str, list[Line]] = defaultdict(list)
        for label in labels:
            texts = label.text.split(SEPARATOR)
            files = [crop_path(label.path.parent, label.path.stem, i) for i in range(len(texts))]
            missing = [file for file in files if not file.is_file()]
            if missing:
                raise UserError(
                    f"{missing[0]}: is missing; `crnn-jax locate PICTURES --out FOLDER` makes the lines of a folder"
                )
            if (more := crop_path(label.path.parent, label.path.stem, len(texts))).is_file():
                raise UserError(f"{more}: is a line more than the text has, {label.text!r}")
            expressions.append(Line(str(files[-1]), texts[-1], "".join(text[0] for text in texts[:-1])))
            for file, text in zip(files[:-1], texts[:-1], strict=True):
                assignments[text[0]].append(Line(str(file), text))
        if not expressions:
            raise UserError("there are no labelled pictures to recombine")
        return cls(tuple(expressions), {variable: tuple(lines) for variable, lines in assignments.items()}, seed)

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Example:
        draws = Draws(self.seed, "train", index)
        expression = draws.choice(self.expressions)
        lines = [*(draws.choice(self.assignments[variable]) for variable in expression.variables), expression]
        return Example(join([read_image(line.path) for line in lines]), SEPARATOR.join(line.text for line in lines))
