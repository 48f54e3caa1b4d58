"""CIFAR-10 from the official tarball or an .npz file; anything else is refused."""

import gzip
import io
import os
import pathlib
import tarfile
import zipfile

import numpy as np
import pytest

from jboltz import files
from jboltz.data import cifar10, fingerprint, load_cifar10
from jboltz.data.cifar10 import parse_tarball
from tests.data.publishing import Server, publish_files

TARBALL = "cifar-10-binary.tar.gz"
BATCHES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
NUM_RECORDS = 2  # of the small stand-in, in each of its files


def small_records():
    """(files, records, bytes) in place of 6 × 10 000 records."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (6, NUM_RECORDS, 3073)).astype(np.uint8)
    records[..., 0] %= 10
    return records


def small_members():
    return {
        f"cifar-10-batches-bin/{name}": records.tobytes()
        for name, records in zip(BATCHES, small_records(), strict=True)
    } | {"cifar-10-batches-bin/readme.html": b"<html>"}


def tarball(members):
    """A .tar.gz of (name, bytes) or (name, TarInfo)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def small_tarball(monkeypatch):
    """A stand-in for the published file, at a dead address."""
    content = tarball(small_members())
    publish_files(
        monkeypatch, "cifar10", {TARBALL: content}, "http://127.0.0.1:9/files/"
    )
    return content


@pytest.fixture
def manual_file(small_tarball, tmp_path):
    path = tmp_path / "manual" / TARBALL
    path.parent.mkdir()
    path.write_bytes(small_tarball)
    return path


def assert_is_small(data):
    """Pixel by pixel, from what the format's description says."""
    records = small_records()
    assert data.train.shape == (5 * NUM_RECORDS, 3072)
    assert data.test.shape == (NUM_RECORDS, 3072)
    assert data.train.dtype == data.test.dtype == np.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == np.int32
    assert data.image_shape == (32, 32, 3)
    images = data.train.reshape(-1, 32, 32, 3)
    places = [(0, 0, 0, 0, 0), (0, 0, 0, 1, 0), (0, 1, 5, 0, 2), (4, 1, 31, 30, 1)]
    for file, record, row, column, colour in places:
        place = 1 + 1024 * colour + 32 * row + column
        pixel = images[file * NUM_RECORDS + record, row, column, colour]
        assert pixel == records[file, record, place]
    assert data.train_labels.tolist() == records[:5, :, 0].ravel().tolist()
    assert data.test_labels.tolist() == records[5, :, 0].tolist()
    assert data.test[0, -1] == records[5, 0, -1]


@pytest.mark.parametrize("source", ["auto", "manual"])
def test_official_tarball_or_its_folder(manual_file, tmp_path, source):
    for manual_dir in (manual_file, manual_file.parent, str(manual_file)):
        data = load_cifar10(source, manual_dir=manual_dir, data_dir=tmp_path / "tfds")
        assert_is_small(data)
        assert data.source == "manual"
        assert data.note == (
            f"CIFAR-10: 10 training and 2 test images, from {manual_file.parent}."
        )
    assert not (tmp_path / "tfds").exists()


def test_download_fills_the_cache(small_tarball, tmp_path, monkeypatch):
    server = Server({TARBALL: small_tarball})
    publish_files(monkeypatch, "cifar10", server.files, server.url)
    try:
        first = load_cifar10(data_dir=tmp_path)
        second = load_cifar10("tfds", data_dir=tmp_path)
    finally:
        server.close()
    assert server.requests == [TARBALL]
    assert_is_small(first)
    assert first.source == second.source == "tfds"
    assert "downloaded into" in first.note
    assert "from the TFDS cache in" in second.note
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.parametrize("source", ["auto", "tfds"])
def test_without_a_source_the_error_says_what_to_do(small_tarball, tmp_path, source):
    with pytest.raises(ConnectionError, match="CIFAR-10 is not complete in") as caught:
        load_cifar10(source, data_dir=tmp_path)
    assert "run again with a network, or pass `manual_dir`" in str(caught.value)
    assert TARBALL in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>log in", gzip.compress(bytes(100_000_000))],
    ids=["empty", "text", "bomb"],
)
def test_damaged_tarball(manual_file, content):
    manual_file.write_bytes(content)
    with pytest.raises(ValueError, match="is not the published file: it") as caught:
        load_cifar10("manual", manual_dir=manual_file)
    assert str(caught.value).startswith(f"{manual_file} ")
    assert "delete it and fetch CIFAR-10 again from http" in str(caught.value)


