"""Small data of every kind that is read; a reader of your own is a line here."""

import numpy as np
import pytest

RNG = np.random.default_rng(0)
BITS = RNG.random((40, 6)) < 0.4
REALS = RNG.normal(2.0, 3.0, (40, 6)).astype(np.float32)
COUNTS = RNG.integers(0, 5, (40, 6))
SEQUENCES = ["".join(RNG.choice([*"ACGT-"], 7)) for _ in range(30)]


def npz(folder):
    np.savez(folder / "x.npz", images=BITS.reshape(40, 2, 3), labels=np.arange(40))
    return folder / "x.npz"


def memory_map(folder):
    np.save(folder / "x.npy", REALS)
    return np.load(folder / "x.npy", mmap_mode="r")


def frame(folder):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(
        {
            "age": np.where(np.arange(40) % 7 == 0, np.nan, RNG.normal(40, 9, 40)),
            "visits": COUNTS[:, 0],
            "smokes": BITS[:, 0],
            "colour": pandas.Categorical(
                np.where(BITS[:, 1], "red", "blue"), ["blue", "green", "red"]
            ),
            "town": [None if i % 9 == 0 else "abc"[i % 3] for i in range(40)],
        }
    )


def csv(folder):
    frame(folder).to_csv(folder / "x.csv", index=False)
    return folder / "x.csv"


def parquet(folder):
    frame(folder).to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def hdf5(folder):
    with pytest.importorskip("h5py").File(folder / "x.h5", "w") as file:
        file.create_dataset("group/values", data=REALS, chunks=(8, 6))
        file["labels"] = np.arange(40)
    return folder / "x.h5"


def matrix_market(folder):
    scipy = pytest.importorskip("scipy")
    scipy.io.mmwrite(folder / "x.mtx", scipy.sparse.coo_array(COUNTS))
    return folder / "x.mtx"


def sparse(folder):
    return pytest.importorskip("scipy.sparse").csr_array(BITS)


def fasta(folder):
    records = [f">sequence {i}\n{x[:4]}\n{x[4:]}\n" for i, x in enumerate(SEQUENCES)]
    (folder / "x.fasta").write_text("".join(records))
    return folder / "x.fasta"


def images(folder):
    pillow = pytest.importorskip("PIL.Image")
    for index, row in enumerate(RNG.integers(0, 256, (12, 4, 5)).astype(np.uint8)):
        (folder / "images" / "ab"[index % 2]).mkdir(parents=True, exist_ok=True)
        name = folder / "images" / "ab"[index % 2] / f"{index}.png"
        pillow.fromarray(row).save(name)
    return folder / "images"


def torch_dataset(folder):
    torch = pytest.importorskip("torch")
    x = torch.as_tensor(BITS.astype(np.float32)).reshape(40, 1, 2, 3)
    return torch.utils.data.TensorDataset(x, torch.arange(40))


def torch_loader(folder):
    data = pytest.importorskip("torch").utils.data
    return data.DataLoader(torch_dataset(folder), batch_size=16, shuffle=True)


def hugging_face(folder):
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({"x": REALS.tolist(), "kind": ["a", "b"] * 20})


def grain(folder):
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(BITS).shuffle(0).to_iter_dataset().batch(8)


def tf_data(folder):
    data = pytest.importorskip("tensorflow").data
    return data.Dataset.from_tensor_slices((REALS, np.arange(40))).batch(8)


SOURCES = [
    npz,
    memory_map,
    frame,
    csv,
    parquet,
    hdf5,
    matrix_market,
    sparse,
    fasta,
    images,
    torch_dataset,
    torch_loader,
    hugging_face,
    grain,
    tf_data,
]
# What may be larger than memory.
LARGE = [memory_map, hdf5, matrix_market, torch_loader, grain, tf_data]
