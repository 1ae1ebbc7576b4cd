"""The attention head: what it computes, the columns that it gives, its loss, and that it learns."""

import dataclasses
import json
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from networks import fresh
from sources import Bars, bars_task

import crnn_jax
from crnn_jax import Alphabet, Architecture, Config, Recognizer, UserError, ctc, weights
from crnn_jax.box import Traced
from crnn_jax.cli import main
from crnn_jax.data.examples import Preparation
from crnn_jax.export import export
from crnn_jax.models import attention
from crnn_jax.models.attention import Attention, positions_in_a_row
from crnn_jax.models.crnn import CRNN
from crnn_jax.serve.answers import explain

SMALL = Architecture(backbone="light", rnn="none", hidden=8, head="attention", positions=3)
BLANK = 2


def noise(*shape):
    return np.random.default_rng(0).integers(1, 256, shape, np.uint8)


def test_equals_bahdanau_s_formulas_with_flax_s_cell():
    depth, size, lengths = 5, 4, [6, 2]
    columns = jax.random.normal(jax.random.key(1), (2, 6, depth))
    layer = Attention(3, size)
    variables = fresh(layer, columns, jnp.array(lengths))
    run = jax.jit(lambda: layer.apply(variables, columns, jnp.array(lengths), mutable=["intermediates"]))
    outputs, kept = run()
    (shares,) = kept["intermediates"]["weights"]
    p = variables["params"]
    gates = {}
    for i, gate in enumerate("rzn"):
        part = slice(i * size, (i + 1) * size)
        gates[f"i{gate}"] = {"kernel": p["input_kernel"][0][:, part], "bias": p["input_bias"][0, part]}
        gates[f"h{gate}"] = {"kernel": p["recurrent_kernel"][0][:, part]}
    gates["hn"]["bias"] = p["recurrent_bias"][0]

    @jax.jit
    def step(h, state):
        query = state @ p["query_kernel"] + p["query_bias"][0]
        share = jax.nn.softmax(jnp.tanh(query[None] + h @ p["key_kernel"]) @ p["energy"])
        return share, share @ h, nn.GRUCell(size).apply({"params": gates}, state, share @ h)[0]

    for b, length in enumerate(lengths):
        h, state = columns[b, :length], jnp.zeros(size)
        for i in range(3):
            share, context, state = step(h, state)
            np.testing.assert_allclose(shares[b, i], np.pad(share, (0, 6 - length)), atol=1e-6)
            np.testing.assert_allclose(outputs[b, i], jnp.concatenate([state, context]), atol=1e-5)


@pytest.mark.parametrize("positions", [1, 4])
def test_columns_are_positions_with_certain_blanks_between_them(positions):
    architecture = dataclasses.replace(SMALL, positions=positions, drop_columns=2)
    model, images = CRNN(architecture, 3, masked=True), noise(3, 16, 64, 3)
    logits, lengths = jax.jit(model.apply)(fresh(model, images, jnp.full(3, 64)), images, jnp.array([64, 24, 0]))
    assert logits.shape == (3, 2 * positions - 1, 3)
    assert lengths.tolist() == [2 * positions - 1] * 2 + [0]
    assert np.all(np.isfinite(logits))
    np.testing.assert_allclose(jax.nn.softmax(logits)[:, 1::2, BLANK], 1, atol=1e-6)


def test_a_reading_does_not_depend_on_the_width_of_the_batch():
    model, picture = CRNN(SMALL, 3, masked=True), noise(1, 16, 64, 3)
    variables = fresh(model, picture, jnp.array([64]))
    run = jax.jit(model.apply)
    wide = np.concatenate([picture, noise(1, 16, 56, 3)], axis=2)
    near, far = (run(variables, image, jnp.array([64]))[0] for image in (picture, wide))
    np.testing.assert_allclose(near, far, rtol=1e-5, atol=1e-4)
    assert np.abs(run(variables, wide, jnp.array([120]))[0] - run(variables, picture, jnp.array([64]))[0]).max() > 1e-3


