"""``crnn-jax generate``, ``check`` and ``locate``."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from crnn_jax import locate, tasks
from crnn_jax.alphabet import Alphabet
from crnn_jax.cli.arguments import Commands, add_names, need_labels, output, positive, seed
from crnn_jax.data import survey
from crnn_jax.data.examples import Example
from crnn_jax.data.folder import (
    Labels,
    Problem,
    Requirements,
    find_images,
    has_labels,
    label_problems,
    labels_of_names,
    parse_labels,
    picture_problems,
    split_of,
)
from crnn_jax.data.images import UnreadableImage, read_image
from crnn_jax.errors import UserError
from crnn_jax.files import writing
from crnn_jax.grammar import SEPARATOR, value_of
from crnn_jax.regular import Regular
from crnn_jax.training.log import progress_bar


def add(commands: Commands) -> None:
    """Adds the commands."""
    generate = commands.add_parser("generate", help="draw pictures with their texts")
    generate.set_defaults(run=_generate)
    generate.add_argument("task", choices=sorted(tasks.TASKS))
    generate.add_argument("--count", type=positive, required=True, help="of pictures")
    generate.add_argument("--out", type=Path, required=True, help="folder, new or empty: 0.png ... and labels.txt")
    generate.add_argument("--seed", type=seed, default=0)
    variants = f"level1 has {', '.join(tasks.LEVEL1_STYLES)}, level2 {', '.join(tasks.LEVEL2_STYLES)}"
    generate.add_argument("--variant", help=f"of the task; {variants}")
    generate.add_argument(
        "--drawing",
        choices=("host", "device"),
        default="host",
        help="device: as training with --drawing=device draws them; of level 2 strips",
    )
    generate.add_argument(
        "--judge",
        action="store_true",
        help="drawn by the task's judge, for the captcha the unmodified package, which has no seed",
    )

    check = commands.add_parser("check", help="say what is wrong with a folder of pictures and labels")
    check.set_defaults(run=_check)
    check.add_argument("folder", type=Path)
    check.add_argument("--task", choices=sorted(tasks.TASKS), help="that the texts are for: its alphabet, length and grammar")
    check.add_argument("--alphabet", help="characters that texts may have; the default is those that they have")
    check.add_argument("--pattern", help="regular expression that texts must follow")
    add_names(check)
    check.add_argument("--height", type=positive, help="that a network will see the pictures at; the default suits the texts")
    check.add_argument(
        "--plots", type=Path, help="folder for plots of sizes, lengths and characters, and for level 2 of where formulas lie"
    )

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
    finder.add_argument(
        "--way",
        choices=tuple(locate.WAYS),
        default="ours",
        help="how lines are found; document: by the source document's steps",
    )
    finder.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes")


def _generate(arguments: argparse.Namespace) -> int:
    task = tasks.by_name(arguments.task, arguments.variant)
    if arguments.judge and arguments.drawing == "device":
        raise UserError("--judge draws on the host: leave out --drawing")
    folder: Path = arguments.out
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is not an empty folder")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with (
        output(folder / "labels.txt") as write,
        progress_bar(arguments.count, unit="image", description="generate", leave=False) as bar,
    ):
        for i, example in enumerate(_drawn(task, arguments)):
            path = folder / f"{i}.png"
            with writing(path):
                Image.fromarray(example.image).save(path)
            value = value_of(task.grammar, example.text)
            write(example.text if value is None else f"{example.text} {value}")
            bar.update()
    return 0


def _drawn(task: tasks.Task, arguments: argparse.Namespace) -> Iterator[Example]:
    if arguments.drawing == "device":
        from crnn_jax import device_drawing

        return device_drawing.examples(task, arguments.seed, arguments.count)
    source = task.source("test" if arguments.judge else "generate", arguments.seed)
    return (source[i] for i in range(arguments.count))


def _check(arguments: argparse.Namespace) -> int:
    task = tasks.by_name(arguments.task) if arguments.task else None
    computes = bool(task and task.grammar and task.grammar.computes)
    if task and (arguments.alphabet or arguments.pattern):
        raise UserError("--task has an alphabet and a grammar: leave out --alphabet and --pattern")
    need_labels(arguments.folder, arguments.names)
    labels = labels_of_names(arguments.folder) if arguments.names else parse_labels(arguments.folder, values=computes)
    requirements = task.requirements if task else _own_requirements(labels, arguments.alphabet, arguments.pattern)
    problems = list(label_problems(labels, requirements))
    with progress_bar(len(labels.rows), unit="image", description="check", leave=False) as bar:
        problems += picture_problems(labels, bar.update)
    problems += survey.repeated_pictures(labels.rows)
    sizes = survey.sizes_of(labels.rows)
    scaled = ""
    if task is None:
        problems += survey.texts_with_more(labels.rows, labels.file)
        problems += survey.rare_characters(labels.rows, labels.file)
        if sizes:
            height = arguments.height or survey.suiting_height(labels.rows, sizes)
            scaled = f"; they are brought to a height of {height} pixels"
            preparation = survey.suiting_preparation(sizes, height)
            problems += survey.narrow_pictures(labels.rows, sizes, preparation)
            problems += survey.squeezed_pictures(labels.rows, sizes, preparation)
    for problem in problems:
        print(f"note: {problem}" if problem.harmless else f"error: {problem}")
    if arguments.plots:
        _plot_counts(labels, sizes, arguments.plots)
    if arguments.plots and arguments.task == "level2":
        _plot_places([row.path for row in labels.rows], arguments.plots)
    errors = sum(not problem.harmless for problem in problems)
    characters = "".join(sorted(set().union(*(row.text for row in labels.rows))))
    longest = max((len(row.text) for row in labels.rows), default=0)
    print(f"{len(labels.rows)} labels, {len(characters)} characters ({characters}), the longest text has {longest}")
    shares = Counter(split_of(row.path.name) for row in labels.rows)
    few = "" if len(shares) == 3 else " (too few for training: there must be one of each)"
    counts = f"train on: {shares['train']}, to validate: {shares['validation']}, to test: {shares['test']}"
    print(f"pictures to {counts}{few}{scaled}")
    print(f"{errors} errors, {len(problems) - errors} notes" if problems else "nothing is wrong")
    return 1 if errors else 0


def _own_requirements(labels: Labels, alphabet: str | None, pattern: str | None) -> Requirements | None:
    """What the texts of no task of ours must keep to, as far as that was said."""
    if not labels.rows or (alphabet is None and pattern is None):
        return None
    texts = [row.text for row in labels.rows]
    known = Alphabet.of(texts) if alphabet is None else Alphabet(alphabet)
    return Requirements(known, max(map(len, texts), default=1), None if pattern is None else Regular(pattern, known))


def _plot_counts(labels: Labels, sizes: Mapping[Path, tuple[int, int]], folder: Path) -> None:
    from crnn_jax import plots

    if not sizes:
        raise UserError(f"no picture can be read: nothing to plot in {folder}")
    widths, heights = zip(*sizes.values(), strict=True)
    plots.sizes([len(row.text) for row in labels.rows], widths, heights, folder / "sizes.png")
    counts = Counter(character for row in labels.rows for character in row.text)
    plots.characters(counts, len(labels.rows), folder / "characters.png")


def _plot_places(paths: Sequence[Path], folder: Path) -> None:
    """Where the formulas of pictures lie, as the source document shows it: place and size of all lines together, size of the
    picture, number of lines.
    """
    from crnn_jax import plots

    places = []
    with progress_bar(len(paths), unit="image", description="locate", leave=False) as bar:
        for path in paths:
            bar.update()
            with suppress(UnreadableImage):
                height, width, _ = (image := read_image(path)).shape
                boxes = locate.locate(image).boxes
                if boxes:
                    (x0, y0), (x1, y1) = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
                    places.append((x0, y0, x1 - x0, y1 - y0, width, height, len(boxes)))
    if not places:
        raise UserError(f"no lines were found in the pictures: nothing to plot in {folder}")
    plots.scatter_matrix(np.array(places), ("x", "y", "w", "h", "n", "m", "r"), folder / "places.png")


def _locate(arguments: argparse.Namespace) -> int:
    from crnn_jax.data import crops

    paths = find_images(arguments.paths)
    out: Path = arguments.out
    way = locate.WAYS[arguments.way]
    if len(paths) == 1 and not Path(arguments.paths[0]).is_dir():
        print(f"{crops.save_stages(paths[0], out, way)} lines, see {out}")
        return 0
    if inside := [path for path in paths if path.parent.resolve() == out.resolve()]:
        raise UserError(f"--out={out}: strips would be written over {inside[0]} and the like: name another folder")
    names = Counter(path.stem for path in paths)
    if twice := [path for path in paths if names[path.stem] > 1]:
        raise UserError(f"{twice[0]}: another picture has the same name, {twice[0].stem}")
    others = crops.labels_of_others(paths, out)
    folders = [Path(path) for path in arguments.paths if has_labels(path)]
    labels = [parse_labels(folder) for folder in folders]
    with progress_bar(len(paths), unit="image", description="locate", leave=False) as bar:
        problems = crops.save_all_crops(paths, out, arguments.workers, bar.update, way)
    good, wrong = [], [problem for each in labels for problem in each.problems if not problem.harmless]
    given = set(paths)
    located = given - set(problems)
    wrong += [
        Problem(label.place, f"{label.path.name} isn't among the pictures", label)
        for each in labels
        for label in each.rows
        if label.path not in given
    ]
    for label in (label for each in labels for label in each.rows if label.path in located):
        found, expected = crops.lines_of(label.path, out), label.text.count(SEPARATOR) + 1
        if found == expected:
            good.append(label)
        else:
            wrong.append(Problem(label.place, f"{found} lines were found where the text has {expected}", label))
    for problem in [*problems.values(), *wrong]:
        print(f"error: {problem}", file=sys.stderr)
    crops.save_labels([*others, *good], out)
    print(f"{len(paths) - len(problems)} of {len(paths)} pictures located, {len(good)} with a label, see {out}")
    return 1 if problems or wrong else 0
