"""What ``crnn-jax check`` finds in a folder, and what training makes of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crnn_jax import tasks
from crnn_jax.cli import main
from crnn_jax.data.folder import (
    FolderSource,
    label_problems,
    parse_labels,
    picture_problems,
    picture_sizes,
    read_labels,
    split_of,
)
from crnn_jax.errors import UserError

GOOD = ["(3-7)+5 1", "5-6+2 1", "(6+7)*2 26"]


def make(folder, labels, pictures=None, name="labels.txt", encoding="utf-8"):
    folder.mkdir(exist_ok=True)
    for i in range(len(labels) if pictures is None else pictures):
        Image.fromarray(np.full((60, 180, 3), 200, np.uint8)).save(folder / f"{i}.png")
    (folder / name).write_bytes("".join(f"{line}\n" for line in labels).encode(encoding))
    return folder


def problems(folder, task="level1"):
    labels = parse_labels(folder)
    requirements = tasks.by_name(task).requirements if task else None
    return [*label_problems(labels, requirements), *picture_problems(labels)]


def said(folder, task="level1"):
    return [str(problem).removeprefix(f"{folder}/") for problem in problems(folder, task)]


def test_a_good_folder_has_none(tmp_path):
    assert said(make(tmp_path / "a", GOOD)) == []
    assert said(make(tmp_path / "b", ["5-6+2", "(6+7)*2"])) == []  # values may be left out


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("5-6÷2 2", "has characters that are not in the alphabet: '÷' (U+00F7)"),
        ("(3-7)+5 2", "'(3-7)+5' comes to 1, not 2"),
        ("12+3-4 11", "'12+3-4' is not a text of level1"),
        ("(1+(2+3)) 6", "'(1+(2+3))' is longer than 7 characters"),
        ("", "is empty"),
    ],
)
def test_file_and_line_of_a_bad_label(tmp_path, line, what):
    message, *_ = said(make(tmp_path / "x", [GOOD[0], line, GOOD[1]]))
    assert message.startswith("labels.txt, line 2: ")
    assert what in message


@pytest.mark.parametrize("value", ["0.33", "0.3333333333333333", "0.34", "3.3e-1", "0.31", "third"])
def test_values_computed_in_floating_point_are_good(tmp_path, value):
    """The competition takes what is at most 0.01 off."""
    problems = said(make(tmp_path / "x", [f"君=1;0+0+0+君/3 {value}"]), "level2")
    expected = {"0.31": ["0.31"], "third": ["third"]}.get(value, [])
    assert [problem.rpartition("not ")[2] for problem in problems] == expected


def test_a_value_is_only_told_without_a_task(tmp_path):
    folder = make(tmp_path / "x", ["1+1 3", "a-z 5", "hello world", "4/3 1.33"])
    assert said(folder, task=None) == ["labels.txt, line 1: '1+1' comes to 2, not 3"]
    assert len(read_labels(folder)) == 4


def test_blank_lines_at_the_end_are_nothing(tmp_path):
    assert said(make(tmp_path / "x", [*GOOD, "", ""], pictures=3)) == []


def test_a_table_with_a_quote_too_many(tmp_path):
    folder = make(tmp_path / "x", ["file,text", '0.png,"1+1+1', "1.png," + "2" * 200_000], pictures=1, name="labels.csv")
    (message,) = said(folder)[:1]
    assert message.startswith("labels.csv, line ")
    assert "can't be read as a table" in message


def test_missing_surplus_and_broken_pictures(tmp_path):
    folder = make(tmp_path / "x", GOOD, pictures=2)
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:40])
    (folder / "extra.jpg").touch()
    lines = said(folder)
    assert "labels.txt, line 3: there is no picture 2.png" in lines
    assert "extra.jpg: has no label" in lines
    assert any(line.startswith("labels.txt, line 2: ") and "can't be read as a picture" in line for line in lines)
    assert [problem.harmless for problem in problems(folder) if "extra" in problem.place] == [True]


def test_duplicate_names(tmp_path):
    folder = make(tmp_path / "x", ["file,text", "0.png,1+1+1", "1.png,2+2+2", "0.png,1+1+1"], pictures=2, name="labels.csv")
    assert said(folder) == [f"labels.csv, line {line}: 0.png has 2 labels" for line in (2, 4)]


def test_byte_order_mark_and_crlf_are_told_and_harmless(tmp_path):
    folder = make(tmp_path / "x", [f"{line}\r" for line in GOOD], encoding="utf-8-sig")
    found = problems(folder)
    assert [problem.harmless for problem in found] == [True, True]
    assert "byte order mark" in found[0].what
    assert "CR LF" in found[1].what
    assert [label.text for label in read_labels(folder)] == ["(3-7)+5", "5-6+2", "(6+7)*2"]


@pytest.mark.parametrize(("name", "data"), [("labels.txt", b"\xef\xbb\xbf"), ("labels.tsv", b"file\ttext\r\n")])
def test_a_file_with_nothing_but_what_is_harmless_is_empty(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match="is empty"):
        parse_labels(tmp_path)


def test_labels_that_are_left_aside_are_told(tmp_path):
    make(tmp_path, ["0.png\t1+2*3"], name="labels.tsv")
    assert "labels.tsv: is left aside: labels are those of labels.txt" in said(make(tmp_path, GOOD))


def test_what_can_not_be_opened_keeps_nothing_else_from_being_told(tmp_path, capsys, monkeypatch):
    make(tmp_path, ["字" * 90, "b"])  # no file could have such a name
    read_bytes = Path.read_bytes

    def denied(path):
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert main(["check", str(tmp_path)]) == 0
    assert "2 labels" in capsys.readouterr().out


def test_read_labels_names_the_first_problem_and_counts_the_rest(tmp_path):
    folder = make(tmp_path / "x", ["1+1+1", "", "2+2+2", "3+3+3"], pictures=2)
    with pytest.raises(UserError, match=r"line 2: is empty; and 2 more, which `crnn-jax check .*`.* lists"):
        read_labels(folder)


LABELS = [f"{i % 10}+{i // 10 % 10}*2" for i in range(100)]


def test_splits_have_nothing_in_common_and_leave_nothing_out(tmp_path):
    labels = parse_labels(make(tmp_path / "x", LABELS))
    sources = [FolderSource.of(labels.rows, split) for split in ("train", "validation", "test")]
    paths = [path for source in sources for path, _ in source.rows]
    assert len(paths) == len(set(paths)) == 100
    assert all(len(source) for source in sources)
    assert sources[0][0].text == sources[0].rows[0][1]


def test_a_picture_keeps_its_split():
    splits = [split_of(f"{i}.png") for i in range(4000)]
    assert [split_of(f"{i}.png") for i in range(10)] == splits[:10]
    assert all(abs(splits.count(name) / 4000 - share) < 0.015 for name, share in (("test", 0.05), ("validation", 0.05)))


def test_copies_under_the_same_name_keep_their_picture_s_split(tmp_path):
    folder = make(tmp_path / "x", ["file\ttext", *(f"{i}.png\t{i}" for i in range(100))], pictures=100, name="labels.tsv")
    (folder / "again").mkdir()
    with (folder / "labels.tsv").open("a") as table:
        for i in range(0, 100, 2):
            (folder / "again" / f"{i}.png").write_bytes((folder / f"{i}.png").read_bytes())
            table.write(f"again/{i}.png\t{i}\n")
    task = tasks.folder(folder, augment=0)
    splits = {split: task.source(split, 0) for split in ("train", "validation", "test")}
    texts = {split: [text for _, text in source.rows] for split, source in splits.items()}
    assert sum(map(len, texts.values())) == 150
    assert sum(len(set(found)) for found in texts.values()) == 100


def test_training_refuses_or_skips_bad_labels(tmp_path, caplog):
    folder = make(tmp_path / "x", [*LABELS, "1+1+1 4", "x+1+1"])
    with pytest.raises(UserError, match=r"line 101: '1\+1\+1' comes to 3, not 4; and 1 more.*bad_examples=skip"):
        tasks.from_folder(tasks.level1(), folder)
    task = tasks.from_folder(tasks.level1(), folder, "skip")
    assert "2 problems" in caplog.text
    assert sum(len(task.source(split, 0)) for split in ("train", "validation", "test")) == 100
    assert task.judge == f"{folder}, kept out of training"
    all_of_it = tasks.from_folder(tasks.level1(), folder, "skip", learn_all=True)
    assert len(all_of_it.source("train", 0)) == 100
    assert len(all_of_it.source("test", 0)) == len(task.source("test", 0))
    assert all_of_it.judge == f"{folder}, learned too"
    assert all_of_it.data != task.data  # a run of the one doesn't go on as the other


def test_a_folder_too_small_to_split(tmp_path):
    with pytest.raises(UserError, match="3 pictures are too few"):
        tasks.from_folder(tasks.level1(), make(tmp_path / "x", GOOD))


def test_what_a_folder_of_one_s_own_should_be_asked(tmp_path, capsys):
    texts = ["AAAA"] * 12 + ["AB", "A" * 9]
    for i, text in enumerate(texts):
        Image.fromarray(np.full((48, 96, 3), i, np.uint8)).save(tmp_path / f"{text}_{i}.png")
    (tmp_path / "AC_99.png").write_bytes((tmp_path / "AB_12.png").read_bytes())
    assert main(["check", str(tmp_path), "--names", "--height", "48", "--plots", str(tmp_path / "plots")]) == 1
    out = capsys.readouterr().out
    assert "fewer than 10 labels have these characters: 'B' (1), 'C' (1)" in out
    assert "note" in next(line for line in out.splitlines() if "'AAAAAAAAA' needs 17 columns" in line)
    assert "leaves 12: take a larger one" in out
    assert "is the same picture as AB_12.png, but 'AC' is not 'AB'" in out
    for name in ("sizes", "characters"):
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 2000


def test_lines_that_are_far_longer_than_others_are_told(tmp_path, capsys):
    labels = ["file\ttext"]
    for i in range(40):
        width, text = (1500, "ab" * 60) if i == 39 else (1200, "ab" * 20) if i == 38 else (160, "ab" * 5)
        Image.fromarray(np.full((48, width, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
        labels.append(f"{i}.png\t{text}")
    (tmp_path / "labels.tsv").write_text("\n".join(labels))
    assert main(["check", str(tmp_path), "--height", "48"]) == 0
    out = capsys.readouterr().out
    assert "line 41: 'ababab" in out
    assert "needs 120 columns, and a width of at most 320 pixels leaves 40: cut it into parts" in out
    for line, height in ((40, 13), (41, 10)):
        assert f"line {line}: {line - 2}.png is far wider than most: it becomes {height} pixels high instead of 48" in out
    assert tasks.folder(tmp_path, height=48).preparation.width == 320


def test_spaces_belong_to_texts_where_nothing_is_computed(tmp_path, capsys, caplog):
    texts = [f"B-MW {1000 + i}" for i in range(80)]
    folder = make(tmp_path / "plates", texts)
    assert [row.text for row in parse_labels(folder, values=False).rows] == texts
    sources = tasks.folder(folder)
    assert " " in sources.alphabet.characters
    assert sources.source("train", 0)[0].text in texts
    assert "all texts end in a space and a number" in caplog.text
    assert main(["check", str(folder)]) == 1  # all pictures are the same
    assert "all texts end in a space and a number" in capsys.readouterr().out


@pytest.mark.parametrize("labels", [["0.png AB", "1.png CD"], ["0.png\tAB", "./1.png\tCD"]])
def test_names_of_pictures_in_the_texts_are_told(tmp_path, capsys, labels):
    folder = make(tmp_path / "named", labels)
    main(["check", str(folder)])
    out = capsys.readouterr().out
    assert "all texts begin with a picture's name" in out
    assert "too few for training" in out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--alphabet", "BMW- 01"], "not in the alphabet: '2' (U+0032)"),
        (["--pattern", r"B-MW \d{3}"], r"'B-MW 1002' is not a text of regex:B-MW \d{3}"),
        (["--task", "captcha", "--pattern", "."], "leave out --alphabet and --pattern"),
        (["--pattern", "("], "can't be used"),
    ],
)
def test_texts_are_held_to_what_is_said_of_them(tmp_path, capsys, arguments, what):
    folder = make(tmp_path / "plates", ["B-MW 1002", "B-MW 0112"])
    assert main(["check", str(folder), *arguments]) == 1
    assert what in "".join(capsys.readouterr())


def test_sizes_are_told_of_those_that_can_be_opened(tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "broken.png").write_bytes(whole[:33] + b"\0\0\0\4bad!" + whole[41:])  # Pillow calls that a SyntaxError
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "lying.jpg", exif=exif)
    sizes = picture_sizes([tmp_path / name for name in ("good.png", "broken.png", "none.png", "lying.jpg")])
    assert set(sizes) == {(30, 20), (20, 30)}
