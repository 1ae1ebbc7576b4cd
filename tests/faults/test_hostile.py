"""Pictures, labels and texts that nobody would send with good intentions."""

import json
import random
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crnn_jax import UserError
from crnn_jax.alphabet import Alphabet
from crnn_jax.arithmetic import ExpressionError, evaluate
from crnn_jax.cli import main
from crnn_jax.data.examples import Preparation
from crnn_jax.data.folder import parse_labels
from crnn_jax.data.images import UnreadableImage, read_image
from crnn_jax.drawing.random import Draws
from crnn_jax.grammar import Level1, Level2
from crnn_jax.locate import NoFormula
from crnn_jax.vote import vote_files

GRAMMARS = [Level1(), Level2()]
LEVEL2 = Preparation(81, 1152, equalize="stretch", widths=(448, 1152), locate=True)


def ways_to_save():
    """Files of all kinds, by name."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (40, 90, 3), np.uint8))
    ways = {f"{mode}.png": rgb.convert(mode) for mode in ("L", "LA", "P", "RGBA", "1")}
    ways |= {"16.png": Image.fromarray(rng.integers(0, 65536, (40, 90), np.uint16))}
    ways |= {"cmyk.jpg": rgb.convert("CMYK"), "grey.jpg": rgb.convert("L"), "f.tiff": rgb.convert("F")}
    ways |= {"point.png": rgb.crop((0, 0, 1, 1)), "thread.png": rgb.resize((10_000, 1)), "pole.png": rgb.resize((1, 10_000))}
    return ways


@pytest.mark.parametrize("name", ways_to_save())
def test_pictures_of_any_kind_are_prepared(tmp_path, name):
    ways_to_save()[name].save(tmp_path / name)
    picture = read_image(tmp_path / name)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    for equalize in ("never", "always", "faint", "stretch", "stretch_grey"):
        assert Preparation(60, 180, equalize=equalize)(picture).shape == (60, 180, 3)
        assert Preparation(60, 180, equalize=equalize, widths=(96, 180))(picture).shape[0] == 60
    with suppress(NoFormula):  # none of them holds one, but some look like a strip
        assert LEVEL2(picture).shape[0] == 81


def test_animated_rotated_and_misnamed_pictures(tmp_path):
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "moving.gif")[0, 0, 0] > 200  # the first frame
    exif = Image.Exif()
    exif[0x0112] = 6
    frames[0].save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (30, 20, 3)
    frames[0].save(tmp_path / "really.jpg")
    (tmp_path / "really.jpg").rename(tmp_path / "a name\nof 图.png")
    assert read_image(tmp_path / "a name\nof 图.png").shape == (20, 30, 3)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tiff"])
def test_truncated_pictures_are_named(tmp_path, share, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UnreadableImage, match=rf"a\.{suffix}: can't be read as a picture"):
        read_image(path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")  # 400 million pixels in 60 kilobytes
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    begun = time.monotonic()
    with pytest.raises(UnreadableImage, match=r"bomb\.png"):
        read_image(tmp_path / "bomb.png")
    assert time.monotonic() - begun < 1


def test_what_can_not_be_read_does_not_keep_the_rest_from_being_read(tmp_path, trained, capsys):
    for i, name in enumerate(("first.png", "two words.png", "图.png", "last.png")):
        Image.fromarray(np.full((16, 64, 3), 200 - i, np.uint8)).save(tmp_path / name)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("I am no picture")
    assert main(["read", str(tmp_path), "--model", str(trained), "--format", "json"]) == 1
    out, err = capsys.readouterr()
    read = {Path(row["path"]).name: row["confidence"] for row in map(json.loads, out.splitlines())}
    assert len(read) == 6
    assert {name for name, confidence in read.items() if confidence == 0} == {"empty.png", "text.png"}
    said = [line.split(": ")[:2] for line in err.splitlines()]
    assert [kind for kind, _ in said].count("error") == 2
    assert {Path(path).name for kind, path in said if kind == "note"} == set(read) - {
        "empty.png",
        "text.png",
    }  # nothing is in them


def complaint(kind, function, *arguments):
    """What is said against some arguments, which may only be an exception of one kind; nothing if they are fine."""
    try:
        function(*arguments)
    except kind as error:
        return str(error)
    return ""


texts = st.text(st.sampled_from("0123456789+-*/()=;君不流圳锁 x\n٣²") | st.characters(), max_size=60)


@given(texts)
def test_grammars_answer_any_text(text):
    for grammar in GRAMMARS:
        if grammar.contains(text):
            assert grammar.value(text) is not None or "/0" in text
        else:
            with pytest.raises(ExpressionError):
                grammar.value(text)
    assert "\n" not in complaint(ExpressionError, evaluate, text, {"x": 3})


@given(st.binary(max_size=200))
def test_labels_answer_any_bytes(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("labels", numbered=True)
    for name in ("labels.txt", "labels.tsv", "labels.csv", "0.gt.txt"):
        (folder / name).write_bytes(data)
        assert "\n" not in complaint(UserError, parse_labels, folder)
        (folder / name).unlink()


@given(st.binary(max_size=200))
def test_votes_answer_any_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("votes", numbered=True) / "a.tsv"
    path.write_bytes(data)
    assert "\n" not in complaint(UserError, vote_files, [path, path])


@given(texts)
def test_alphabets_answer_any_text(text):
    try:
        alphabet = Alphabet(text)
    except UserError:
        return
    assert alphabet.decode(alphabet.encode(text)) == text


@pytest.mark.slow
def test_a_hundred_thousand_texts_and_none_takes_long():
    """True texts with a few characters changed: they go further into a grammar than chance alone does."""
    chance, longest = random.Random(0), 0.0
    for i in range(100_000):
        grammar = GRAMMARS[i % 2]
        text = list(grammar.sample(Draws(0, "train", i)))
        for _ in range(chance.randrange(4)):
            place = chance.randrange(len(text) + 1)
            text[place : place + chance.randrange(2)] = chance.choice(grammar.alphabet.characters + "() x")
        changed = "".join(text) * (1 if i % 100 else 50)
        begun = time.perf_counter()
        complaint(ExpressionError, grammar.value, changed)
        longest = max(longest, time.perf_counter() - begun)
    assert longest < 0.5


@pytest.mark.parametrize("text", ["(" * 10_000, "1" * 100_000, "1+" * 50_000 + "1", "((((" + "1" * 900 + "))))"])
def test_long_expressions_are_refused_at_once(text):
    begun = time.perf_counter()
    complaint(ExpressionError, evaluate, text)
    assert time.perf_counter() - begun < 0.2
