from collections import Counter
from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest
from networks import fresh
from PIL import Image
from sources import Bars, Words, bars_task

import crnn_jax
from crnn_jax import Alphabet, Config, UserError, plots, tasks
from crnn_jax.cli import evaluating
from crnn_jax.data.examples import Example, Preparation
from crnn_jax.models.crnn import CRNN
from crnn_jax.training.evaluation import Evaluation
from crnn_jax.training.report import save_plots  # itself, whatever stands in its place in a test
from crnn_jax.training.rundir import RunDirectory


@pytest.fixture(scope="module")
def model(trained):
    return crnn_jax.load(trained)


@pytest.fixture(scope="module")
def pictures():
    return [Bars("test", 0)[i] for i in range(9)]


def test_a_batch_has_pictures(trained):
    with pytest.raises(UserError, match="batch_size=0"):
        crnn_jax.load(trained).read([np.zeros((16, 64, 3), np.uint8)], batch_size=0)


def test_a_folder_of_a_network_s_name_is_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "level1").mkdir()
    assert crnn_jax.load("level1").description["task"] == "level1"


def test_load_and_read_need_nothing_but_the_directory(model, pictures):
    readings = model.read([picture.image for picture in pictures])
    right = sum(reading.text == picture.text for reading, picture in zip(readings, pictures, strict=True))
    assert right >= 8


def test_characters_lie_where_they_are_drawn(model):
    image = np.full((16, 64, 3), 230, np.uint8)
    image[2:14, 4:14] = 20
    image[2:14, 40:43] = 20
    first, second = model.read([image])[0].characters
    assert (first.character, second.character) == ("1", "0")
    assert first.x1 - first.x0 >= 8
    assert first.x0 <= 16
    assert first.x1 >= 4
    assert second.x0 <= 48
    assert second.x1 >= 36
    assert first.x1 <= second.x0


def test_batch_size_and_company_change_nothing(model, pictures):
    images = [picture.image for picture in pictures]
    alone = [model.read([image])[0] for image in images]
    for size in (2, 4, 64):
        for a, b in zip(model.read(images, batch_size=size), alone, strict=True):
            assert a.text == b.text
            assert a.confidence == pytest.approx(b.confidence, abs=1e-5)


def test_files_and_arrays_give_the_same(model, pictures, tmp_path):
    Image.fromarray(pictures[0].image).save(tmp_path / "图.png")
    from_file, from_path, from_array = model.read([str(tmp_path / "图.png"), tmp_path / "图.png", pictures[0].image])
    assert from_file == from_path == from_array


def test_other_sizes_are_stretched(model, pictures):
    image = pictures[0].image.repeat(3, axis=0).repeat(3, axis=1)
    assert model.read([image])[0].text == model.read([pictures[0].image])[0].text


def test_nothing_to_read(model):
    assert model.read([]) == []


def test_one_picture_instead_of_a_list(model, pictures):
    with pytest.raises(UserError, match="list of pictures"):
        model.read(pictures[0].image)


def test_probabilities_add_up_and_spans_cover_the_picture(model, pictures):
    picture = model.prepare(pictures[0].image)
    image, probabilities, spans = model.columns(picture)
    np.testing.assert_array_equal(image, picture.image)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (spans[0][0], spans[-1][1]) == (0, 64)
    assert all(a[1] == b[0] for a, b in pairwise(spans))


LINES = Preparation(32, 64, widths=(64,), lines=2)


def strip_of_two_lines():
    strip = np.zeros((16, 66, 3), np.uint8)
    strip[:, :40], strip[:, 42:] = 100, 200
    return strip


@pytest.fixture(scope="module")
def separate(model):
    """A network that reads each of two lines alone."""
    return crnn_jax.Recognizer(model.architecture, Alphabet("0;"), LINES, model.variables)


def test_lines_that_are_read_alone_are_shown_in_a_row(separate):
    image, probabilities, spans = separate.columns(separate.prepare(strip_of_two_lines()))
    assert image.shape == (16, 64, 3)
    assert (image[:, :40] == 100).all()
    assert (image[:, 40:] == 200).all()
    assert len(probabilities) == len(spans) == 5 + 1 + 3
    assert spans[5] == (40, 40)  # the separator
    assert (spans[0][0], spans[-1][1]) == (0, 64)


@pytest.fixture
def plotted(monkeypatch):
    """What should be plotted as a picture's columns."""
    given = []
    for name in ("curves", "readings", "confusions"):
        monkeypatch.setattr(plots, name, lambda *_: None)
    monkeypatch.setattr(plots, "columns", lambda *columns: given.append(columns))
    return given


