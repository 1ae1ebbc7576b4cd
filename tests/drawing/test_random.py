import numpy as np

from crnn_jax.drawing.random import Draws


def take(draws, count=600):
    return [draws.uniform() for _ in range(count)]


def test_streams_repeat_and_differ_in_each_part_of_the_key():
    base = take(Draws(1, "train", 2))
    assert base == take(Draws(1, "train", 2))
    others = [Draws(2, "train", 2), Draws(1, "validation", 2), Draws(1, "test", 2), Draws(1, "train", 3)]
    assert all(not set(base) & set(take(other)) for other in others)


def test_uniform_and_below_stay_in_range_and_fill_it():
    draws = Draws(0, "train", 0)
    values = [draws.uniform(-2, 3) for _ in range(2000)]
    assert min(values) >= -2
    assert max(values) < 3
    assert abs(np.mean(values) - 0.5) < 0.15
    assert sorted({draws.below(7) for _ in range(500)}) == list(range(7))


def test_choice_takes_each_item():
    draws = Draws(0, "train", 0)
    assert {draws.choice("abc") for _ in range(100)} == set("abc")
