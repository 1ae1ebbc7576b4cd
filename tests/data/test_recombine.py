"""Lines of located pictures, put together anew."""

import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError, tasks
from crnn_jax.cli import main
from crnn_jax.data.folder import read_labels
from crnn_jax.data.images import read_image
from crnn_jax.data.recombine import RecombinedSource
from crnn_jax.grammar import Level2


@pytest.fixture(scope="module")
def located(tmp_path_factory):
    folder = tmp_path_factory.mktemp("level2")
    assert main(["generate", "level2", "--count", "8", "--out", str(folder / "pictures")]) == 0
    assert main(["locate", str(folder / "pictures"), "--out", str(folder / "strips"), "--workers", "1"]) == 0
    return folder / "strips"


def test_strips_and_their_labels_make_a_folder_to_train_on(located, capsys):
    assert main(["check", str(located), "--task", "level2"]) == 0
    assert "8 labels" in capsys.readouterr().out
    labels = read_labels(located)
    assert len(labels) == 8
    assert all(Level2().contains(label.text) for label in labels)
    assert all(read_image(label.path).shape[0] <= 110 for label in labels)


def test_examples_are_texts_of_the_grammar_and_functions_of_the_index(located):
    source = RecombinedSource.of(read_labels(located), seed=1)
    examples = [source[i] for i in range(30)]
    assert all(Level2().contains(example.text) for example in examples)
    np.testing.assert_array_equal(examples[3].image, source[3].image)
    assert len({example.text for example in examples}) > 8  # more than there were


def test_assignments_come_from_other_pictures_of_the_same_variable(located):
    labels = read_labels(located)
    first = labels[0].text.split(";")
    other = labels[1]._replace(text=f"{first[0][0]}=1;{labels[1].text.split(';')[-1]}")
    source = RecombinedSource.of([labels[0], other], seed=0)
    assert {line.text for line in source.assignments[first[0][0]]} == {first[0], f"{first[0][0]}=1"}


def test_lines_that_are_cut_in_the_document_s_way_are_put_together_too(located, tmp_path):
    pictures = located.parent / "pictures"
    assert main(["locate", str(pictures), "--out", str(tmp_path), "--workers", "1", "--way", "document"]) == 0
    task = tasks.recombined(tasks.level2(), tmp_path, train=5, validation=2)
    assert Level2().contains(task.source("train", 0)[0].text)
    ours, theirs = (read_image(folder / "0.png").shape for folder in (located, tmp_path))
    assert ours != theirs


def test_the_first_pictures_train_and_the_next_validate(located):
    task = tasks.recombined(tasks.level2(), located, train=5, validation=2)
    labels = read_labels(located)
    validation, test = task.source("validation", 0), task.source("test", 0)
    assert [validation[i].text for i in range(len(validation))] == [label.text for label in labels[5:7]]
    assert [test[i].text for i in range(len(test))] == [labels[7].text]
    train = task.source("train", 0)
    expressions = {label.text.split(";")[-1] for label in labels[:5]}
    assert {train[i].text.split(";")[-1] for i in range(40)} == expressions
    assert task.judge == f"{located}, kept out of training"


def test_all_pictures_can_be_learned_and_what_judges_them_is_said(located):
    task = tasks.recombined(tasks.level2(), located, train=5, validation=3, learn_all=True)
    expressions = {label.text.split(";")[-1] for label in read_labels(located)}
    assert {task.source("train", 0)[i].text.split(";")[-1] for i in range(100)} == expressions
    assert task.judge == f"{located}, learned too, which the weights are chosen by"  # nothing is left for a test


def test_lines_that_do_not_suit_the_text_are_named(located, tmp_path, capsys):
    pictures = located.parent / "pictures"
    labels = [label for label in read_labels(pictures) if label.text.count(";") == 2][:1]
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a'\"b.png").write_bytes(labels[0].path.read_bytes())
    (tmp_path / "pictures" / "b.png").write_bytes(labels[0].path.read_bytes())
    two = ";".join(labels[0].text.split(";")[1:])
    (tmp_path / "pictures" / "labels.tsv").write_text(
        f"file\ttext\na'\"b.png\t{labels[0].text}\nb.png\t{two}\n", encoding="utf-8"
    )
    strips = tmp_path / "strips"
    assert main(["locate", str(tmp_path / "pictures"), "--out", str(strips), "--workers", "1"]) == 1
    assert "line 3: 3 lines were found where the text has 2" in capsys.readouterr().err
    assert [label.path.name for label in read_labels(strips)] == ["a'\"b.png"]
    (tmp_path / "pictures" / "labels.tsv").unlink()
    with pytest.raises(UserError, match="is a line more than the text has"):
        RecombinedSource.of([read_labels(strips)[0]._replace(text=two)], seed=0)
    assert main(["locate", str(tmp_path / "pictures"), "--out", str(strips), "--workers", "1"]) == 0
    assert not (strips / "labels.tsv").exists()  # it was of other pictures


def test_too_few_pictures_and_missing_lines_are_named(located, tmp_path):
    with pytest.raises(UserError, match="8 pictures are fewer than 89600"):
        tasks.recombined(tasks.level2(), located, train=89_600, validation=10_240)
    Image.new("RGB", (500, 80)).save(tmp_path / "0.png")
    (tmp_path / "labels.txt").write_text("流=1;流/2+3+4+5\n", encoding="utf-8")
    with pytest.raises(UserError, match="crnn-jax locate"):
        RecombinedSource.of(read_labels(tmp_path), seed=0)