def test_a_run_s_plot_of_columns_shows_lines_in_a_row(separate, trained, plotted):
    task = bars_task(
        alphabet=separate.alphabet, preparation=LINES, exhibit=lambda: Example(strip_of_two_lines(), "0;0"), source=None
    )
    config = Config(**vars(separate.architecture))
    save_plots(task, config, RunDirectory(trained), Evaluation(), separate.variables)
    ((image, _, spans, *_),) = plotted
    assert (image.shape, spans[-1][1]) == ((16, 64, 3), 64)


def test_evaluation_s_plot_of_columns_shows_lines_in_a_row(separate, tmp_path, plotted):
    Image.fromarray(strip_of_two_lines()).save(tmp_path / "a.png")
    (reading,) = separate.read([tmp_path / "a.png"])
    judged = evaluating._Judged(tmp_path / "a.png", "0;0", replace(reading, text="0;0"))
    evaluating._plot(tmp_path, [judged], [], Counter(), separate)
    ((image, _, spans, *_),) = plotted
    assert (image.shape, spans[-1][1]) == ((16, 64, 3), 64)


def test_directories_without_a_run(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        crnn_jax.load(tmp_path / "none")
    with pytest.raises(UserError, match="no checkpoints"):
        crnn_jax.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="no checkpoint yet"):
        crnn_jax.load(tmp_path)


class Bits(Words):
    """A grammar of one's own."""

    name = "bits"
    alphabet = Alphabet("01")
    words = ("0101", "11")


def test_a_grammar_of_ones_own_is_trained_with_and_given_again(tmp_path):
    config = Config(
        rnn="none", hidden=16, epochs=1, steps_per_epoch=1, batch_size=4, workers=0, validation_examples=4, eval_examples=4
    )
    crnn_jax.train(bars_task(grammar=Bits(), max_length=4), config, tmp_path, devices=jax.devices()[:1])
    with pytest.raises(UserError, match=r"'bits' isn't one of level1, level2: --grammar=package\.module:Class takes your own"):
        crnn_jax.load(tmp_path)
    other = Config(**{**vars(config), "init_from": str(tmp_path)})  # weights need no grammar
    crnn_jax.train(bars_task(), other, tmp_path / "further", devices=jax.devices()[:1])
    model = crnn_jax.load(tmp_path, grammar=Bits())
    read = model.read([Bars("test", 0)[i].image for i in range(4)])
    assert all(reading.text in Bits.words for reading in read)
    with pytest.raises(UserError, match="about the characters"):
        crnn_jax.load(tmp_path, grammar=Words())


def test_a_grammar_about_other_characters_than_the_task():
    with pytest.raises(UserError, match="'fruit' is about the characters"):
        bars_task(grammar=Words())


def test_bfloat16_reads_the_same():
    source = tasks.level1().source("generate", 0)
    images = [source[i].image for i in range(8)]
    single, half = (crnn_jax.load("level1-light", dtype=dtype) for dtype in ("float32", "bfloat16"))
    for a, b in zip(single.read(images), half.read(images), strict=True):
        assert a.text == b.text
        assert a.confidence == pytest.approx(b.confidence, abs=0.05)
    prepared, widths = np.stack([half.prepare(images[0]).image]), np.array([half.preparation.width])
    ours, theirs = (np.asarray(jax.jit(model.logits)(prepared, widths)[0]) for model in (single, half))
    assert theirs.dtype == np.float32
    assert not np.array_equal(ours, theirs)  # it was indeed computed in another way


def test_no_such_dtype():
    with pytest.raises(UserError, match="dtype must be one of float32, bfloat16, not 'float16'"):
        crnn_jax.load("level1", dtype="float16")


def test_no_such_decoding(model, pictures):
    with pytest.raises(UserError, match="one of auto, once, greedy, beam, not 'Beam'"):
        model.read([pictures[0].image], decode="Beam")


def test_a_picture_that_is_too_narrow_for_a_column_has_no_text():
    architecture, preparation = crnn_jax.Architecture(backbone="vgg222", rnn="none"), Preparation(48, 64, widths=(32, 64))
    network, shape = CRNN.of(architecture, Alphabet("01"), preparation), (1, 48, 64, 3)
    variables = fresh(network, np.zeros(shape, np.uint8), np.array([64]))
    reader = crnn_jax.Recognizer(architecture, Alphabet("01"), preparation, variables)
    (reading,) = reader.read([np.full((48, 20, 3), 200, np.uint8)])
    assert (reading.text, reading.valid, reading.characters) == ("", False, ())
