"""The command line: ``crnn-jax read``, ``generate``, ``evaluate``, ``check``, ``locate`` and ``vote``."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np
from PIL import Image

from crnn_jax import __version__, locate, tasks
from crnn_jax.data.examples import BATCH_SIZE
from crnn_jax.data.folder import LABEL_FILES, Labelled, find_images, label_problems, parse_labels, picture_problems, read_labels
from crnn_jax.data.images import UnreadableImage, read_image
from crnn_jax.errors import UserError
from crnn_jax.grammar import ExpressionError, Grammar
from crnn_jax.host import keep_freed_memory
from crnn_jax.locate import NoFormula
from crnn_jax.training.log import progress_bar

if TYPE_CHECKING:
    from crnn_jax.decoding import Decode
    from crnn_jax.recognizer import Reading, Recognizer

INTERRUPTED = 130
_NO_VALUE = "-"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit status: 0; 1 where something could not be read or done, with a line on stderr; 130 when interrupted.
    """
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder that can't be opened
        print(f"error: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="crnn-jax", description="Reads text in pictures with a trained network.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    read = commands.add_parser("read", help="read pictures: one line a picture")
    read.set_defaults(run=_read)
    read.add_argument("paths", nargs="+", metavar="PATH", help="files, folders or globs")
    _add_model(read)
    _add_decode(read)
    read.add_argument("--format", choices=("text", "json", "tsv"), default="text", help="of the lines")
    read.add_argument("--out", type=Path, help="write the lines to a file")
    read.add_argument("--timing", action="store_true", help="say on stderr how many pictures were read a second")

    generate = commands.add_parser("generate", help="draw pictures with their texts")
    generate.set_defaults(run=_generate)
    generate.add_argument("task", choices=sorted(tasks.TASKS))
    generate.add_argument("--count", type=_positive, required=True, help="of pictures")
    generate.add_argument("--out", type=Path, required=True, help="folder, new or empty: 0.png ... and labels.txt")
    generate.add_argument("--seed", type=_seed, default=0)
    generate.add_argument("--variant", help=f"of the task; level1 has {', '.join(tasks.LEVEL1_STYLES)}")
    generate.add_argument(
        "--judge",
        action="store_true",
        help="drawn by the task's judge, for the captcha the unmodified package, which has no seed",
    )

    evaluate = commands.add_parser("evaluate", help="read a folder with labels and say how well")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("folder", type=Path)
    _add_model(evaluate)
    _add_decode(evaluate)
    evaluate.add_argument("--json", action="store_true", help="one JSON object")
    evaluate.add_argument(
        "--plots", type=Path, help="folder for sheets of right and wrong readings, a list of the wrong ones, and confusions"
    )

    check = commands.add_parser("check", help="say what is wrong with a folder of pictures and labels")
    check.set_defaults(run=_check)
    check.add_argument("folder", type=Path)
    check.add_argument("--task", choices=sorted(tasks.TASKS), help="that the texts are for: its alphabet, length and grammar")
    check.add_argument("--plots", type=Path, help="folder for a scatter matrix of where lines lie in level 2 pictures")

    finder = commands.add_parser("locate", help="find and cut out the lines of level 2 pictures")
    finder.set_defaults(run=_locate)
    finder.add_argument("paths", nargs="+", metavar="PATH", help="one picture, or a folder of them")
    finder.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder; of one picture: each stage, the boxes, the lines and the strip; of more: a strip each, their lines in"
        " crops/, and labels.tsv where there are labels",
    )
    finder.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, help="processes")

    vote = commands.add_parser("vote", help="let several files of readings vote, line by line")
    vote.set_defaults(run=_vote)
    vote.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="written by read --out, in any format")
    vote.add_argument("--out", type=Path, help="write the lines to a file: text, a space, value")
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="directory of a run")


def _add_decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--decode",
        choices=("auto", "greedy", "beam"),
        default="auto",
        help="greedy: the best character of each column; beam: a search that obeys the task's grammar; auto: the search only"
        " where the greedy reading breaks the grammar",
    )


def _read(arguments: argparse.Namespace) -> int:
    paths = find_images(arguments.paths)
    model = _load(arguments.model)
    failed = 0
    if arguments.timing:  # compile first
        blank = np.zeros((model.preparation.height, model.preparation.width, 3), np.uint8)
        list(model.read_prepared([blank] * len(paths[:BATCH_SIZE])))
    clock = _Clock()
    with _output(arguments.out) as out, progress_bar(len(paths), unit="image", description="read", leave=False) as bar:
        for path, reading in _read_files(model, paths, clock, arguments.decode):
            bar.update()
            if isinstance(reading, UnreadableImage):
                failed += 1
                print(f"error: {reading}", file=sys.stderr)
            else:
                print(_line(path, reading, arguments.format), file=out)
    if arguments.timing:
        print(clock.report(len(paths)), file=sys.stderr)
    return 1 if failed else 0


