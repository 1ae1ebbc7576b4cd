"""``crnn-jax evaluate``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn_jax.cli.arguments import Commands, add_decode, add_dtype, add_grammar, add_model, add_names, load, need_labels, output
from crnn_jax.cli.reading import FileReading, escaped, read_files, say_squeezed
from crnn_jax.data.folder import Labelled, read_labels
from crnn_jax.data.images import UnreadableImage, read_image
from crnn_jax.locate import NoFormula
from crnn_jax.training.log import progress_bar

if TYPE_CHECKING:
    from crnn_jax.recognizer import Reading, Recognizer


def add(commands: Commands) -> None:
    """Adds the command."""
    evaluate = commands.add_parser("evaluate", help="read a folder with labels and say how well")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("folder", type=Path)
    add_names(evaluate)
    add_model(evaluate)
    add_decode(evaluate)
    add_dtype(evaluate)
    add_grammar(evaluate)
    evaluate.add_argument("--json", action="store_true", help="one JSON object")
    evaluate.add_argument(
        "--plots", type=Path, help="folder for sheets of right and wrong readings, a list of the wrong ones, and confusions"
    )


_CONFIDENCES = (0.99, 0.9, 0.5)  # how many readings have as much, and how many of them are right, is told


class _Judged(NamedTuple):
    path: Path
    text: str
    reading: Reading

    @property
    def right(self) -> bool:
        return self.reading.text == self.text


def _evaluate(arguments: argparse.Namespace) -> int:
    from crnn_jax.metrics import Score, wilson_interval
    from crnn_jax.recognizer import NOTHING_READ

    need_labels(arguments.folder, arguments.names)
    labels = read_labels(arguments.folder, names=arguments.names)
    model = load(arguments.model, [label.path for label in labels], arguments.grammar, arguments.dtype)
    if not (model.grammar and model.grammar.computes):
        labels = read_labels(arguments.folder, names=arguments.names, values=False)
    judged: list[_Judged] = []
    failed: list[Labelled] = []
    squeezed: list[FileReading] = []
    with progress_bar(len(labels), unit="image", description="evaluate", leave=False) as bar:
        files = read_files(model, [label.path for label in labels], arguments.decode)
        for label, file in zip(labels, files, strict=True):
            path, reading = file.path, file.reading
            bar.update()
            if file.squeezed:
                squeezed.append(file)
            if isinstance(reading, UnreadableImage):
                print(f"{'note' if isinstance(reading, NoFormula) else 'error'}: {reading}", file=sys.stderr)
            if isinstance(reading, NoFormula):  # a mistake of ours, not of the file
                judged.append(_Judged(path, label.text, NOTHING_READ))
            elif isinstance(reading, UnreadableImage):
                failed.append(label)
            else:
                judged.append(_Judged(path, label.text, reading))
    say_squeezed(squeezed)
    score = Score.of((j.reading.text for j in judged), (j.text for j in judged), model.grammar)
    low, high = wilson_interval(score.exact, score.examples)
    report: dict[str, Any] = {
        **score.summary(),
        **score.grammar_summary(model.grammar),
        "interval": [low, high],
        "valid": sum(j.reading.valid for j in judged) / max(1, len(judged)),
        "confident": [[least, *_as_sure(judged, least)] for least in _CONFIDENCES],
        "unreadable_files": len(failed),
        "confusions": [[true, read, count] for (true, read), count in score.confusions.most_common()],
    }
    if arguments.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _print_report(report)
    if arguments.plots:
        _plot(arguments.plots, judged, failed, score.confusions, model.members[0])
    return 1 if failed else 0


def _as_sure(judged: Sequence[_Judged], least: float) -> tuple[int, int]:
    """How many readings have at least a confidence, and how many of these are right."""
    sure = [j.right for j in judged if j.reading.confidence >= least]
    return len(sure), sum(sure)


def _print_report(report: dict[str, Any]) -> None:
    low, high = report["interval"]
    print(f"pictures                     {report['examples']}")
    print(f"exact match                  {report['exact_match']:.4%} (95%: {low:.4%} to {high:.4%})")
    print(f"exact match, cut to length   {report['exact_match_document']:.4%}")
    print(f"character error rate         {report['cer']:.4%}")
    if "exact_value" in report:
        print(f"same value                   {report['exact_value']:.4%}")
    if "computable" in report:
        print(f"computable                   {report['computable']:.4%}")
    print(f"valid readings               {report['valid']:.4%}")
    for least, count, right in report["confident"]:
        share = f", right {right / count:.4%}" if count else ""
        print(f"confidence of {least} or more{'':<{6 - len(str(least))}} {count / max(1, report['examples']):.4%}{share}")
    for true, read, count in report["confusions"][:10]:
        print(f"  {true or '(nothing)'} read as {read or '(nothing)'}: {count}")


def _plot(folder: Path, judged: Sequence[_Judged], failed: Sequence[Labelled], confusions: Any, model: Recognizer) -> None:
    from crnn_jax import plots
    from crnn_jax.training.evaluation import Judged

    wrong = [j for j in judged if not j.right or not j.reading.valid]
    right = [j for j in judged if j.right and j.reading.valid]
    for name, sheet in (("right", right[:24]), ("wrong", wrong[:96])):
        pictures = [Judged(_shown(model, j.path), j.text, j.reading.text, j.reading.confidence) for j in sheet]
        plots.readings(pictures, folder / f"{name}.png")
    with output(folder / "wrong.tsv") as write:
        write("file\ttext\treading\tvalid\tconfidence")
        for j in wrong:
            write(f"{escaped(j.path)}\t{j.text}\t{j.reading.text}\t{j.reading.valid}\t{j.reading.confidence:.6f}")
        for label in failed:
            write(f"{escaped(label.path)}\t{label.text}\t\tunreadable\t0")
    plots.confusions(confusions, folder / "confusions.png")
    if shown := [j for j in wrong or right if j.reading.text][:1]:
        plots.columns(*model.columns(model.prepare(shown[0].path)), model.alphabet, folder / "columns.png")


def _shown(model: Recognizer, path: Path) -> np.ndarray:
    """A picture as the network sees it, or as it is where that is nothing."""
    try:
        return model.prepare(path).image
    except NoFormula:
        return read_image(path)
