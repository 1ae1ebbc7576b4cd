"""Training on pictures that the devices draw."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import crnn_jax
from crnn_jax import UserError, tasks
from crnn_jax.data.contrast import equalize
from crnn_jax.data.pipeline import example_numbers
from crnn_jax.device_drawing import contrast, make_draw
from crnn_jax.device_drawing.drawn import Drawn, draw_all
from crnn_jax.models.crnn import CRNN
from crnn_jax.training import steps
from crnn_jax.training.config import Config
from crnn_jax.training.state import create_state

SMALL = Config(
    backbone="light", rnn="none", hidden=16, epochs=1, steps_per_epoch=3, batch_size=8, drawing="device", dropout=0.1
)
SMALL = dataclasses.replace(SMALL, validation_examples=8, eval_examples=8, workers=0)


@pytest.mark.parametrize("darkest", [False, True])
def test_contrast_is_stretched_as_on_the_host(darkest):
    source = tasks.level1("faint" if darkest else "competition").source("train", 0)
    for i in range(10):
        picture = source[i].image
        background = [np.bincount(picture[..., channel].ravel()).argmax() for channel in range(3)]
        drawn = Drawn(jnp.asarray(picture), jnp.zeros(7, int), jnp.zeros((), int), jnp.array(background), jnp.array([180, 60]))
        np.testing.assert_array_equal(contrast.stretch(drawn, grey=True).image, equalize(picture, "stretch_grey"))


all_tasks = pytest.mark.parametrize(
    "task",
    [
        tasks.captcha(older=0.3),
        pytest.param(tasks.level1(faint=0.1), marks=pytest.mark.slow),
        pytest.param(tasks.level2(copied=0.5, fractions=0.3, in_a_row=True), marks=pytest.mark.slow),
    ],
    ids=lambda task: task.name,
)


@all_tasks
def test_pictures_do_not_depend_on_how_they_are_drawn(task):
    """All at once, as on a GPU; one after the other; and on two devices: three programs."""
    draw, keys = make_draw(task), jax.random.split(jax.random.key(3), 6)
    expected = jax.jit(jax.vmap(draw))(keys)
    one_by_one = functools.partial(jax.lax.map, draw)
    spread = jax.pmap(one_by_one, devices=jax.devices()[:2])(keys.reshape(2, 3))
    for drawn in (jax.jit(one_by_one)(keys), jax.tree.map(lambda x: x.reshape(6, *x.shape[2:]), spread)):
        jax.tree.map(np.testing.assert_array_equal, drawn, expected)


@pytest.mark.skipif(jax.default_backend() == "cpu", reason="there is no accelerator")
@all_tasks
def test_an_accelerator_draws_what_a_cpu_draws(task):
    draw, keys = make_draw(task), jax.random.split(jax.random.key(3), 24)
    drawn = jax.jit(functools.partial(draw_all, draw))(keys)
    with jax.default_device(jax.devices("cpu")[0]):
        expected = jax.jit(functools.partial(jax.lax.map, make_draw(task)))(jax.random.split(jax.random.key(3), 24))
    jax.tree.map(np.testing.assert_array_equal, drawn, jax.tree.map(np.asarray, expected))


@pytest.mark.slow
@all_tasks
def test_a_step_does_not_depend_on_the_number_of_devices(task):
    model = CRNN.of(SMALL.architecture, task.alphabet, task.preparation, axis_name=steps.AXIS)
    tx, draw, ends = optax.sgd(1e-4), make_draw(task), []
    size = task.preparation.height, task.preparation.width
    for count in (1, 2):
        devices = jax.devices()[:count]
        start = create_state(model, tx, jax.random.key(0), *size)
        state = steps.replicate(start, devices)
        step = steps.make_train_step(model, tx, devices, draw=draw)
        state, sums = step(state, steps.shard(next(example_numbers(8)), count), jax.random.key(1))
        assert steps.unreplicate(sums)["examples"] == 8
        ends.append(steps.unreplicate(state.params))
    # Sums in another order; other pictures would lead elsewhere altogether. After more steps it says little: on an even
    # background pooling meets equal pixels, and the rounding of the steps before decides which one gets the gradient.
    change, difference = (jax.tree.map(np.subtract, ends[0], other) for other in (start.params, ends[1]))
    assert optax.tree.norm(difference) < 1e-3 * optax.tree.norm(change)


def test_hosts_draw_disjoint_parts_of_the_same_batches():
    alone, hosts = example_numbers(6), [example_numbers(6, host=host, hosts=2) for host in range(2)]
    for _ in range(3):
        whole, parts = next(alone), [next(numbers) for numbers in hosts]
        for name, array in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)
    assert whole["indices"].tolist() == [12, 13, 14, 15, 16, 17]


def test_numbers_go_on_where_they_stopped():
    numbers, again = example_numbers(4), example_numbers(4)
    next(numbers), next(numbers)
    again.set_state(numbers.get_state())
    assert next(numbers)["indices"].tolist() == next(again)["indices"].tolist() == [8, 9, 10, 11]


@pytest.mark.parametrize("candidates", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_draws_on_the_device(tmp_path, candidates):
    config = dataclasses.replace(SMALL, candidates=candidates)
    assert crnn_jax.train(tasks.level1(), config, tmp_path / "run").train_images == 24


def test_what_it_cannot_do_is_refused_before_anything_is_written(tmp_path):
    task = dataclasses.replace(tasks.level2(), preparation=tasks.LEVEL2_LINES)
    with pytest.raises(UserError, match="drawing on the device: there is no equalize=stretch, lines=3"):
        crnn_jax.train(task, SMALL, tmp_path / "run")
    assert not (tmp_path / "run").exists()
