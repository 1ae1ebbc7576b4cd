"""Several runs side by side, told from the files that they write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crnn_jax.training.log import read_json, read_metrics, reading
from crnn_jax.training.rundir import RunDirectory
from crnn_jax.training.status import opened_run

Row = dict[str, str]
_DRAWN = ("step", "val_loss", "exact_match", "examples")  # of a line of ``metrics.jsonl``


def compare(paths: Sequence[Path]) -> list[Row]:
    """What each run came to, and in what the runs' settings differ.

    A run that hasn't ended, or wasn't judged, is told by its last validation.

    Args:
        paths: of their directories.

    Returns:
        For each run the same columns: its name, those settings that aren't the same in all of them, and figures.

    Raises:
        UserError: there is no run in a directory, or a file of it can't be read, or holds something else.
    """
    runs = [opened_run(path) for path in paths]
    settings = [_settings(description) for _, description in runs]
    known = dict.fromkeys(name for run in settings for name in run)
    differing = [name for name in known if len({run.get(name, "") for run in settings}) > 1]
    return [
        {"run": name, **{setting: run.get(setting, "") for setting in differing}, **_figures(directory, description["config"])}
        for name, (directory, description), run in zip(distinct_names(paths), runs, settings, strict=True)
    ]


def curves(paths: Sequence[Path]) -> dict[str, list[dict[str, float]]]:
    """What `crnn_jax.plots.compared` draws of the runs in some directories, by `distinct_names`.

    Raises:
        UserError: a file of a run can't be read, or holds something else.
    """
    return {name: _curve(RunDirectory(path).metrics) for name, path in zip(distinct_names(paths), paths, strict=True)}


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Of directories: as few of the last parts of their paths as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    longest = max(map(len, parts))
    names = ([str(Path(*path[-count:])) for path in parts] for count in range(1, longest + 1))
    return next((found for found in names if len(set(found)) == len(set(parts))), [str(path) for path in paths])


def table(rows: Sequence[Row]) -> str:
    """Rows of the same columns as a table in Markdown, padded so that it can be read as it is."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _settings(description: dict[str, Any]) -> dict[str, str]:
    """Each setting of a run by its name; of the data and the preparation by theirs too."""
    found: dict[str, str] = {}
    for name, value in description.items():
        if isinstance(value, dict):
            group = "" if name == "config" else f"{name}."
            found |= {f"{group}{key}": str(setting) for key, setting in value.items()}
        else:
            found[name] = str(value)
    return found


def _curve(metrics: Path) -> list[dict[str, float]]:
    with reading(metrics):
        return [{name: float(row[name]) for name in _DRAWN} for row in read_metrics(metrics)]


def _figures(directory: RunDirectory, config: dict[str, Any]) -> Row:
    figures = dict.fromkeys(("parameters", "pictures", "minutes", "images/s", "exact match", "CER", "of"), "")
    if directory.result.exists():
        with reading(directory.result):
            return figures | _judged(read_json(directory.result))
    if not (rows := read_metrics(directory.metrics)):
        return figures
    with reading(directory.config):
        batch_size = int(config["batch_size"])
    with reading(directory.metrics):
        return figures | _validated(rows[-1], batch_size)


def _judged(result: dict[str, Any]) -> Row:
    low, high = result["interval"]
    return {
        "parameters": f"{result['parameters']:,}",
        "pictures": f"{result['train_images']:,}",
        "minutes": f"{result['train_seconds'] / 60:.1f}",
        "images/s": f"{result['train_images_per_second']:.0f}",
        "exact match": f"{result['exact_match']:.2%} ({100 * low:.2f} to {100 * high:.2f})",
        "CER": f"{result['cer']:.3%}",
        "of": f"{result['examples']:,}",
    }


def _validated(row: dict[str, Any], batch_size: int) -> Row:
    return {
        "pictures": f"{row['step'] * batch_size:,}",
        "images/s": f"{row['images_per_second']:.0f}",
        "exact match": f"{row['exact_match']:.2%}, validation",
        "CER": f"{row['cer']:.3%}",
        "of": f"{row['examples']:,}",
    }
