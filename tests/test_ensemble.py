from dataclasses import replace

import jax
import numpy as np
import pytest
from sources import Bars

import crnn_jax
from crnn_jax import Alphabet, Ensemble, Recognizer, Regular, UserError, ctc
from crnn_jax.box import Traced
from crnn_jax.data.examples import Preparation
from crnn_jax.decoding import Decoded, Decoder
from crnn_jax.ensemble import load_together
from crnn_jax.looks import agreed
from crnn_jax.recognizer import Seen


@pytest.fixture(scope="module")
def model(trained):
    return crnn_jax.load(trained)


@pytest.fixture(scope="module")
def pictures():
    return [Bars("test", 0)[i] for i in range(40)]


def spoiled(model, scale, seed=0):
    """The network, noise added to its last layer."""
    kernel = model.variables["params"]["classifier"]["kernel"]
    noise = scale * np.random.default_rng(seed).standard_normal(kernel.shape).astype(np.float32)
    params = {**model.variables["params"], "classifier": {**model.variables["params"]["classifier"], "kernel": kernel + noise}}
    return Recognizer(
        model.architecture, model.alphabet, model.preparation, {**model.variables, "params": params}, model.grammar
    )


def test_two_of_the_same_read_as_one_does(model, pictures):
    images = [picture.image for picture in pictures]
    for one, both in zip(model.read(images), Ensemble([model, model]).read(images), strict=True):
        assert both.text == one.text
        assert both.confidence == pytest.approx(one.confidence, abs=1e-5)
        assert both.characters == one.characters


def test_a_picture_is_prepared_once_for_networks_that_take_it_alike(model, pictures, monkeypatch):
    ways, traced = [], Preparation.traced
    monkeypatch.setattr(Preparation, "traced", lambda self, image: ways.append(self) or traced(self, image))
    other = Recognizer(model.architecture, model.alphabet, replace(model.preparation, width=56), model.variables)
    views = Ensemble([model, other, model]).prepare(pictures[0].image)
    assert [view.image.shape[1] for view in views] == [64, 56, 64]
    assert len(ways) == 2


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 0.25, 3)])
def test_where_they_differ_the_largest_product_of_probabilities_is_taken(model, pictures, weights):
    members = [spoiled(model, 0.5, seed) for seed in range(3)]
    images = [picture.image for picture in pictures]
    alone = [member.read(images, decode="greedy") for member in members]
    together = Ensemble(members, weights).read(images, decode="greedy")
    differing = [i for i in range(len(images)) if len({readings[i].text for readings in alone}) > 1]
    assert len(differing) >= 5
    networks = [jax.jit(member.logits) for member in members]

    def product(image, text):
        logs = []
        for network in networks:
            logits, lengths = jax.tree.map(np.asarray, network(image[None], np.array([image.shape[1]])))
            logs.append(ctc.align(logits[0, : lengths[0]], model.alphabet.encode(text)).log_probability)
        return np.exp(np.average(logs, weights=weights))

    for i in differing:
        image = model.prepare(images[i]).image
        mine = product(image, together[i].text)
        assert together[i].confidence == pytest.approx(mine, abs=1e-4)
        assert all(mine >= product(image, readings[i].text) - 1e-6 for readings in alone)


def test_greedily_only_what_one_of_them_read_is_taken(model, pictures):
    members = [spoiled(model, 0.5, seed) for seed in range(2)]
    images = [picture.image for picture in pictures]
    alone = [member.read(images, decode="greedy") for member in members]
    for i, reading in enumerate(Ensemble(members).read(images, decode="greedy")):
        assert reading.text in {readings[i].text for readings in alone}


def test_what_cannot_read_together_is_refused(model):
    other = Recognizer(model.architecture, Alphabet("ab"), model.preparation, model.variables)
    with pytest.raises(UserError, match="same alphabet"):
        Ensemble([model, other])
    with pytest.raises(UserError, match="takes a list of pictures"):
        Ensemble([model, model]).read(np.zeros((16, 64, 3), np.uint8))
    patterns = [Regular(pattern, model.alphabet) for pattern in ("0+", "1+")]
    with pytest.raises(UserError, match="same grammar"):
        Ensemble(Recognizer(model.architecture, model.alphabet, model.preparation, model.variables, p) for p in patterns)
    with pytest.raises(UserError, match="two networks"):
        Ensemble([model])
    for weights in ([1], [1, 0], [1, float("nan")]):
        with pytest.raises(UserError, match="must be a number above 0 for each network"):
            Ensemble([model, model], weights)
    with pytest.raises(UserError, match="same alphabet"):
        load_together({"level1": 1, "captcha": 1})


def test_formulas_read_together_are_texts_of_the_grammar():
    from crnn_jax import tasks

    pair = load_together({"level2-light": 1, "level2-drawn": 1})
    source = tasks.level2().source("generate", 7)
    examples = [source[i] for i in range(6)]
    readings = pair.read([example.image for example in examples])
    assert all(reading.valid and reading.value for reading in readings)
    assert sum(reading.text == example.text for reading, example in zip(readings, examples, strict=True)) >= 5


def looks_at(*columns, weights=(1.0, 1.0)):
    """What networks make of a picture whose columns these are."""
    best = (jax.tree.map(lambda x: np.asarray(x)[0], ctc.greedy(each[None])) if len(each) else None for each in columns)
    picture = Traced(np.zeros((1, 8, 3), np.uint8))
    return [Seen(picture, each, greedy, None, weight) for each, greedy, weight in zip(columns, best, weights, strict=True)]


@pytest.mark.parametrize(("weights", "text"), [((1, 1), ""), ((0.01, 1), "0")])
def test_texts_of_no_grammar_are_judged_by_their_probability_alone(weights, text):
    """Where one is sure that there is nothing, and another one doubts what it sees, nothing is read, unless the former counts
    for little."""
    columns = [np.full((4, 3), -20.0, np.float32) for _ in range(2)]
    columns[0][:, 2] = 0
    columns[1][:, 2], columns[1][1] = 0, (0.5, -20, 0)
    decoder, seen = Decoder(Alphabet("01")), looks_at(*columns, weights=weights)
    decoded = [decoder.decode(look.columns, look.greedy) for look in seen]
    assert [read.text for read in decoded] == ["", "0"]
    assert [read.text for read in agreed(seen, decoded, decoder)] == [text, text]


def test_a_network_without_columns_has_no_say():
    seen = looks_at(np.zeros((0, 3), np.float32), np.array([[5.0, 0, 0], [0, 0, 5]], np.float32))
    decoder = Decoder(Alphabet("01"))
    decoded = [Decoded("", 0.0, False, None, ()), decoder.aligned(seen[1].columns, (0,))]
    first, second = agreed(seen, decoded, decoder)
    assert (first.confidence, second.text) == (0.0, "0")
