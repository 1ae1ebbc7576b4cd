"""Looking again at pictures that are in doubt."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from sources import Bars

import crnn_jax
from crnn_jax import Alphabet, Reading, UserError, ctc, looks
from crnn_jax.box import Traced
from crnn_jax.data.examples import Preparation
from crnn_jax.decoding import Decoder
from crnn_jax.looks import shifted
from crnn_jax.recognizer import Seen

HALF_A_COLUMN = 4
LABELS = [Bars("test", 0)[i].text for i in range(40)]


@pytest.fixture(scope="module")
def model(trained):
    return crnn_jax.load(trained)


@pytest.fixture(scope="module")
def pictures():
    """Bars in noise, so that many can hardly be read."""
    noise = np.random.default_rng(0)
    return [
        np.clip(Bars("test", 0)[i].image + noise.normal(0, 20 * (i % 8), (16, 64, 3)), 0, 255).astype(np.uint8)
        for i in range(40)
    ]


def probability(model, picture, text):
    (seen,) = model.see([picture], 1)
    return np.exp(ctc.align(seen.columns, model.alphabet.encode(text)).log_probability)


def test_doubtful_pictures_are_read_by_the_product_of_two_looks(model, pictures):
    alone, again = model.read(pictures, decode="greedy"), model.read(pictures)
    doubtful = [i for i, reading in enumerate(alone) if reading.confidence < 0.95]
    assert 5 <= len(doubtful) <= 35
    changed = 0
    for i, (first, both) in enumerate(zip(alone, again, strict=True)):
        if i not in doubtful:
            assert both == first
            continue
        picture = model.prepare(pictures[i])
        moved = shifted(picture, HALF_A_COLUMN, model.preparation)
        (second,) = model.read_prepared([moved], decode="greedy")

        def product(text, views=(picture, moved)):
            return np.prod([probability(model, view, text) for view in views]) ** 0.5

        assert both.text == max((first.text, second.text), key=product)
        # Where both read the same that counts the alignments as the network's own program does, in float32.
        assert both.confidence == pytest.approx(product(both.text), abs=1e-4)
        changed += both.text != first.text
        if both.text == first.text == second.text:  # places are those of the picture as it is
            assert [(c.x0, c.x1, c.box) for c in both.characters] == [(c.x0, c.x1, c.box) for c in first.characters]
    assert changed


def test_only_doubtful_pictures_are_looked_at_again(model, pictures, monkeypatch):
    seen = []
    monkeypatch.setattr(looks, "shifted", lambda picture, *_: seen.append(picture) or picture)
    for decode, again in (("greedy", False), ("beam", False), ("once", False), ("auto", True)):
        seen.clear()
        readings = model.read(pictures, decode=decode)
        doubtful = sum(reading.confidence < 0.95 for reading in readings)
        assert doubtful
        assert len(seen) == (doubtful if again else 0)


def test_the_next_batch_is_seen_while_one_is_read(model, pictures, monkeypatch):
    see, batches, second = model.see, [], threading.Event()

    def seen(batch, room):
        batches.append(len(batch))
        if len(batches) == 2:
            second.set()
        return see(batch, room)

    monkeypatch.setattr(model, "see", seen)
    readings = model.read_prepared(map(model.prepare, pictures), decode="greedy", batch_size=10)
    first = next(readings)
    assert second.wait(60)
    assert len(batches) == 2
    texts = [reading.text for reading in (first, *readings)]
    assert texts == [reading.text for reading in model.read(pictures, decode="greedy")]
    assert batches == [10, 10, 10, 10, 40]


def test_a_picture_is_moved_to_the_right():
    image = np.arange(2 * 16 * 3, dtype=np.uint8).reshape(2, 16, 3)
    fixed = shifted(Traced(image), 4, Preparation(2, 16)).image
    assert np.array_equal(fixed[:, 4:], image[:, :-4])
    assert (fixed[:, :4] == image[:, :1]).all()
    varying = Preparation(2, 24, widths=(16, 24))
    wider = shifted(Traced(image), 4, varying).image
    assert wider.shape == (2, 24, 3)
    assert np.array_equal(wider[:, 4:20], image)
    assert not wider[:, 20:].any()
    assert shifted(Traced(wider), 4, varying).image.shape == (2, 24, 3)


def test_a_picture_without_columns_is_not_looked_at_again(model):
    (reading,) = model.read_prepared([Traced(np.zeros((16, 0, 3), np.uint8))])
    assert (reading.text, reading.confidence) == ("", 0.0)


def test_alternatives_are_the_likeliest_other_texts(model, pictures):
    with_others = model.read(pictures, alternatives=3)
    assert [replace(reading, alternatives=()) for reading in with_others] == model.read(pictures)
    for image, reading in zip(pictures, with_others, strict=True):
        picture = model.prepare(image)
        views = [picture]
        if model.read([image], decode="greedy")[0].confidence < 0.95:
            views.append(shifted(picture, HALF_A_COLUMN, model.preparation))
        texts = [other.text for other in reading.alternatives]
        assert len({reading.text, "", *texts}) == len(texts) + (2 if reading.text else 1)
        assert 1 <= len(texts) <= 3
        confidences = [other.confidence for other in reading.alternatives]
        assert confidences == sorted(confidences, reverse=True)
        for other in reading.alternatives:
            product = np.prod([probability(model, view, other.text) for view in views]) ** (1 / len(views))
            assert other.confidence == pytest.approx(product, abs=1e-4)
    assert sum(reading.text != label for reading, label in zip(with_others, LABELS, strict=True)) > 3
    told = [
        label in (reading.text, *(other.text for other in reading.alternatives))
        for reading, label in zip(with_others, LABELS, strict=True)
    ]
    assert sum(told) > sum(reading.text == label for reading, label in zip(with_others, LABELS, strict=True))


def test_alternatives_are_told_in_the_order_of_their_probabilities():
    """Also where these are so small that they are told as 0."""
    alphabet = Alphabet("abyz")
    columns = np.log(np.array([[1e-10, 1e-9, 3e-7, 1.0, 1e-12]], np.float32))
    reading = Reading("z", 1.0, None, True, ())
    seen = [Seen(Traced(np.zeros((1, 8, 3), np.uint8)), columns, ctc.greedy(columns[None]), None)]
    told = looks._with_alternatives(Decoder(alphabet, alternatives=2), reading, seen).alternatives
    assert [other.text for other in told] == ["y", "b"]


def test_asking_for_alternatives_changes_no_reading(model, pictures):
    readings = model.read(pictures, decode="beam", alternatives=30)
    assert [replace(reading, alternatives=()) for reading in readings] == model.read(pictures, decode="beam")


def test_alternatives_are_texts_of_the_grammar_with_their_values():
    model = crnn_jax.load("level1-light")
    (reading,) = model.read([crnn_jax.tasks.level1().source("test", 0)[0].image], alternatives=4)
    assert len(reading.alternatives) == 4
    assert all(model.grammar.value(other.text) == other.value for other in reading.alternatives)
    with pytest.raises(UserError, match="alternatives=-1: must be at least 0"):
        model.read([np.zeros((60, 180, 3), np.uint8)], alternatives=-1)
