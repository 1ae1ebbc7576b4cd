import os
from pathlib import Path

import pytest

from crnn_jax.data.folder import find_images, label_problems, labels_of_names, parse_labels, read_labels
from crnn_jax.errors import UserError


def folder(tmp_path, labels, name="labels.txt", pictures=("0.png", "1.png")):
    for picture in pictures:
        (tmp_path / picture).touch()
    (tmp_path / name).write_text(labels, encoding="utf-8")
    return tmp_path


def test_competition_s_format(tmp_path):
    labels = read_labels(folder(tmp_path, "(3-7)+5 1\n流=42072 7\n"))
    assert [(label.path.name, label.text) for label in labels] == [("0.png", "(3-7)+5"), ("1.png", "流=42072")]


def test_byte_order_mark_and_carriage_returns(tmp_path):
    assert [label.text for label in read_labels(folder(tmp_path, "\ufeffAB\r\nCD\r\n"))] == ["AB", "CD"]


def test_tsv_keeps_spaces_and_quotes(tmp_path):
    labels = read_labels(folder(tmp_path, 'file\ttext\n0.png\ta "b\n', "labels.tsv"))
    assert labels[0].text == 'a "b'


def test_tsv_without_names_of_columns(tmp_path):
    labels = parse_labels(folder(tmp_path, 'sub/a.JPG\ta "b\n1.png\tc d\n', "labels.tsv"))
    assert [(row.path, row.text) for row in labels.rows] == [(tmp_path / "sub/a.JPG", 'a "b'), (tmp_path / "1.png", "c d")]
    assert [row.place for row in labels.rows] == [f"{labels.file}, line {line}" for line in (1, 2)]
    assert [(problem.harmless, "names no columns" in problem.what) for problem in labels.problems] == [(True, True)]


def test_a_file_for_each_picture(tmp_path):
    folder(tmp_path, "a b\r\n", "0.gt.txt", ["0.png", "0.bin.png"])
    folder(tmp_path, "cd", "x.y.gt.txt", ["x.y.nrm.tif", "x.png"])
    labels = parse_labels(tmp_path)
    assert [(row.path.name, row.text) for row in labels.rows] == [("0.png", "a b"), ("x.y.nrm.tif", "cd")]
    assert [Path(problem.place).name for problem in label_problems(labels)] == ["0.bin.png", "x.png"]  # which have no label
    folder(tmp_path, "ef", "labels.txt")
    assert [row.text for row in read_labels(tmp_path)] == ["ef"]
    assert "*.gt.txt: is left aside: labels are those of labels.txt" in str(parse_labels(tmp_path).problems[0])


def test_csv_in_any_order_of_columns(tmp_path):
    labels = read_labels(folder(tmp_path, 'text,file,more\n"a,b",1.png,x\n', "labels.csv"))
    assert (labels[0].text, labels[0].path.name) == ("a,b", "1.png")


@pytest.mark.parametrize(
    ("labels", "name", "message"),
    [
        ("", "labels.txt", "is empty"),
        ("AB\n\nCD\n", "labels.txt", "line 2"),
        ("AB\nCD\nEF\n", "labels.txt", "line 3: there is no picture 2.png"),
        ("picture,text\n0.png,a\n", "labels.csv", "columns file and text"),
        ("file,text\n0.png,\n", "labels.csv", "line 2"),
        ("file,text\n0.png,1,234\n", "labels.csv", "line 2: has more columns than the first line"),
        ("file\ttext\n0.png\tB\t1234\n", "labels.tsv", "line 2: has more columns than the first line"),
        ("0.png\tB\n1.png\tC\tD\n", "labels.tsv", "line 2: has more columns than the first line"),
        ("0.png\tB\n1.png\n", "labels.tsv", "line 2: lacks a file or a text"),
        ("0.png\tB\t1234\n", "labels.tsv", "columns file and text, .*; without names, each line"),
        ("B\t0.png\n", "labels.tsv", "columns file and text"),
        ("", "0.gt.txt", "is empty"),
        ("AB\nCD\n", "0.gt.txt", "has more than one line"),
        ("AB", "2.gt.txt", r"there is no picture 2\.png"),
        ('file,text\n0.png,"ab\n1.png,cd"\n', "labels.csv", "line 3: has a line end within a cell: a quote too many"),
    ],
)
def test_malformed_labels_name_file_and_line(tmp_path, labels, name, message):
    with pytest.raises(UserError, match=message) as caught:
        read_labels(folder(tmp_path, labels, name))
    assert name in str(caught.value)