class _Clock:
    """Time since it was made, and how much of that went into opening files."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._files = 0.0

    @contextmanager
    def opening_a_file(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._files += time.perf_counter() - began

    def report(self, pictures: int) -> str:
        total = time.perf_counter() - self._began
        network = total - self._files
        return (
            f"{pictures} pictures in {total:.2f} s: {pictures / total:.0f} images/s;"
            f" {pictures / network:.0f} images/s without the opening of files"
        )


def _read_files(
    model: Recognizer, paths: Iterable[Path], clock: _Clock, decode: Decode
) -> Iterator[tuple[Path, Reading | UnreadableImage]]:
    """Readings in the order of the paths; a picture that can't be read gives its error and the rest is read."""
    errors: dict[int, UnreadableImage] = {}
    good: list[tuple[int, Path]] = []
    numbered = list(enumerate(paths))

    def pictures() -> Iterator[np.ndarray]:
        for i, path in numbered:
            try:
                with clock.opening_a_file():
                    picture = model.prepare(path)
            except UnreadableImage as error:
                errors[i] = error
            else:
                good.append((i, path))
                yield picture

    done = 0
    for count, reading in enumerate(model.read_prepared(pictures(), decode=decode)):
        i, path = good[count]
        for j in range(done, i):
            yield numbered[j][1], errors[j]
        yield path, reading
        done = i + 1
    for j in range(done, len(numbered)):
        yield numbered[j][1], errors[j]


def _line(path: Path, reading: Reading, form: str) -> str:
    if form == "json":
        return json.dumps({"path": str(path), **asdict(reading)}, ensure_ascii=False)
    value = reading.value if reading.value is not None else _NO_VALUE
    if form == "tsv":
        return "\t".join((_escaped(path), reading.text, value, f"{reading.confidence:.6f}"))
    return reading.text if reading.value is None else f"{reading.text} {value}"


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def _generate(arguments: argparse.Namespace) -> int:
    task = tasks.by_name(arguments.task, arguments.variant)
    source = task.source("test" if arguments.judge else "generate", arguments.seed)
    folder: Path = arguments.out
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is not an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            (folder / "labels.txt").open("w", encoding="utf-8") as labels,
            progress_bar(arguments.count, unit="image", description="generate", leave=False) as bar,
        ):
            for i in range(arguments.count):
                example = source[i]
                Image.fromarray(example.image).save(folder / f"{i}.png")
                value = _value(task.grammar, example.text)
                print(example.text if value is None else f"{example.text} {value}", file=labels, flush=True)
                bar.update()
    except OSError as error:
        raise UserError(f"{folder}: can't be written ({error.strerror or error})") from None
    return 0


def _value(grammar: Grammar | None, text: str) -> str | None:
    try:
        return grammar.value(text) if grammar else None
    except ExpressionError:  # a division by zero has no value
        return None


class _Judged(NamedTuple):
    path: Path
    text: str
    reading: Reading

    @property
    def right(self) -> bool:
        return self.reading.text == self.text


def _evaluate(arguments: argparse.Namespace) -> int:
    from crnn_jax.metrics import Score, wilson_interval
    from crnn_jax.recognizer import Reading

    labels = read_labels(arguments.folder)
    model = _load(arguments.model)
    judged: list[_Judged] = []
    failed: list[Labelled] = []
    with progress_bar(len(labels), unit="image", description="evaluate", leave=False) as bar:
        files = _read_files(model, [label.path for label in labels], _Clock(), arguments.decode)
        for label, (path, reading) in zip(labels, files, strict=True):
            bar.update()
            if isinstance(reading, UnreadableImage):
                print(f"error: {reading}", file=sys.stderr)
            if isinstance(reading, NoFormula):  # a mistake of ours, not of the file
                judged.append(_Judged(path, label.text, Reading("", 0.0, None, False, ())))
            elif isinstance(reading, UnreadableImage):
                failed.append(label)
            else:
                judged.append(_Judged(path, label.text, reading))
    score = Score.of((j.reading.text for j in judged), (j.text for j in judged), model.grammar)
    low, high = wilson_interval(score.exact, score.examples)
    report: dict[str, Any] = {
        **score.summary(),
        **(score.value_summary() if model.grammar else {}),
        "interval": [low, high],
        "valid": sum(j.reading.valid for j in judged) / max(1, len(judged)),
        "unreadable_files": len(failed),
        "confusions": [[true, read, count] for (true, read), count in score.confusions.most_common()],
    }
    if arguments.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _print_report(report)
    if arguments.plots:
        _plot(arguments.plots, judged, failed, score.confusions, model)
    return 1 if failed else 0


def _print_report(report: dict[str, Any]) -> None:
    low, high = report["interval"]
    print(f"pictures                     {report['examples']}")
    print(f"exact match                  {report['exact_match']:.4%} (95%: {low:.4%} to {high:.4%})")
    print(f"exact match, cut to length   {report['exact_match_document']:.4%}")
    print(f"character error rate         {report['cer']:.4%}")
    if "computable" in report:
        print(f"same value                   {report['exact_value']:.4%}")
        print(f"computable                   {report['computable']:.4%}")
    print(f"valid readings               {report['valid']:.4%}")
    for true, read, count in report["confusions"][:10]:
        print(f"  {true or '(nothing)'} read as {read or '(nothing)'}: {count}")