def test_best_path_and_search_read_position_by_position():
    chosen = [[0, 0, 1, BLANK], [1, 1, 1, 1], [BLANK, 0, BLANK, 0], [BLANK] * 4]
    logits = jax.random.normal(jax.random.key(0), (4, 4, 3)) + 8 * jax.nn.one_hot(jnp.array(chosen), 3)
    columns, lengths = positions_in_a_row(logits, jnp.array([True] * 4))
    best = jnp.argmax(logits, axis=-1)
    assert best.tolist() == chosen
    expected = [[i for i in row if i != BLANK] for row in chosen]
    read = ctc.greedy(columns, lengths)
    assert [row[:count].tolist() for row, count in zip(read.ids, read.counts, strict=True)] == expected
    assert [list(found[0].ids) for found in ctc.beam(columns, lengths)] == expected
    np.testing.assert_allclose(read.confidences[1], jnp.prod(jax.nn.softmax(logits)[1, :, 1]), rtol=1e-4)
    aligned = ctc.align(columns[0], expected[0])
    assert (aligned.starts.tolist(), aligned.ends.tolist()) == ([0, 2, 4], [1, 3, 5])


def test_loss_is_the_cross_entropy_of_each_position():
    logits = jax.random.normal(jax.random.key(0), (4, 3, 3))
    columns, lengths = positions_in_a_row(logits, jnp.array([True, True, True, False]))
    labels = jnp.array([[0, 0, 9, 9], [1, 0, 1, 9], [1, 0, 1, 0], [0, 9, 9, 9]])  # what stands past the end is of no account
    losses, feasible = attention.loss(columns, lengths, labels, jnp.array([2, 3, 4, 1]), positions=3, separator=BLANK)
    targets = jnp.array([[0, 0, BLANK], [1, 0, 1]])
    expected = optax.softmax_cross_entropy_with_integer_labels(logits[:2], targets).sum(axis=1)
    np.testing.assert_allclose(losses[:2], expected, rtol=1e-5)
    assert feasible.tolist() == [True, True, False, False]  # four characters in three places; a picture without columns
    assert losses[2:].tolist() == [0, 0]


def test_loss_of_lines_that_are_read_apart(tmp_path):
    alphabet, images = Alphabet("ab;"), np.zeros((2, 48, 64, 3), np.uint8)
    images[:, :16], images[:1, 16:32], images[1, 16:32, :40] = noise(2, 16, 64, 3), 1, 1
    preparation = Preparation(48, 64, widths=(64,), lines=3)
    model = CRNN.of(SMALL, alphabet, preparation)
    variables = fresh(model, images, jnp.array([64, 64]))
    logits, lengths = jax.jit(model.apply)(variables, images, jnp.array([64, 64]))
    assert lengths.tolist() == [11, 11]  # 5 columns a line, one between the two lines
    texts = ["a;bab", "abab;b"]  # the second has four characters in a line
    labels = jnp.stack([jnp.array([*alphabet.encode(text), *[0] * (6 - len(text))]) for text in texts])
    loss = jax.jit(partial(attention.loss, positions=3, separator=model.separator))
    losses, feasible = loss(logits, lengths, labels, jnp.array([5, 6]))
    targets = jnp.array([0, 3, 3, 3, 3, 2, 1, 3, 0, 3, 1])
    expected = optax.softmax_cross_entropy_with_integer_labels(logits[0, :11], targets).sum()
    np.testing.assert_allclose(losses, [expected, 0], rtol=1e-5)
    assert feasible.tolist() == [True, False]
    # Where the lines were not told from one another, the only one has the separator among its characters.
    joined, feasible = loss(logits[:1], jnp.array([5]), jnp.array([[0, 2, 1]]), jnp.array([3]))
    expected = optax.softmax_cross_entropy_with_integer_labels(logits[0, :5], jnp.array([0, 3, 2, 3, 1])).sum()
    np.testing.assert_allclose(joined, [expected], rtol=1e-5)
    assert feasible.tolist() == [True]
    recognizer = Recognizer(SMALL, alphabet, preparation, variables)
    (reading,) = recognizer.read_prepared([Traced(images[1])])
    separator = next(character for character in reading.characters if character.character == ";")
    assert separator.confidence > 0.99
    with pytest.raises(UserError, match="reads each line alone can't be exported to onnx"):
        export(recognizer, "onnx", tmp_path / "lines.onnx")


def test_bfloat16_and_dropout():
    architecture, images, widths = dataclasses.replace(SMALL, dropout=0.5), noise(4, 16, 64, 3), jnp.full(4, 64)
    model = CRNN(architecture, 3)
    variables = fresh(model, images, widths)
    full, _ = jax.jit(model.apply)(variables, images, widths)
    half, _ = jax.jit(CRNN(architecture, 3, jnp.bfloat16).apply)(variables, images, widths)
    assert half.dtype == jnp.float32
    assert 0 < np.abs(half - full).max() < 0.1
    keys = jax.random.split(jax.random.key(0), 4)
    train = jax.jit(lambda keys: model.apply(variables, images, widths, True, keys, mutable=["batch_stats"])[0][0])
    first, other = train(keys), train(keys[::-1])
    np.testing.assert_array_equal(first, train(keys))
    assert np.abs(first - other)[:, ::2].max() > 1e-3