def test_one_bad_file_of_a_label_leaves_the_others(tmp_path):
    for name in ("0", "1", "2"):
        folder(tmp_path, "AB", f"{name}.gt.txt", [f"{name}.png"])
    (tmp_path / "1.gt.txt").write_bytes(b"caf\xe9")
    (tmp_path / os.fsdecode(b"\xff.png")).touch()
    (tmp_path / os.fsdecode(b"\xff.gt.txt")).write_text("CD")
    labels = parse_labels(tmp_path)
    assert [row.path.name for row in labels.rows] == ["0.png", "2.png"]
    first, second = sorted(str(problem) for problem in labels.problems)
    assert first.endswith("\\udcff.gt.txt': has a name that is not UTF-8")
    assert second.endswith("1.gt.txt: is not UTF-8 (byte 3)")


def test_a_text_that_may_be_of_several_pictures(tmp_path):
    folder(tmp_path, "AB", "0.gt.txt", ["0.bin.png", "0.nrm.png"])
    with pytest.raises(UserError, match=r"0\.gt\.txt: may be about 0\.bin\.png or 0\.nrm\.png"):
        read_labels(tmp_path)


def test_names_of_pictures_that_hold_no_text(tmp_path):
    for name in ("AB_1.png", "_2.png"):
        (tmp_path / name).touch()
    (tmp_path / os.fsdecode(b"caf\xe9_1.png")).touch()
    labels = labels_of_names(tmp_path)
    assert [row.text for row in labels.rows] == ["AB"]
    first, second = sorted(str(problem) for problem in labels.problems)
    assert first.endswith("caf\\udce9_1.png': has a name that is not UTF-8")
    assert second.endswith("_2.png: has a number for a name, and no text")


def test_labels_that_are_not_utf_8(tmp_path):
    folder(tmp_path, "")
    (tmp_path / "labels.txt").write_bytes(b"AB\n\xff\xfe\n")
    with pytest.raises(UserError, match="not UTF-8"):
        read_labels(tmp_path)


def test_missing_folder_and_missing_labels(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        read_labels(tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no labels\.txt"):
        read_labels(tmp_path)


def test_images_of_a_folder_come_by_number(tmp_path):
    for name in ("10.png", "9.PNG", "b.jpg", "a.png", "labels.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images([str(tmp_path)])] == ["9.PNG", "10.png", "a.png", "b.jpg"]


def test_globs_and_files_stay_in_the_order_given(tmp_path):
    for name in ("2.png", "1.png", "x.png"):
        (tmp_path / name).touch()
    found = find_images([str(tmp_path / "x.png"), str(tmp_path / "[0-9].png"), str(tmp_path / "missing.png")])
    assert [path.name for path in found] == ["x.png", "1.png", "2.png", "missing.png"]


def test_a_glob_over_folders_takes_one_after_the_other(tmp_path):
    for name in ("b/2.png", "a/10.png", "b/1.png", "a/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in find_images([str(tmp_path / "*/*.png")])]
    assert found == ["a/2.png", "a/10.png", "b/1.png", "b/2.png"]


def test_nothing_found_is_said(tmp_path):
    with pytest.raises(UserError, match="holds no pictures"):
        find_images([str(tmp_path)])
    with pytest.raises(UserError, match="matches no file"):
        find_images([str(tmp_path / "*.png")])
