from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from networks import fresh

from crnn_jax import Alphabet, Architecture, UserError
from crnn_jax.data.examples import Preparation
from crnn_jax.models.backbones import max_pool, space_to_depth
from crnn_jax.models.convolution import _by_winograd, _parts, convolve_on_cpu
from crnn_jax.models.crnn import CRNN, dropout, geometry, in_a_row, output_columns
from crnn_jax.training.state import parameter_count

DOCUMENT = Architecture(backbone="vgg222", dropout=0.2, drop_columns=2)
FOUR_POOLINGS = Architecture(backbone="vgg2222")
LIGHT = Architecture(backbone="light")
OTHERS = [Architecture(backbone=name) for name in ("vgg346", "fine", "resnet", "densenet")]


def build(architecture, height=80, width=170, classes=37):
    model = CRNN(architecture, classes)
    images = jnp.zeros((2, height, width, 3), jnp.uint8)
    return model, fresh(model, images, jnp.full(2, width))


def keras_count(classes):
    """Trainable parameters of the document's network, layer by layer; the GRUs as cuDNN has them, with one more bias for n.

    Left out are the biases that stand before a BatchNorm.
    """
    convolutions = sum(9 * i * o + 2 * o for i, o in ((3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)))
    dense = 768 * 128 + 2 * 128
    gru = 128 * 384 * 2 + 384 + 128
    return convolutions + dense + 4 * gru + 256 * classes + classes


def test_document_s_network_has_its_size_and_columns():
    model, variables = build(DOCUMENT)
    assert parameter_count(variables["params"]) == keras_count(37) == 790_789
    logits, lengths = jax.jit(model.apply)(variables, jnp.zeros((1, 80, 170, 3), jnp.uint8), jnp.array([170]))
    assert logits.shape == (1, 15, 37)
    assert lengths.tolist() == [15]


@pytest.mark.parametrize("architecture", [DOCUMENT, FOUR_POOLINGS, LIGHT, *OTHERS])
@pytest.mark.parametrize("width", [60, 100, 163, 170, 177, 200])
def test_geometry_agrees_with_the_arrays(architecture, width):
    model = CRNN(architecture, 37)
    images = jax.ShapeDtypeStruct((1, 80, width, 3), jnp.uint8)
    (logits, _), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images, jnp.array([width]))
    lost = logits.shape[1] - output_columns(architecture, width)
    assert 0 <= lost <= 1  # a column that is partly padding gives no output


@pytest.mark.parametrize(
    "architecture",
    [Architecture(backbone=name, rnn=rnn) for name, rnn in (("vgg222", "none"), ("light", "none"), ("light", "conv"))],
)
def test_a_column_answers_to_the_pixels_that_geometry_names(architecture):
    """Without recurrent layers, the columns that change when a bar is drawn surround the bar."""
    model, variables = build(architecture)
    blank = np.full((1, 80, 170, 3), 128, np.uint8)
    bar = blank.copy()
    bar[:, :, 80:82] = 0
    run = jax.jit(lambda images: model.apply(variables, images, jnp.array([170]))[0])
    change = np.abs(run(bar) - run(blank))[0].sum(axis=1)
    centre = np.sum(change * np.arange(len(change))) / change.sum()
    place = geometry(architecture)
    assert abs(place.offset + place.stride * (centre + 0.5) - 81) < place.stride


