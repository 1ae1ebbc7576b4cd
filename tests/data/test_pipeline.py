import signal
import subprocess
import sys
from itertools import chain

import pytest
from sources import DiesAtFive, ModulesOfWorker, maker

from crnn_jax import UserError
from crnn_jax.data.examples import ENDLESS
from crnn_jax.data.pipeline import evaluation_batches, training_batches
from crnn_jax.data.workers import BatchWorkers


def numbers(batch):
    return [int("".join(str(c) for c in label if c < 10) or -1) for label in batch["labels"]]


def take(iterator, count):
    return [numbers(next(iterator)) for _ in range(count)]


def test_endless_source_is_taken_in_order():
    with BatchWorkers({"train": maker()}, 0) as workers:
        assert take(training_batches(workers, ENDLESS, 3), 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_shuffled_epochs_hold_each_example_once_and_differ():
    with BatchWorkers({"train": maker()}, 0) as workers:
        batches = take(training_batches(workers, 12, 4, seed=1), 6)
    first, second = list(chain(*batches[:3])), list(chain(*batches[3:]))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert first != sorted(first)


def test_hosts_share_a_batch_out():
    with BatchWorkers({"train": maker()}, 0) as workers:
        whole = take(training_batches(workers, 20, 4, seed=3), 5)
        parts = [take(training_batches(workers, 20, 4, seed=3, host=h, hosts=2), 5) for h in range(2)]
        positions = next(training_batches(workers, 20, 4, host=1, hosts=2))["positions"]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole
    assert positions.tolist() == [2, 3]


def test_state_goes_on_at_the_next_batch_with_another_number_of_workers():
    with BatchWorkers({"train": maker()}, 0) as workers:
        batches = training_batches(workers, 50, 4, seed=5)
        take(batches, 3)
        state = batches.get_state()
        expected = take(batches, 20)  # past the end of the epoch
    with BatchWorkers({"train": maker()}, 2) as workers:
        resumed = training_batches(workers, 50, 4, seed=5, ahead=7)
        resumed.set_state(state)
        assert take(resumed, 20) == expected


def test_evaluation_counts_each_example_once():
    with BatchWorkers({"train": maker()}, 0) as workers:
        for hosts in (1, 2):
            read = [
                number
                for host in range(hosts)
                for batch in evaluation_batches(workers, "train", 10, 4, host=host, hosts=hosts)
                for number, weight in zip(numbers(batch), batch["weights"], strict=True)
                if weight
            ]
            assert sorted(read) == list(range(10))


def test_worker_processes_never_import_jax():
    with BatchWorkers({"train": maker(source=ModulesOfWorker())}, 2) as workers:
        assert take(training_batches(workers, ENDLESS, 4), 3) == [[0] * 4] * 3


@pytest.mark.parametrize(
    "module",
    [
        *(f"crnn_jax.{name}" for name in ("tasks", "drawing.captcha", "data.workers", "data.images", "data.folder", "cli")),
        *(f"crnn_jax.training.{name}" for name in ("config", "log")),
        "experiments.captcha",  # a worker imports the program's main module again
    ],
)
def test_modules_for_workers_import_without_jax(module):
    code = f"import sys, {module}; sys.exit('jax' in sys.modules or 'grain' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_worker_that_dies_ends_in_one_line():
    with BatchWorkers({"train": maker(source=DiesAtFive())}, 1) as workers:
        batches = training_batches(workers, ENDLESS, 4, ahead=1)
        with pytest.raises(UserError, match="worker process died"):
            take(batches, 3)


def test_mistake_of_the_source_reaches_the_caller():
    with BatchWorkers({"train": maker(max_length=1)}, 1) as workers, pytest.raises(UserError, match="'10' is longer than 1"):
        take(training_batches(workers, ENDLESS, 4, ahead=1), 3)


def test_workers_leave_ctrl_c_to_the_main_process():
    with BatchWorkers({"train": maker()}, 3) as workers:
        assert {workers._pool.submit(signal.getsignal, signal.SIGINT).result() for _ in range(9)} == {signal.SIG_IGN}
