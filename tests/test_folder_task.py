"""Folders of pictures of any size as a task of their own."""

import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image
from sources import Bars

import crnn_jax
from crnn_jax import Alphabet, UserError, tasks
from crnn_jax.data.augment import AugmentedSource, augment
from crnn_jax.data.examples import Example
from crnn_jax.drawing.random import Draws
from crnn_jax.regular import Regular
from crnn_jax.training.config import Config
from crnn_jax.training.rundir import describe


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """Pictures of several sizes; their names are their texts."""
    folder = tmp_path_factory.mktemp("bars")
    for i in range(300):
        example = Bars("train", 3)[i]
        picture = Image.fromarray(example.image).resize((64 * (1 + i % 3), 16 * (1 + i % 2)))
        picture.save(folder / f"{example.text}_{i}.png")
    return folder


def test_names_are_texts_and_widths_follow_the_pictures(bars, caplog):
    task = tasks.folder(bars, height=16)
    assert "names are taken for texts" in caplog.text
    assert task.alphabet.characters == "01"
    assert task.max_length == 3
    assert task.preparation.widths[-1] == 192
    assert list(task.preparation.widths) == sorted(set(task.preparation.widths))
    assert task.preparation.grey
    examples = [task.source(split, 0) for split in ("train", "validation", "test")]
    assert len(examples[0]) % 1000 == 0  # variants
    assert len(examples[0]) // 1000 + len(examples[1]) + len(examples[2]) == 300


def test_small_pictures_are_enlarged_and_large_ones_made_smaller(bars):
    task = tasks.folder(bars, height=32, augment=0)
    for height, width in ((16, 64), (32, 64), (64, 256)):
        assert task.preparation(np.full((height, width, 3), 9, np.uint8)).shape[0] == 32
    prepared = task.preparation(np.full((16, 64, 3), 9, np.uint8))
    assert prepared.shape[1] == 128
    assert prepared.all()


def test_the_alphabet_of_a_grammar_is_taken(bars):
    ab = Regular("[10]+", Alphabet("10"))  # another order than that of the characters found
    assert tasks.folder(bars, grammar=ab).alphabet == ab.alphabet


def test_a_grammar_of_ones_own_is_named_by_a_flag(bars, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "bits.py").write_text(
        "from itertools import product\nfrom sources import Words\nfrom crnn_jax import Alphabet, Grammar\n"
        "class Bits(Words):\n    name, alphabet = 'bits', Alphabet('01')\n"
        "    words = [''.join(bits) for length in (1, 2, 3) for bits in product('01', repeat=length)]\n"
        "class Endless(Grammar):\n    name, alphabet = 'endless', Alphabet('01')\n"
        "    advance = completion = sample = None\n"
    )
    from experiments import folder

    def made(*options):
        with flagsaver.flagsaver():
            flags.FLAGS(["folder", "--height=16", *options])
            return folder._from_folder(None, str(bars), "refuse", False)

    task = made("--grammar=bits:Bits")
    assert describe(task)["grammar"] == "bits"
    assert task.grammar.contains("010")
    with pytest.raises(UserError, match="see its start"):
        made("--grammar=bits:Endless")
    with pytest.raises(UserError, match="bits has no such class"):
        made("--grammar=bits:Pieces")
    with pytest.raises(UserError, match="'bits' is about the characters '01'"):
        made("--grammar=bits:Bits", "--alphabet=012")
    with pytest.raises(UserError, match="not both"):
        made("--grammar=bits:Bits", "--pattern=[01]+")


@pytest.mark.parametrize("options", [{"height": 0}, {"height": -5}, {"augment": -1}])
def test_numbers_out_of_range(bars, options):
    with pytest.raises(UserError, match="must be at least"):
        tasks.folder(bars, **options)


def test_a_given_alphabet_and_a_pattern(bars):
    task = tasks.folder(bars, "012", pattern="[01]{1,3}")
    assert task.alphabet.characters == "012"
    assert task.grammar.contains("010")
    assert not task.grammar.contains("02")
    with pytest.raises(UserError, match=r"is not a text of regex:\[01\]"):
        tasks.folder(bars, pattern="[01]")
    with pytest.raises(UserError, match="'1' "):
        tasks.folder(bars, "0")