def test_a_head_without_positions():
    with pytest.raises(ValueError, match=r"Architecture\.positions"):
        fresh(CRNN(dataclasses.replace(SMALL, positions=0), 3), noise(1, 16, 64, 3), jnp.array([64]))
    with pytest.raises(UserError, match="positions must be at least 0"):
        Architecture(positions=-1)
    with pytest.raises(UserError, match="head must be one of ctc, attention"):
        Architecture(head="beam")


CONFIG = Config(
    rnn="none",
    head="attention",
    hidden=32,
    epochs=2,
    steps_per_epoch=70,
    batch_size=32,
    workers=0,
    validation_examples=50,
    eval_examples=50,
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("attention")
    jax.config.update("jax_disable_most_optimizations", False)  # there are enough steps
    report = crnn_jax.train(bars_task(), CONFIG, workdir, devices=jax.devices()[:1])
    jax.config.update("jax_disable_most_optimizations", True)
    return workdir, report


def test_small_task_is_learned_and_goes_on(learned):
    workdir, report = learned
    assert report.exact_match > 0.95
    assert json.loads((workdir / "config.json").read_text())["config"]["positions"] == Bars.MAX_LENGTH
    assert (workdir / "plots" / "columns.png").stat().st_size > 2000
    again = crnn_jax.train(bars_task(), CONFIG, workdir, devices=jax.devices()[:1])
    assert again.exact_match == report.exact_match
    with pytest.raises(UserError, match=r"config\.head is 'attention', not 'ctc'"):
        crnn_jax.train(bars_task(), dataclasses.replace(CONFIG, head="ctc"), workdir, devices=jax.devices()[:1])


def test_longer_texts_than_positions_are_refused(tmp_path):
    with pytest.raises(UserError, match="3 characters need as many positions, not 2"):
        crnn_jax.train(bars_task(), dataclasses.replace(CONFIG, positions=2), tmp_path, devices=jax.devices()[:1])


def test_reading_needs_nothing_but_the_checkpoint(learned):
    model = crnn_jax.load(learned[0])
    examples = [Bars("test", 1)[i] for i in range(40)]
    readings = model.read([example.image for example in examples])
    assert np.mean([reading.text == example.text for reading, example in zip(readings, examples, strict=True)]) > 0.9
    for reading in readings:
        assert all(0 <= character.x0 < character.x1 <= Bars.WIDTH for character in reading.characters)
    image = np.full((16, 64, 3), 230, np.uint8)
    image[2:14, 4:14] = 20
    image[2:14, 23:26] = 20
    first, second = model.read([image])[0].characters
    assert (first.character, second.character) == ("1", "0")
    assert first.x0 < 14
    assert first.x0 < second.x0 < 40


def test_columns_can_be_shown(learned):
    model = crnn_jax.load(learned[0])
    image = Bars("test", 1)[0].image
    picture = model.prepare(image)
    _, probabilities, places = model.columns(picture)
    assert probabilities.shape == (5, 3)
    edges = [places[0][0], *(end for _, end in places)]
    assert edges == sorted(edges)
    assert [shown.name for shown in explain(model, image, picture)] == ["seen", "columns"]


@pytest.mark.parametrize("to", ["weights", "stablehlo", "onnx"])
def test_it_is_exported(learned, tmp_path, capsys, to):
    out = tmp_path / ("bars.safetensors" if to == "weights" else f"bars.{to}")
    assert main(["export", str(learned[0]), "--to", to, "--out", str(out), "--check", "20"]) == 0
    assert "0 of 20 pictures are read in another way" in capsys.readouterr().out


def test_networks_from_before_there_were_heads_are_loaded(tmp_path):
    model = crnn_jax.load("captcha")
    config = {name: value for name, value in model.description["config"].items() if name not in ("head", "positions")}
    description = model.description | {"config": config}
    weights.save(tmp_path / "old.safetensors", jax.tree.map(np.asarray, model.variables), description)
    assert crnn_jax.load(tmp_path / "old.safetensors").architecture == model.architecture
    assert model.architecture.head == "ctc"
