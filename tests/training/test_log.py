import json

import pytest

from crnn_jax import UserError
from crnn_jax.training.log import MetricsFile, TensorBoard, duration, read_json, read_metrics


def test_lines_past_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (4, 8, 12)) + '{"step": 16, "lo')
    MetricsFile(path, after=8).write({"step": 12, "again": True})
    assert read_metrics(path) == [{"step": 4}, {"step": 8}, {"step": 12, "again": True}]


def test_no_file_holds_no_lines(tmp_path):
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_tensorboard_gets_the_numbers(tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    writer = TensorBoard(tmp_path)
    writer.write(7, {"loss": 0.5, "name": "text"})
    writer.close()
    (path,) = tmp_path.iterdir()
    values = [(e.step, v.tag) for e in loader.EventFileLoader(str(path)).Load() for v in e.summary.value]
    assert values == [(7, "loss")]


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (750, "12 min"), (12_600, "3.5 h")])
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("text", ["5\n", '{"loss": 0.5}\n', "\xff", "[" * 100_000])
def test_metrics_that_no_run_wrote_are_told_in_a_line(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"^[^\n]*metrics\.jsonl: isn't of a run[^\n]*$"):
        read_metrics(path)


@pytest.mark.parametrize("text", ["[]", "{", "", "\xff", "[" * 100_000])
def test_json_that_no_run_wrote_is_told_in_a_line(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"^[^\n]*config\.json: isn't of a run[^\n]*$"):
        read_json(path)


def test_json_that_can_t_be_read_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match=r"can't be read \(Is a directory\)"):
        read_json(tmp_path)
