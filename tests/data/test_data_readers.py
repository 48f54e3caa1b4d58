"""Readers: what each makes of its files, and what it says of files that are none."""

import gzip
import importlib

import numpy as np
import pytest

from jboltz import Bernoulli, Binomial, Gaussian, Softmax
from jboltz.data import read
from jboltz.data.readers import HDF5, READERS, Arrays, Fasta, Images, Sparse, Tables
from jboltz.data.readers.fasta import identity_weights
from jboltz.data.readers.protocol import Reader
from jboltz.errors import import_extra
from tests.data import cases


def test_every_reader_is_a_reader_and_reads_a_case():
    assert all(isinstance(reader, Reader) for reader in READERS)
    names = " ".join(case.__name__ for case in cases.SOURCES)
    for name in "npz csv sparse hdf5 fasta images torch hugging grain".split():
        assert name in names


def test_a_package_that_is_missing_is_named_with_its_extra():
    with pytest.raises(ImportError, match=r"no_such.*pip install 'jboltz\[readers\]'"):
        import_extra("readers", "no_such_package", "a table")


# Arrays


def test_arrays_are_chosen_by_name(tmp_path):
    np.savez(tmp_path / "x.npz", train=cases.BITS, test=cases.COUNTS)
    assert read(tmp_path / "x.npz", Arrays("test")).unit == Binomial(6, trials=4)
    with pytest.raises(ValueError, match=r"`select` is None but .*'train', 'test'"):
        read(tmp_path / "x.npz")