def test_nothing_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    members = small_members() | {"../escaped": b"x", str(tmp_path / "absolute"): b"x"}
    assert len(parse_tarball(tarball(members))) == 4
    assert list(tmp_path.parent.rglob("escaped")) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["auto", "manual"])
def test_path_that_does_not_hold_it(tmp_path, source):
    python = tmp_path / "cifar-10-python.tar.gz"
    python.write_bytes(b"")
    for path, message in [
        (tmp_path / "typo", "no such folder"),
        (tmp_path, f"lacks {TARBALL}"),
        (python, f"is the file .* but must be {TARBALL}"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            load_cifar10(source, manual_dir=path, data_dir=tmp_path)
        assert "The binary version, 170 MB, is at https://www.cs.t" in str(caught.value)
        assert "pickles could run code" in str(caught.value)


def test_arguments_that_contradict_one_another(tmp_path):
    with pytest.raises(ValueError, match="CIFAR-10 comes from one of 'auto', 'tfds', "):
        load_cifar10("embedded")
    with pytest.raises(ValueError, match=f"reads {TARBALL}, an .npz file"):
        load_cifar10("manual")
    with pytest.raises(ValueError, match="source 'tfds' does not read it"):
        load_cifar10("tfds", manual_dir=tmp_path)


# An .npz file.


def small_arrays(num_train=20, num_test=3):
    rng = np.random.default_rng(1)
    count = num_train + num_test
    images = rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(count).astype(np.uint8) % 10
    return {
        "train_images": images[:num_train],
        "train_labels": labels[:num_train],
        "test_images": images[num_train:],
        "test_labels": labels[num_train:],
    }


@pytest.mark.parametrize("source", ["auto", "manual"])
@pytest.mark.parametrize("is_flat", [False, True])
def test_npz_or_its_folder(tmp_path, source, is_flat):
    arrays = small_arrays()
    path = tmp_path / "some.npz"
    stored = dict(arrays)
    if is_flat:
        stored["train_images"] = arrays["train_images"].reshape(20, 3072)
    np.savez_compressed(path, **stored)
    for manual_dir in (path, tmp_path):
        data = load_cifar10(source, manual_dir=manual_dir, data_dir=tmp_path / "tfds")
        assert data.source == "manual"
        assert data.name == "cifar10"
        assert data.image_shape == (32, 32, 3)
        assert data.note == (
            f"CIFAR-10: 20 of 50000 training and 3 of 10000 test images, from {path}."
        )
        train = arrays["train_images"].reshape(20, 3072)
        np.testing.assert_array_equal(data.train, train)
        np.testing.assert_array_equal(data.test, arrays["test_images"].reshape(3, 3072))
        assert data.train_labels.dtype == np.int32
        assert data.train_labels.tolist() == arrays["train_labels"].tolist()
        assert data.test_labels.tolist() == [0, 1, 2]


def test_npz_of_training_images_alone_holds_out_a_tenth(tmp_path):
    images = small_arrays()["train_images"]
    np.savez(tmp_path / "some.npz", train_images=images)
    data = load_cifar10("manual", manual_dir=tmp_path)
    np.testing.assert_array_equal(data.train, images[:18].reshape(18, -1))
    np.testing.assert_array_equal(data.test, images[18:].reshape(2, -1))
    assert data.train_labels is data.test_labels is None
    assert data.note.startswith(
        "CIFAR-10: 18 of 50000 training and 2 of 10000 test images (the last of the "
        "training images), from "
    )


def test_order_of_sources(manual_file, tmp_path):
    """The cache, then the tarball of a folder, then its .npz file."""
    np.savez(manual_file.parent / "some.npz", **small_arrays())
    arguments = {"manual_dir": manual_file.parent, "data_dir": tmp_path / "tfds"}
    assert len(load_cifar10(**arguments).train) == 10
    content = manual_file.read_bytes()
    manual_file.unlink()
    assert len(load_cifar10(**arguments).train) == 20
    (file,) = cifar10.CIFAR10.files
    cached = tmp_path / "tfds" / "downloads" / "cifar10" / file.cached_as
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    data = load_cifar10(**arguments)
    assert (data.source, len(data.train)) == ("tfds", 10)


def test_folder_with_several_npz_files_is_ambiguous(tmp_path):
    for name in ("one.npz", "two.npz"):
        np.savez(tmp_path / name, **small_arrays())
    with pytest.raises(ValueError, match=f"lacks {TARBALL}"):
        load_cifar10("manual", manual_dir=tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_images": None}, "lacks the array `train_images`"),
        ({"train_images": np.zeros((4, 32, 32, 3))}, "is float64 of shape"),
        ({"test_images": np.zeros((4, 3, 32, 32), np.uint8)}, r"\(4, 3, 32, 32\)"),
        ({"train_images": np.zeros((0, 3072), np.uint8)}, "is empty"),
        ({"train_images": np.array(7, np.uint8)}, r"of shape \(\)"),
        ({"train_labels": np.arange(20)}, "it holds the label 19"),
        ({"train_labels": np.arange(3)}, "there are 20 examples"),
        ({"test_labels": np.zeros(3)}, "labels are class numbers"),
        ({"test_images": None}, "came without `test`"),
        ({"train_images": np.array([{}])}, "Object arrays cannot be loaded"),
        ({"train_labels": np.array(["cat"] * 20)}, "Boltzmann machines need numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_npz_of_something_else(tmp_path, changed, message):
    path = tmp_path / "some.npz"
    arrays = small_arrays() | changed
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(ValueError, match=message) as caught:
        load_cifar10("manual", manual_dir=path)
    assert str(caught.value).startswith(f"{path} is not CIFAR-10 in an .npz file: ")


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "pickle"])
def test_damaged_npz(tmp_path, damage):
    path = tmp_path / "some.npz"
    np.savez_compressed(path, **small_arrays())
    good = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut": good[:-100],
            "flipped": good[:5000] + bytes([good[5000] ^ 1]) + good[5001:],
            "text": b"images",
            "pickle": b"\x80\x04K\x01.",
        }[damage]
    )
    with pytest.raises(ValueError, match="is not CIFAR-10 in an"):
        load_cifar10("manual", manual_dir=path)