def test_bfloat16_gives_float32_logits_close_to_float32_s():
    model, variables = build(LIGHT)
    images = np.random.default_rng(0).integers(0, 256, (2, 80, 170, 3), np.uint8)
    full, _ = jax.jit(model.apply)(variables, images, jnp.full(2, 170))
    half, _ = jax.jit(CRNN(LIGHT, 37, jnp.bfloat16).apply)(variables, images, jnp.full(2, 170))
    assert half.dtype == jnp.float32
    assert 0 < np.abs(half - full).max() < 0.1


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("batch", "height", "width", "inputs", "outputs", "size", "parts", "by_winograd"),
    [
        (1, 9, 9, 3, 5, 3, 1, False),
        (4, 64, 64, 3, 160, 1, 2, False),
        (6, 64, 64, 3, 192, 3, 3, False),
        (4, 43, 86, 64, 48, 3, 1, True),
        (3, 85, 127, 40, 96, 3, 3, True),
        (64, 5, 22, 128, 96, 3, 1, True),
    ],
)
def test_convolution_on_a_cpu_is_the_same(dtype, padding, batch, height, width, inputs, outputs, size, parts, by_winograd):
    """In parts, by Winograd's form, or both."""
    x, kernel = (
        jax.random.normal(jax.random.key(i), shape, dtype)
        for i, shape in enumerate([(batch, height, width, inputs), (size, size, inputs, outputs)])
    )
    kernel = kernel / np.sqrt(size * size * inputs).astype(dtype)
    assert _parts(batch, batch * height * width * max(inputs, outputs)) == parts
    assert _by_winograd(batch * height * width, kernel.shape) == by_winograd

    def whole_or_in_parts(convolve):
        def loss(x, kernel):
            y = convolve(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return jnp.sum(jnp.sin(y.astype(jnp.float32)))

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(x, kernel)

    ours, plain = whole_or_in_parts(convolve_on_cpu), whole_or_in_parts(jax.lax.conv_general_dilated)
    tolerance = 1e-4 if dtype == jnp.float32 else 0.05
    values = ([np.asarray(leaf, np.float32) for leaf in jax.tree.leaves(tree)] for tree in (ours, plain))
    for a, b in zip(*values, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 1), (1, 2), (3, 2)])
def test_max_pool_equals_flax_s(height, width):
    x = jax.random.normal(jax.random.key(0), (2, 7, 9, 3))
    np.testing.assert_array_equal(max_pool(x, height, width), nn.max_pool(x, (height, width), (height, width)))


def test_space_to_depth_keeps_every_value():
    x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    folded = space_to_depth(x, 2, 2)
    assert folded.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(folded[1, 1, 2], x[1, 2:4, 4:6].reshape(-1))
    assert space_to_depth(x, 2, 4).shape == (2, 2, 2, 24)


def test_dropout_is_each_example_s_own_and_keeps_the_mean():
    keys = jax.random.split(jax.random.key(0), 4)
    x = jnp.ones((4, 50, 60))
    dropped = dropout(x, 0.2, keys)
    assert set(np.unique(dropped)) == {0.0, np.float32(1.25)}
    assert abs(dropped.mean() - 1) < 0.02
    np.testing.assert_array_equal(dropped[2:3], dropout(x[2:3], 0.2, keys[2:3]))
    assert dropout(x, 0.2, None) is x


@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "none"},
        {"rnn": "x"},
        {"hidden": 0},
        {"dropout": 1.0},
        {"drop_columns": -1},
        {"momentum": 1.0},
        {"epsilon": float("nan")},
    ],
)
def test_bad_architectures(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        Architecture(**fields)


def test_level_2_s_network_has_its_columns():
    architecture = Architecture(backbone="vgg346", drop_columns=2)
    assert geometry(architecture).columns(900) == 112
    model = CRNN(architecture, 45)
    images, widths = jax.ShapeDtypeStruct((1, 81, 900, 3), jnp.uint8), jax.ShapeDtypeStruct((1,), jnp.int32)
    (logits, _), variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images, widths)
    assert logits.shape == (1, 110, 45)
    depths = [(3, 32), *[(32, 32)] * 2, (32, 64), *[(64, 64)] * 3, (64, 128), *[(128, 128)] * 5]
    convolutions = sum(9 * i * o + 2 * o for i, o in depths)
    dense, gru = 10 * 128 * 128 + 2 * 128, 128 * 384 * 2 + 384 + 128
    assert parameter_count(variables["params"]) == convolutions + dense + 4 * gru + 256 * 45 + 45 == 1_532_493


def test_four_poolings_leave_level_2_some_fifty_columns():
    assert geometry(FOUR_POOLINGS).columns(900) == 52
    model = CRNN(FOUR_POOLINGS, 45, masked=True)
    images, widths = jax.ShapeDtypeStruct((1, 81, 900, 3), jnp.uint8), jax.ShapeDtypeStruct((1,), jnp.int32)
    (logits, _), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images, widths)
    assert logits.shape == (1, 52, 45)


