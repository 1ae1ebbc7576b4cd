"""Pictures are looked at by people; here only that each kind of input gives one, and that it shows what it is given."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from crnn_jax import Alphabet, plots
from crnn_jax.training.evaluation import Judged

ROW = {"epoch": 1, "loss": 2.0, "val_loss": 3.0, "exact_match": 0.5, "learning_rate": 1e-3}


def size(path):
    with Image.open(path) as image:
        return image.size


def test_curves_of_one_and_many_epochs(tmp_path):
    plots.curves([ROW], tmp_path / "one.png")
    plots.curves([{**ROW, "epoch": i, "loss": 1 / i} for i in range(1, 6)], tmp_path / "many.png")
    assert size(tmp_path / "one.png") == size(tmp_path / "many.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "many.png").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_sheet_grows_with_the_pictures(tmp_path, count):
    image = np.full((20, 40, 3), 200, np.uint8)
    plots.readings([Judged(image, "AB", "AB" if i else "", 0.5) for i in range(count)], tmp_path / "sheet.png")
    height = size(tmp_path / "sheet.png")[1]
    assert height == pytest.approx(198 * max(1, -(-count // 4)), abs=2)


def test_confusions_with_and_without_mistakes(tmp_path):
    plots.confusions(Counter(), tmp_path / "none.png")
    plots.confusions(Counter({("0", "O"): 3, ("A", ""): 1, ("", "B"): 1}), tmp_path / "some.png")
    assert (tmp_path / "none.png").read_bytes() != (tmp_path / "some.png").read_bytes()


def test_columns_show_each_character_that_is_likely(tmp_path):
    probabilities = np.full((5, 4), 0.01)
    probabilities[np.arange(5), [3, 0, 3, 2, 3]] = 0.97
    spans = [(8.0 * t, 8.0 * t + 8) for t in range(5)]
    image = np.full((20, 40, 3), 200, np.uint8)
    plots.columns(image, probabilities, spans, Alphabet("abc"), tmp_path / "two.png")
    probabilities[3] = [0.01, 0.01, 0.01, 0.97]
    plots.columns(image, probabilities, spans, Alphabet("abc"), tmp_path / "one.png")
    assert size(tmp_path / "two.png")[1] > size(tmp_path / "one.png")[1]
