"""What other programs store is found by name, in files and objects, and goes back."""

import pickle
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.errors import InvalidType, InvalidValue, MissingPackage
from jboltz.weights import Convention, read, to_arrays, to_sklearn
from tests.helpers import binary_states, draw_like

B, G = jboltz.Bernoulli, jboltz.Gaussian
RBM = jboltz.RBM(B(3), B(2))
PARAMS = draw_like(RBM.init(jax.random.key(0)), jax.random.key(1))
W, A, C = (
    np.asarray(x) for x in (PARAMS.weights, PARAMS.visible.bias, PARAMS.hidden.bias)
)


def assert_same(found, expected=(RBM, PARAMS)):
    assert found[0] == expected[0]
    assert jax.tree.structure(found[1]) == jax.tree.structure(expected[1])
    for x, y in zip(*map(jax.tree.leaves, (found[1], expected[1])), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize(
    "names",
    [
        ("W", "a", "b"),
        ("_W", "_a", "_b"),
        ("W", "b", "c"),
        ("W", "v_bias", "h_bias"),
        ("rbm.weight", "rbm.bias_v", "rbm.bias_h"),
        ("weights", "vb", "hb"),
        ("weight_matrix", "vbias", "hbias"),
    ],
)
def test_arrays_by_their_usual_names(names, is_turned):
    arrays = dict(zip(names, (W, A, C), strict=True))
    if is_turned and names[0] == "weight_matrix":
        return  # These are never (hidden, visible).
    arrays[names[0]] = W.T if is_turned else W
    assert_same(read(arrays | {"n_updates": np.array(3)}))


def test_names_of_ones_own_and_two_rbms_are_told_apart():
    arrays = {"W": W, "one": A, "two": C, "b": A, "c": C}
    assert_same(read(arrays, names=("W", "one", "two")))
    with pytest.raises(InvalidValue, match=r"`weights` have shape \(3, 2\)"):
        read({"W": W, "a": A, "b": A})
    with pytest.raises(InvalidValue, match=r"has W, x, among which.*`names="):
        read({"W": W, "x": A})
    for nothing in ({}, 3, np.ones(3)):
        with pytest.raises(InvalidValue, match="has nothing"):
            read(nothing)
    with pytest.raises(InvalidValue, match="at least one"):
        read([])
    with pytest.raises(InvalidType, match="`b` has dtype <U4"):
        read({"W": W, "a": A, "b": "text"})


def test_square_weights_have_to_be_told():
    arrays = {"W": W[:2], "v_bias": C, "h_bias": C}
    with pytest.raises(InvalidValue, match=r"square weights 'W', \(2, 2\)"):
        read(arrays)
    np.testing.assert_allclose(read(arrays, transpose=True)[1].weights, W[:2].T)
    of_rbms = {"weight_matrix": W[:2], "vbias": C, "hbias": C}
    np.testing.assert_allclose(read(of_rbms)[1].weights, W[:2])


class TorchRBM:
    """An RBM as tutorials have it, with weights (hidden, visible)."""

    def __new__(cls):
        torch = pytest.importorskip("torch")
        net = torch.nn.Module()
        for name, x in (("W", W.T), ("v_bias", A), ("h_bias", C)):
            net.register_parameter(name, torch.nn.Parameter(torch.tensor(x)))
        return net


def test_a_module_of_torch_has_its_free_energy(tmp_path):
    torch = pytest.importorskip("torch")
    net = TorchRBM()
    rbm, params = read(net.state_dict())
    v = torch.tensor(np.array(binary_states(3)))
    inputs = torch.nn.functional.linear(v, net.W, net.h_bias)
    theirs = -v @ net.v_bias - torch.nn.functional.softplus(inputs).sum(1)
    ours = jax.vmap(rbm.free_energy, (None, 0))(params, binary_states(3))
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    assert_same(read(tmp_path / "net.pth"))
    names = "W", "v_bias", "h_bias"
    arrays = to_arrays(RBM, PARAMS, names=names, transpose=True)
    net.load_state_dict({name: torch.from_numpy(x) for name, x in arrays.items()})
    assert_same(read(net.state_dict()))
    with pytest.raises(InvalidType, match=r"pass `tensor\.detach"):
        read(dict(net.named_parameters()))


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_unpickled(tmp_path):
    torch = pytest.importorskip("torch")
    trap = Trap(tmp_path / "sprung")
    torch.save({"W": trap}, tmp_path / "trap.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(trap))
    np.savez(tmp_path / "trap.npz", W=np.array([trap], object))
    for name in ("trap.pth", "model.pth", "plain.pt", "trap.npz"):
        with pytest.raises(
            InvalidValue, match=rf"{name}, which is damaged or holds more"
        ):
            read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_an_archive_that_grows_beyond_the_limit_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("W.npy", "w", force_zip64=True) as member:
            for _ in range(9):
                member.write(bytes(2**26))
    with pytest.raises(InvalidValue, match="its arrays have 603979776 bytes"):
        read(tmp_path / "bomb.npz")


@pytest.mark.parametrize("end", [".npz", ".mat", ".pth", ".pt", ".h5"])
def test_files_of_nonsense(end, tmp_path):
    for package in ("torch", "h5py", "scipy"):
        pytest.importorskip(package)
    for content in (b"", b"nonsense" * 100):
        (tmp_path / f"x{end}").write_bytes(content)
        with pytest.raises(InvalidValue, match=rf"x\{end}, which is damaged or holds"):
            read(tmp_path / f"x{end}")
    with pytest.raises(InvalidValue, match=rf"other\{end}, which is no file"):
        read(tmp_path / f"other{end}")
    with pytest.raises(InvalidValue, match=r"does not end in one of \.npz"):
        read(tmp_path / "x.pkl")


def test_an_archive_of_numpy(tmp_path):
    np.savez(tmp_path / "rbm.npz", W=W.T, vb=A, hb=C)
    assert_same(read(str(tmp_path / "rbm.npz")))


def test_matlabs_programs(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(tmp_path / "rbm.mat", to_arrays(RBM, PARAMS, names="hinton"))
    assert_same(read(tmp_path / "rbm.mat"))
    rng = np.random.default_rng(0)
    layers = {
        "mnistvh": ("vishid", "visbiases", "hidrecbiases", 4, 3),
        "mnisthp": ("hidpen", "hidgenbiases", "penrecbiases", 3, 2),
        "mnistpo": ("hidtop", "topgenbiases", "toprecbiases", 2, 2),
    }
    found, together = [], {}
    for file, (weights, visible, hidden, n, m) in layers.items():
        arrays = {weights: rng.normal(size=(n, m)), visible: rng.normal(size=(1, n))}
        arrays[hidden] = rng.normal(size=(1, m))
        together |= arrays
        savemat(tmp_path / f"{file}.mat", arrays)
        found.append(tmp_path / f"{file}.mat")
    dbn, params = read(found)
    assert dbn == jboltz.DBN.chain(B(4), B(3), B(2), G(2))
    np.testing.assert_allclose(params[2].weights, together["hidtop"], rtol=1e-6)
    assert_same(read(together), (dbn, params))
    with pytest.raises(InvalidValue, match="do not chain"):
        read(found[::-1])


def test_layers_with_prefixes_are_a_dbn():
    dbn = jboltz.DBN.chain(B(3), B(2), B(4))
    params = draw_like(dbn.init(jax.random.key(0)), jax.random.key(2))
    arrays = {
        f"layers.{index}.{name}": x
        for index, layer in enumerate(params)
        for name, x in to_arrays(dbn.layers[index], layer, names="learnergy").items()
    }
    assert_same(read(arrays), (dbn, params))


def test_scikit_learns_machine():
    neural_network = pytest.importorskip("sklearn.neural_network")
    data = np.random.default_rng(0).integers(0, 2, (20, 3)).astype(float)
    theirs = neural_network.BernoulliRBM(2, n_iter=2, random_state=0).fit(data)
    rbm, params = read(theirs)
    ours = jax.vmap(rbm.mean_hidden_state, (None, 0))(params, jnp.asarray(data))
    np.testing.assert_allclose(ours, theirs.transform(data), rtol=1e-5)
    back = to_sklearn(rbm, params)
    np.testing.assert_allclose(back.transform(data), theirs.transform(data), rtol=1e-5)
    square = neural_network.BernoulliRBM(3, n_iter=1, random_state=0).fit(data)
    np.testing.assert_allclose(read(square)[1].weights, square.components_.T, rtol=1e-6)
    with pytest.raises(InvalidValue, match="fit the estimator first"):
        read(neural_network.BernoulliRBM())
    with pytest.raises(InvalidValue, match="Bernoulli units alone"):
        to_sklearn(jboltz.RBM(G(3), B(2)), PARAMS)


def write_archive(h5py, path, kind, **arrays):
    with h5py.File(path, "w") as file:
        file["model_type"] = kind
        for step in (9, 10):
            for name, array in arrays.items():
                file[f"update_{step}/params/{name}"] = array * (step == 10)


def test_archives_of_rbms(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "rbms.h5"
    write_archive(h5py, path, "BBRBM", weight_matrix=W, vbias=A, hbias=C)
    assert_same(read(path))
    weights, bias = np.arange(12.0).reshape(2, 3, 2), np.arange(6.0).reshape(2, 3)
    write_archive(h5py, path, "PBRBM", weight_matrix=weights, vbias=bias, hbias=C)
    rbm, params = read(path)
    assert rbm == jboltz.RBM(jboltz.Softmax(2, 3), B(2))
    for values in ((0, 2), (1, 1)):
        v, h = jnp.eye(3)[jnp.array(values)], np.array([1.0, 0.0])
        sites = np.arange(2), list(values)
        theirs = -bias[sites].sum() - C @ h - (weights[sites] @ h).sum()
        np.testing.assert_allclose(rbm.energy(params, v, jnp.asarray(h)), theirs, 1e-5)
    write_archive(h5py, path, "BGRBM", weight_matrix=W, vbias=A, hbias=C)
    with pytest.raises(InvalidValue, match="of rbms a BBRBM or PBRBM"):
        read(path)


def test_gaussian_units_by_their_names():
    sigma = np.array([0.5, 1.0, 2.0])
    rbm = jboltz.RBM(G(3), B(2))
    found, params = read({"W": W, "a": A, "b": C, "sigma": sigma})
    assert found == rbm
    np.testing.assert_allclose(
        params.visible.log_variance, 2 * np.log(sigma), atol=1e-6
    )
    of_grbm = {"W": W, "mu": A, "b": C, "log_var": 2 * np.log(sigma)}
    assert_same(read(of_grbm), (rbm, params))
    assert_same(read(to_arrays(rbm, params, names="learnergy")), (rbm, params))
    plain = read({"W": W, "a": A, "b": C}, rbm=rbm)[1]
    assert not plain.visible.log_variance.any()
    by_deviation = Convention(coupling="deviation")
    found = read({"W": W, "a": A, "b": C, "sigma": sigma}, convention=by_deviation)[1]
    np.testing.assert_allclose(found.weights, sigma[:, None] * W, rtol=1e-6)


def test_what_has_no_usual_names_is_not_written():
    rbm = jboltz.RBM(B(3), jboltz.ReLU(2))
    with pytest.raises(InvalidValue, match="layer of bias, log_precision"):
        to_arrays(rbm, rbm.init(jax.random.key(0)), names="learnergy")
    with pytest.raises(InvalidValue, match=r"`names` is 'other' but .* learnergy,"):
        to_arrays(RBM, PARAMS, names="other")


def test_a_package_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    (tmp_path / "x.mat").touch()
    with pytest.raises(
        MissingPackage, match=r"needs scipy.*pip install 'jboltz\[weights"
    ):
        read(tmp_path / "x.mat")