def npy(header, body=b""):
    """A member as NumPy writes it, with a header of ours."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def header(shape, descr="|u1"):
    return repr({"descr": descr, "fortran_order": False, "shape": shape})


def archive(*members):
    """An .npz file of (name, bytes)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members:
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def flagged(content, flag=1):
    """The same, said to be encrypted, or by 32 patched."""
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = content.index(mark) + place
        content = content[:at] + bytes([content[at] | flag]) + content[at + 1 :]
    return content


ONE = npy(header((1, 3072)), bytes(3072))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(("train_images", npy(header((2**50, 3072))))), "cannot be read"),
        (
            archive(("train_images", npy(header((1, 3072)), bytes(9)))),
            "expected 3072 bytes got 9",
        ),
        (archive(("train_images", npy(header((-1, 3072))))), "negative dimensions"),
        (
            archive(("train_images", npy(header((1,), "|O"), b"."))),
            "Object arrays cannot",
        ),
        (archive(("train_images", npy("import os"))), "is not CIFAR-10"),
        (
            archive(("train_images", b"\x93NUMPY\x09\x00")),
            "only support format version",
        ),
        (archive(("train_images", b"")), "it cannot be read"),
        (archive(("train_images", npy("-" * 9000))), "it cannot be read"),
        (archive(("train_images", npy("(" * 90))), "it cannot be read"),
        (flagged(archive(("train_images", ONE)), 32), "it cannot be read"),
        (archive(("train_images", ONE + b"x")), "goes on after its array"),
        (flagged(archive(("train_images", ONE))), "is encrypted"),
        (archive(("train_labels", ONE)), "lacks the array `train_images`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_malicious_npz(tmp_path, content, message):
    path = tmp_path / "some.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_cifar10("manual", manual_dir=path)
    assert str(caught.value).startswith(f"{path} is not CIFAR-10 in an .npz file: ")


def test_sizes_of_an_npz_are_limited_before_it_is_decompressed(tmp_path, monkeypatch):
    path = tmp_path / "some.npz"
    np.savez_compressed(path, train_images=np.zeros((100, 3072), np.uint8))
    for limit, message in (
        (100_000, "its arrays have 307328 bytes, above 1000"),
        (100, "are read"),
    ):
        monkeypatch.setattr(files, "MOST_BYTES", limit)
        with pytest.raises(ValueError, match=message):
            load_cifar10("manual", manual_dir=path)


def test_a_pipe_in_place_of_an_npz_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "some.npz")
    with pytest.raises(ValueError, match="a folder, a pipe or a device"):
        load_cifar10("manual", manual_dir=tmp_path)


def test_real_images():
    folder = pathlib.Path(__file__).parents[3] / "shared" / "data" / "cifar10"
    path = folder / "cifar10-10k.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    data = load_cifar10("manual", manual_dir=path)
    assert data.train.shape == (10_000, 3072)
    assert data.test.shape == (1_000, 3072)
    assert data.train_labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert data.train[0, :3].tolist() == [59, 62, 63]
