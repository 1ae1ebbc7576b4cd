"""The unmodified package is the judge: fed with our random numbers it must draw our pictures."""

import captcha.image as package
import numpy as np
import pytest

from crnn_jax.data.drawn import CaptchaSource, PackageCaptchaSource
from crnn_jax.drawing.captcha import OLDER_WARP, draw
from crnn_jax.drawing.random import Draws
from crnn_jax.tasks import captcha


class Secrets:
    """Stands in for the module that the package takes its chance from."""

    def __init__(self, draws):
        self.draws = draws

    def randbelow(self, n):
        return self.draws.below(n)

    def randbits(self, bits):
        return self.draws.uniform() * 2**bits

    def choice(self, items):
        return self.draws.choice(items)


@pytest.mark.parametrize(("width", "height"), [(170, 80), (160, 60), (90, 50)])
@pytest.mark.parametrize("text", ["0O0O", "W1LI", "A", "QUEUE7"])
def test_same_numbers_give_the_package_s_picture_byte_for_byte(monkeypatch, text, width, height):
    generator = package.ImageCaptcha(width, height)
    for index in range(10):
        monkeypatch.setattr(package, "secrets", Secrets(Draws(1, "train", index)))
        theirs = np.asarray(generator.generate_image(text))
        np.testing.assert_array_equal(draw(text, width, height, Draws(1, "train", index)), theirs)


def test_older_pictures_are_warped_further():
    """Version 0.6 takes 0.1 to 0.3 of a character's width and 0.2 to 0.3 of its height."""

    def drawn(older):
        draws = Draws(1, "train", 3)
        return draw("0O0O", 170, 80, draws, older=older), draws.uniform()

    (older, number), (newer, same_number) = drawn(True), drawn(False)
    assert number == same_number  # as many were drawn
    assert not np.array_equal(older, newer)
    reaches = [[least + more, 40 * (least + more) + shift] for least, more, shift in zip(*OLDER_WARP, strict=True)]
    np.testing.assert_allclose(reaches, [[0.3, 12], [0.3, 12]])
    source, plain = (CaptchaSource("train", 7, older=share) for share in (0.5, 0.0))
    changed = [not np.array_equal(source[i].image, plain[i].image) for i in range(20)]
    assert source[3].text == plain[3].text
    assert any(changed)


def test_pictures_look_the_same_in_the_mean():
    """With chance of its own the package agrees in ink, brightness and where they lie."""

    def statistics(source):
        pictures = np.stack([source[i].image for i in range(600)]).astype(np.float64)
        ink = (pictures.max(axis=(1, 2)) - pictures.min(axis=(1, 2))).mean(axis=1)
        dark = (pictures.mean(axis=3) < 200).mean(axis=(1, 2))
        per_picture = [pictures.mean(axis=(1, 2, 3)), pictures.std(axis=(1, 2, 3)), ink, dark]
        return np.array([[values.mean(), values.std() / len(values) ** 0.5] for values in per_picture])

    ours, theirs = statistics(CaptchaSource("train", 0)), statistics(PackageCaptchaSource(0))
    errors = np.hypot(ours[:, 1], theirs[:, 1])
    assert np.all(np.abs(ours[:, 0] - theirs[:, 0]) < 4 * errors)


def test_example_is_a_function_of_seed_split_and_index():
    source = CaptchaSource("train", 7)
    first = [source[i] for i in (5, 2, 9)]
    again = [CaptchaSource("train", 7)[i] for i in (9, 5, 2)]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        assert first[i].text == again[j].text
        np.testing.assert_array_equal(first[i].image, again[j].image)
    others = [CaptchaSource("validation", 7)[5], CaptchaSource("train", 8)[5], CaptchaSource("train", 7)[6]]
    assert all(not np.array_equal(first[0].image, other.image) for other in others)
    assert first[0].image.shape == (80, 170, 3)


def counts_of(source, examples):
    texts = "".join(source[i].text for i in range(examples))
    return np.array([texts.count(c) for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"])


def test_texts_use_the_whole_alphabet_evenly():
    counts = counts_of(captcha().source("train", 0), 500)
    expected = 2000 / 36
    assert counts.sum() == 2000
    assert np.sum((counts - expected) ** 2 / expected) < 70  # chi-squared, 35 degrees of freedom, p = 0.0004


def test_emphasis_is_for_training_only():
    task = captcha(emphasis=0.5)
    train, validation = (counts_of(task.source(split, 0), 200)[[0, 24]] for split in ("train", "validation"))
    assert np.all(train > 0.2 * 800)
    assert np.all(validation < 0.1 * 800)


def test_pinned_picture():
    """The same on every machine, as far as Pillow and FreeType draw the same."""
    image, text = CaptchaSource("train", 0)[0]
    assert text == "8K9Z"
    assert float(image.mean()) == pytest.approx(229.8908, abs=0.01)