def test_a_file_is_mapped_and_read_in_chunks(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3000, 100), np.float64))
    source = read(str(tmp_path / "x.npy"), most_bytes=10**6).source
    assert source.chunk == 2**20 // 800


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.npy", b"", "cannot be read by `Arrays"),
        ("x.npy", b"PK\x03\x04 is no array", "cannot be read by `Arrays"),
        ("x.npz", b"no archive", r"x\.npz: it cannot be read .*not a zip file"),
        ("x.fasta", b"", "begins with '>'"),
        ("x.fasta", b"a,b\n1,2\n", "begins with '>'"),
        ("x.fasta.gz", b"no gzip", "cannot be read by `Fasta"),
        ("x.mtx", b"no matrix", "cannot be read by `Sparse"),
        ("x.pkl", b"", "A pickle could run code"),
        ("x", b"", "ends in ''"),
    ],
)
def test_a_file_that_is_something_else_is_refused(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read(tmp_path / name)


class Opened:
    """Leaves a trace if it is unpickled."""

    def __reduce__(self):
        return (importlib.import_module, ("this_module_is_never_imported",))


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_objects_are_never_unpickled(name, tmp_path):
    objects = np.array([[Opened()], [Opened()]])
    if name == "x.npy":
        np.save(tmp_path / name, objects, allow_pickle=True)
    else:
        np.savez(tmp_path / name, x=objects)
    words = r"Pickled objects are never|Object arrays cannot be loaded"
    with pytest.raises(ValueError, match=words):
        read(tmp_path / name)


# Sparse matrices


def test_entries_that_are_absent_are_zeros_or_gaps(tmp_path):
    scipy = pytest.importorskip("scipy")
    matrix = scipy.sparse.csr_array(np.array([[0, 3], [5, 0]]))
    assert read(matrix).data.values.tolist() == [[0, 3], [5, 0]]
    examples = read(matrix, Sparse(absent_is_missing=True))
    assert examples.data.mask.tolist() == [[False, True], [True, False]]
    scipy.sparse.save_npz(tmp_path / "x.npz", matrix)
    assert read(tmp_path / "x.npz").data.values.tolist() == [[0, 3], [5, 0]]
    with pytest.raises(ValueError, match=r"shape \(0, 2\)"):
        read(scipy.sparse.csr_array((0, 2)))


# FASTA


def write(folder, text, name="x.fasta"):
    (folder / name).write_bytes(text.encode())
    return folder / name


def test_letters_are_categories_and_unknown_ones_gaps(tmp_path):
    found = read(write(tmp_path, ">a\nAC-\n>b comment\nG\nNt\n"))
    assert found.unit == Softmax(3, 5)
    values, mask = found.data.values, found.data.mask
    assert values.argmax(axis=2)[0].tolist() == [1, 2, 0]
    assert mask.tolist() == [[True] * 3, [True, False, True]]
    assert "DNA" in found.note
    assert read(write(tmp_path, ">a\nACU\n")).unit == Softmax(3, 5)
    assert read(write(tmp_path, ">a\nMKX\n")).unit == Softmax(3, 21)
    (tmp_path / "x.fa.gz").write_bytes(gzip.compress(b">a\nABA\n"))
    assert read(tmp_path / "x.fa.gz", Fasta("AB")).unit == Softmax(3, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (">a\nACG\n>b\nAC\n", "'b' has 2 letters and 'a' has 3"),
        (">a\n>b\n", "'a' has 0 letters"),
        (">a\nACG\n>b\nA1G\n", "'b' has '1' at site 1 but the letters of protein"),
    ],
)
def test_sequences_that_are_not_aligned_are_refused(text, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        read(write(tmp_path, text))


def test_weights_are_one_over_the_number_of_sequences_that_are_alike():
    letters = np.array([[*x] for x in cases.SEQUENCES])
    letters[3], letters[4, :6] = letters[0], letters[0, :6]
    agree = (letters[:, None] == letters[None]).mean(axis=2)
    expected = 1 / (agree >= 5 / 7).sum(axis=1)
    np.testing.assert_allclose(identity_weights(letters, 5 / 7), expected, rtol=1e-6)


def test_weights_by_identity_come_with_the_examples(tmp_path):
    path = write(tmp_path, ">a\nACGT\n>b\nACGT\n>c\nTTTT\n")
    np.testing.assert_allclose(read(path).data.weights, [0.5, 0.5, 1])
    assert read(path, Fasta(identity=None)).data.weights is None


# Images


def test_images_are_gray_or_colour_and_of_one_size(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    folder = cases.images(tmp_path)
    assert read(folder).unit == Bernoulli(20)
    pillow.new("RGB", (5, 4)).save(folder / "z.png")
    assert read(folder).unit == Bernoulli(60)
    pillow.new("L", (3, 3)).save(folder / "odd.png")
    with pytest.raises(ValueError, match=r"odd\.png is \(3, 3\) and .* is \(4, 5\)"):
        read(folder)
    assert read(folder, Images(size=(2, 2))).unit == Bernoulli(12)
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png is no image"):
        read(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file that ends in"):
        read(tmp_path / "empty")


# Tables


def test_a_table_without_names_and_a_wide_table(tmp_path):
    pytest.importorskip("pandas")
    text = "\n".join(",".join(map(str, row)) for row in cases.COUNTS)
    found = read(write(tmp_path, text, "x.csv"))
    assert len(found.data.values) == 40
    assert found.unit == Binomial(6, trials=4)
    counted = ",".join(map(str, range(6)))
    assert len(read(write(tmp_path, f"{counted}\n{text}", "x.csv")).data.values) == 40
    pixels = np.random.default_rng(0).integers(0, 256, (20, 70))
    pixels[0, :2] = 0, 255
    wide = "\n".join(["\t".join(f"p{i}" for i in range(70))])
    rows = "\n".join("\t".join(map(str, row)) for row in pixels)
    assert read(write(tmp_path, f"{wide}\n{rows}", "x.tsv")).unit == Bernoulli(70)


def test_what_no_unit_takes_in_a_table_is_refused(tmp_path):
    pandas = pytest.importorskip("pandas")
    dates = pandas.DataFrame({"day": pandas.to_datetime(["2020-01-01", "2021-01-01"])})
    with pytest.raises(TypeError, match=r"`day` holds .*Timestamp"):
        read(dates)
    with pytest.raises(TypeError, match=r"`z` holds .*complex"):
        read(pandas.DataFrame({"z": [1j, 2]}))
    names = pandas.DataFrame({"name": [f"n{i}" for i in range(300)]})
    with pytest.raises(ValueError, match="`name` has 300 different values"):
        read(names)
    with pytest.raises(
        ValueError, match=r"lacks \['x'\] and has the columns \['name'\]"
    ):
        read(names, Tables(without=("x",)))
    with pytest.raises(ValueError, match="0 rows"):
        read(names[:0])
    with pytest.raises(ValueError, match="cannot be read by `Tables"):
        read(write(tmp_path, "", "x.csv"))
    assert len(read(write(tmp_path, "a;b\n1;2\n0;3\n", "x.csv")).encoding.units) == 2
    with pytest.raises(ValueError, match="cannot be read by `Tables"):
        read(write(tmp_path, "a,b\n1,2\n1,2,3\n", "x.csv"))
    objects = pandas.DataFrame({"b": [True, None, False]})
    assert read(objects).unit == Bernoulli(1)
    nullable = pandas.DataFrame({"n": pandas.array([1, None, 3], dtype="Int64")})
    assert read(nullable).data.mask.tolist() == [[True], [False], [True]]


# HDF5


def test_arrays_of_a_file_are_chosen_by_name_and_read_in_its_chunks(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = cases.hdf5(tmp_path)
    found = read(path, most_bytes=0)
    assert found.unit == Gaussian(6)
    assert found.source.chunk == 43688 // 8 * 8
    picked = found.source.take(np.array([1, 2, 7, 30]))["values"]
    np.testing.assert_array_equal(picked, cases.REALS[[1, 2, 7, 30]])
    path = tmp_path / "y.h5"
    with h5py.File(path, "w") as file:
        file["values"] = cases.REALS
        file["texts"] = [["a"], ["b"]]
        file["line"] = np.arange(3)
    with pytest.raises(ValueError, match=r"arrays of rows \['texts', 'v"):
        read(path)
    with pytest.raises(TypeError, match="texts` has dtype object"):
        read(path, HDF5("texts"))
    with h5py.File(path) as file, pytest.raises(ValueError, match=r"shape \(3,\)"):
        read(file["line"])