def test_a_batch_without_columns_leaves_the_statistics_as_they_are():
    model = CRNN(Architecture(backbone="vgg2222", rnn="conv", hidden=16), 20, masked=True)
    images, widths = jnp.full((2, 81, 32, 3), 99, jnp.uint8), jnp.full(2, 32)
    variables = fresh(model, jnp.zeros((1, 81, 200, 3), jnp.uint8), jnp.array([200]))
    apply = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    (_, lengths), after = apply(variables, images, widths)
    assert lengths.tolist() == [0, 0]
    statistics = traverse_util.flatten_dict(after["batch_stats"])
    assert all(np.isfinite(array).all() for array in statistics.values())
    before = traverse_util.flatten_dict(variables["batch_stats"])
    unchanged = {path[0] for path, array in statistics.items() if np.array_equal(array, before[path])}
    assert "Normalization_0" in unchanged


@pytest.mark.parametrize(
    "architecture",
    [
        LIGHT,
        *OTHERS[:-1],
        pytest.param(OTHERS[-1], marks=pytest.mark.slow),
        Architecture(backbone="light", rnn="lstm"),
    ],
)
def test_a_reading_does_not_depend_on_the_width_of_the_batch(architecture):
    model = CRNN(architecture, 20, masked=True)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (1, 32, 64, 3), np.uint8)
    variables = fresh(model, picture, jnp.array([64]))
    run = jax.jit(model.apply)
    alone, length = run(variables, picture, jnp.array([64]))
    wide = np.concatenate([picture, rng.integers(0, 256, (1, 32, 56, 3), np.uint8)], axis=2)
    padded, same = run(variables, wide, jnp.array([64]))
    assert length.tolist() == same.tolist() == [8]
    np.testing.assert_allclose(padded[:, :8], alone, atol=2e-4)
    unmasked, _ = jax.jit(CRNN(architecture, 20).apply)(variables, wide, jnp.array([64]))
    assert np.abs(unmasked[:, :8] - alone).max() > 1e-3


def test_columns_of_lines_are_put_in_a_row_with_certain_separators():
    logits = jnp.arange(2 * 3 * 2 * 4, dtype=jnp.float32).reshape(2, 3, 2, 4)
    row, lengths = in_a_row(logits, jnp.array([[2, 1, 2], [1, 2, 0]]), separator=1)
    assert row.shape == (2, 8, 4)
    assert lengths.tolist() == [7, 4]
    separator = [-30, 0, -30, -30]
    first = [*logits[0, 0], separator, logits[0, 1, 0], separator, *logits[0, 2]]
    second = [logits[1, 0, 0], separator, *logits[1, 1]]
    np.testing.assert_array_equal(row[0, :7], np.stack(first))
    np.testing.assert_array_equal(row[1, :4], np.stack(second))


def test_lines_one_below_the_other_are_read_as_each_alone():
    alphabet = Alphabet("ab;")
    preparation = Preparation(3 * 16, 64, widths=(64,), lines=3)
    alone, together = CRNN(LIGHT, 4, masked=True), CRNN.of(LIGHT, alphabet, preparation)
    rng = np.random.default_rng(0)
    lines = [rng.integers(1, 256, (16, width, 3), np.uint8) for width in (40, 64)]
    page = preparation(np.concatenate([lines[0], np.zeros((16, 2, 3), np.uint8), lines[1]], axis=1))
    assert page.shape == (48, 64, 3)
    variables = fresh(alone, page[None, :16], jnp.array([64]))
    logits, lengths = jax.jit(together.apply)(variables, page[None], jnp.array([64]))
    assert lengths.tolist() == [5 + 1 + 8]
    assert jnp.argmax(logits[0, 5]) == 2
    for place, line in ((0, lines[0]), (6, lines[1])):
        expected, (count,) = jax.jit(alone.apply)(variables, line[None], jnp.array([line.shape[1]]))
        np.testing.assert_allclose(logits[0, place : place + count], expected[0], atol=1e-4)
    keys = jax.random.split(jax.random.key(0), 1)
    train = partial(together.apply, train=True, mutable=["batch_stats"])
    (trained, _), _ = jax.eval_shape(train, variables, page[None], jnp.array([64]), dropout_keys=keys)
    assert trained.shape == logits.shape