@pytest.mark.parametrize("pattern", ["(", "[", "a{2"])
def test_patterns_that_can_not_be_used(bars, pattern):
    with pytest.raises(UserError, match="regular expression"):
        tasks.folder(bars, pattern=pattern)


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(UserError, match="holds no pictures"):
        tasks.folder(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        tasks.folder(tmp_path / "none")


def test_variants_are_pure_functions_of_the_index():
    class One:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return Example(np.tile(np.arange(96, dtype=np.uint8)[None, :, None] * 2, (32, 1, 3)), str(index))

    source = AugmentedSource(One(), seed=1, strength=1.0)
    assert len(source) == 2000
    variants = [source[i].image for i in range(0, 100, 2)]
    assert all(variant.shape == (32, 96, 3) and variant.dtype == np.uint8 for variant in variants)
    assert len({variant.tobytes() for variant in variants}) > 30
    np.testing.assert_array_equal(source[42].image, source[42].image)
    assert source[43].text == "1"
    np.testing.assert_array_equal(augment(variants[0], Draws(0, "train", 0), 0.0), variants[0])


def test_photographs_are_changed_at_the_size_that_is_seen_of_them():
    class Photograph:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return Example(np.full((800, 1200, 3), 99, np.uint8), "1")

    source = AugmentedSource(Photograph(), seed=1, strength=1.0, height=96)
    assert {source[i].image.shape for i in range(20)} == {(96, 144, 3)}
    wide = np.full((2, 66_000, 3), 99, np.uint8)  # more than a JPEG can have
    assert all(augment(wide, Draws(0, "train", i), 0.5).shape == wide.shape for i in range(10))


TINY = Config(backbone="light", rnn="none", hidden=16, epochs=1, steps_per_epoch=4, batch_size=8, workers=0)


def test_a_folder_is_learned_read_and_taken_further(bars, tmp_path, caplog):
    report = crnn_jax.train(tasks.folder(bars, pattern="[01]{1,3}", height=16), TINY, tmp_path / "run")
    assert report.computable == 1
    model = crnn_jax.load(tmp_path / "run")
    readings = model.read(sorted(bars.iterdir())[:5])
    assert all(model.grammar.contains(reading.text) for reading in readings)

    config = Config(
        **{**vars(TINY), "init_from": str(tmp_path / "run"), "epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-9}
    )
    crnn_jax.train(tasks.folder(bars, "0x1", height=16), config, tmp_path / "further")
    assert "2 of 3 characters are known to it; fresh: nothing else" in caplog.text
    before, after = (crnn_jax.load(tmp_path / name).variables["params"]["classifier"]["kernel"] for name in ("run", "further"))
    np.testing.assert_allclose(np.asarray(before), np.asarray(after)[:, [0, 2, 3]], atol=1e-6)


def test_one_odd_picture_does_not_set_the_width(bars, tmp_path, caplog):
    for path in sorted(bars.iterdir())[:60]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    Image.new("RGB", (3000, 4)).save(tmp_path / "1_999.png")
    assert tasks.folder(tmp_path, height=16).preparation.width < 500
    assert "1_999.png is far wider than most" in caplog.text


def test_pictures_that_a_camera_stored_lying(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(60):
        Image.new("RGB", (20, 100), (i, 0, 0)).save(tmp_path / f"01_{i}.jpg", exif=exif)
    assert tasks.folder(tmp_path, height=16).preparation.width == 96


def test_what_is_wrong_with_the_labels_comes_first(bars, tmp_path):
    (tmp_path / "labels.csv").write_text("filename,label\n0.png,A\n")
    with pytest.raises(UserError, match="must name the columns file and text, not filename, label"):
        tasks.folder(tmp_path)
    (tmp_path / "labels.csv").write_text("file,text\n0.png,A\n")
    for bad_examples in ("refuse", "skip"):
        with pytest.raises(UserError, match=r"there is no picture 0\.png"):
            tasks.folder(tmp_path, bad_examples=bad_examples)


@pytest.mark.parametrize("strength", [-0.5, float("nan"), float("inf")])
def test_what_can_t_be_a_strength(bars, strength):
    with pytest.raises(UserError, match=r"augment=.* at least 0"):
        tasks.folder(bars, augment=strength)


@pytest.mark.parametrize(
    "make",
    [
        lambda share: tasks.captcha(older=share),
        lambda share: tasks.level1(hard=share),
        lambda share: tasks.level2(variety=share),
    ],
)
def test_what_can_t_be_a_share(make):
    make(1.0)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match=f"={share} must be a share"):
            make(share)
