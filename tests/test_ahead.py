"""Results in order, a few of them ahead, and errors when it is their turn."""

import threading

import pytest

from crnn_jax.ahead import ahead


def test_results_keep_the_order_of_the_items():
    first_may_go = threading.Event()

    def slow_at_first(item):
        if item == 0:
            assert first_may_go.wait(10)
        else:
            first_may_go.set()  # a later one is done before
        return item * item

    assert list(ahead(slow_at_first, range(20), 4)) == [item * item for item in range(20)]
    assert list(ahead(slow_at_first, [], 4)) == []


def test_no_more_is_taken_than_there_is_room_for():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = ahead(lambda item: item, items(), 5)
    assert next(results) == 0
    assert len(taken) == 6
    assert next(results) == 1
    assert len(taken) == 7
    results.close()
    assert len(taken) == 7


def test_an_error_comes_when_it_is_its_turn():
    def fails_at_three(item):
        if item == 3:
            raise OSError("three")
        return item

    results, seen = ahead(fails_at_three, range(10), 8), []
    with pytest.raises(OSError, match="three"):
        seen.extend(results)
    assert seen == [0, 1, 2]


def test_an_error_of_the_items_comes_after_what_was_begun():
    def items():
        yield from range(3)
        raise OSError("no more")

    seen = []
    with pytest.raises(OSError, match="no more"):
        seen.extend(ahead(lambda item: item, items(), 8))
    assert seen == [0, 1, 2]