def _plot(folder: Path, judged: Sequence[_Judged], failed: Sequence[Labelled], confusions: Any, model: Recognizer) -> None:
    from crnn_jax import plots
    from crnn_jax.training.evaluation import Judged

    wrong = [j for j in judged if not j.right or not j.reading.valid]
    right = [j for j in judged if j.right and j.reading.valid]
    try:
        for name, sheet in (("right", right[:24]), ("wrong", wrong[:96])):
            pictures = [Judged(_shown(model, j.path), j.text, j.reading.text, j.reading.confidence) for j in sheet]
            plots.readings(pictures, folder / f"{name}.png")
        with (folder / "wrong.tsv").open("w", encoding="utf-8") as file:
            print("file\ttext\treading\tvalid\tconfidence", file=file)
            for j in wrong:
                confidence = f"{j.reading.confidence:.6f}"
                print(_escaped(j.path), j.text, j.reading.text, j.reading.valid, confidence, sep="\t", file=file)
            for label in failed:
                print(_escaped(label.path), label.text, "", "unreadable", 0, sep="\t", file=file)
        plots.confusions(confusions, folder / "confusions.png")
        if shown := [j for j in wrong or right if j.reading.text][:1]:
            path = shown[0].path
            plots.columns(model.prepare(path), *model.probabilities(path), model.alphabet, folder / "columns.png")
    except OSError as error:
        raise UserError(f"{folder}: can't be written ({error.strerror or error})") from None


def _shown(model: Recognizer, path: Path) -> np.ndarray:
    """A picture as the network sees it, or as it is where that is nothing."""
    try:
        return model.prepare(path)
    except NoFormula:
        return read_image(path)


def _check(arguments: argparse.Namespace) -> int:
    labels = parse_labels(arguments.folder)
    requirements = tasks.by_name(arguments.task).requirements if arguments.task else None
    problems = list(label_problems(labels, requirements))
    with progress_bar(len(labels.rows), unit="image", description="check", leave=False) as bar:
        problems += picture_problems(labels, bar.update)
    for problem in problems:
        print(f"note: {problem}" if problem.harmless else f"error: {problem}")
    if arguments.plots:
        _plot_places([row.path for row in labels.rows], arguments.plots)
    errors = sum(not problem.harmless for problem in problems)
    characters = "".join(sorted(set().union(*(row.text for row in labels.rows))))
    longest = max((len(row.text) for row in labels.rows), default=0)
    print(f"{len(labels.rows)} labels, {len(characters)} characters ({characters}), the longest text has {longest}")
    print(f"{errors} errors, {len(problems) - errors} notes" if problems else "nothing is wrong")
    return 1 if errors else 0


def _plot_places(paths: Sequence[Path], folder: Path) -> None:
    """Where the lines of pictures lie, as the source document shows it."""
    from crnn_jax import plots

    places = []
    with progress_bar(len(paths), unit="image", description="locate", leave=False) as bar:
        for path in paths:
            bar.update()
            with suppress(UnreadableImage):
                height, width, _ = (image := read_image(path)).shape
                boxes = locate.locate(image).boxes
                places += [(b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0, width, height, len(boxes)) for b in boxes]
    if not places:
        raise UserError(f"no lines were found in the pictures: nothing to plot in {folder}")
    try:
        plots.scatter_matrix(np.array(places), ("x", "y", "w", "h", "n", "m", "r"), folder / "places.png")
    except OSError as error:
        raise UserError(f"{folder}: can't be written ({error.strerror or error})") from None


def _locate(arguments: argparse.Namespace) -> int:
    from crnn_jax.data import crops

    paths = find_images(arguments.paths)
    out: Path = arguments.out
    if len(paths) == 1 and not Path(arguments.paths[0]).is_dir():
        print(f"{crops.save_stages(paths[0], out)} lines, see {out}")
        return 0
    names = Counter(path.stem for path in paths)
    if twice := [path for path in paths if names[path.stem] > 1]:
        raise UserError(f"{twice[0]}: another picture has the same name, {twice[0].stem}")
    with progress_bar(len(paths), unit="image", description="locate", leave=False) as bar:
        problems = crops.save_all_crops(paths, out, arguments.workers, bar.update)
    for problem in problems.values():
        print(f"error: {problem}", file=sys.stderr)
    folder = Path(arguments.paths[0])
    if folder.is_dir() and any((folder / name).is_file() for name in LABEL_FILES):
        crops.save_labels([label for label in parse_labels(folder).rows if label.path in set(paths) - set(problems)], out)
    print(f"{len(paths) - len(problems)} of {len(paths)} pictures located, see {out}")
    return 1 if problems else 0


def _vote(arguments: argparse.Namespace) -> int:
    from crnn_jax.vote import vote_files

    chosen = vote_files(arguments.results)
    with _output(arguments.out) as out:
        for ballot in chosen:
            print(ballot.text if ballot.value is None else f"{ballot.text} {ballot.value}", file=out)
    return 0


def _load(name: str) -> Recognizer:
    from crnn_jax.recognizer import load

    keep_freed_memory()
    return load(name)


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError("must be from 0 to 2**32 - 1")
    return value
