"""Traces and samples become variables of ArviZ with its axes."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.errors import InvalidValue, MissingPackage


def test_traces_and_samples_have_the_axes_of_arviz(getkey):
    pytest.importorskip("arviz_base")
    rbm = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))
    params, sampler = rbm.init(getkey()), jboltz.TracedSampler(jboltz.Gibbs(rbm))
    chains = jboltz.init_chains(sampler, params, jnp.zeros((3, 4)), getkey())
    _, traces = jboltz.run_chains(sampler, params, chains, getkey(), num_steps=5)
    _, v, metrics = jboltz.sample(
        rbm, params, getkey(), warm_up=1, num_samples=5, num_chains=3, sampler=sampler
    )
    tree = jboltz.to_arviz(traces | {"v": v, "sampled": metrics["free_energy"]})
    posterior = tree["posterior"]
    assert dict(posterior.sizes)["chain"] == 3
    assert dict(posterior.sizes)["draw"] == 5
    np.testing.assert_array_equal(posterior["free_energy"], traces["free_energy"])
    assert posterior["v"].shape == (3, 5, 4)
    assert posterior["sampled"].dims == ("chain", "draw")
    assert "warm_up" in jboltz.to_arviz(traces, group="warm_up")


def test_without_arviz_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(MissingPackage, match=r"jboltz\[arviz\]"):
        jboltz.to_arviz({"a": np.zeros((2, 3))})


@pytest.mark.parametrize(
    ("traces", "words"),
    [
        ({"v": np.zeros(3)}, r"\(3,\)\} but need the axes \(chains, draws"),
        ({"v": np.zeros((2, 3)), "w": np.zeros((3, 3))}, "alike in all of them"),
        ({}, "need the axes"),
    ],
)
def test_axes_that_are_not_of_chains_and_draws(traces, words):
    pytest.importorskip("arviz_base")
    with pytest.raises(InvalidValue, match=words):
        jboltz.to_arviz(traces)
