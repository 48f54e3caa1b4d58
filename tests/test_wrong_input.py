"""What may be wrong with data, files, weights and distributions: one clear error."""

import pytest

from tests.helpers import errors_without_hook

SETUP = """
import jax, jax.numpy as jnp, numpy as np, os, tempfile
from jboltz import *
from jboltz.data import read
from jboltz.weights import Convention, params_from, to_arrays, to_sklearn
from jboltz import io, weights
from jboltz.numpyro import VisibleState
folder = tempfile.mkdtemp()
file = os.path.join(folder, "rbm.safetensors")
B, key = Bernoulli, jax.random.key(0)
rbm, other = RBM(B(4), B(3)), RBM(B(5), B(3))
params, op = rbm.init(key), other.init(key)
dbn = DBN((rbm,))
def nested(levels):
    tree = np.ones(2, np.float32)
    for _ in range(levels):
        tree = {"a": tree}
    return tree
W, a, b = np.ones((4, 3)), np.zeros(4), np.zeros(3)
data = np.zeros((6, 4), np.float32)
"""

# What each call has to name.
CALLS = {
    "read([[0.0]],kinds=['reals'])": "`kinds`",
    "read([[0.0]],most_bytes='1GB')": "`most_bytes`",
    "save(None,rbm,params)": "`path`",
    "save(os.path.join(folder,'none','x'),rbm,params)": "`path`",
    "save(os.path.join(folder,'x'),rbm,params,notes=object())": "`notes`",
    "load(None)": "`path`",
    "load('a\\0b')": "`path`",
    "save('a\\0b',rbm,params)": "`path`",
    "io.from_bytes('abc')": "`content`",
    "io.from_bytes(bytearray(3))": "`content`",
    "save(file,None,{0:a,'0':b})": "`params`",
    "save(file,None,nested(5000))": "`params`",
    "save(file,None,nested(200))": "`params`",
    "load(3)": "`path`",
    "params_from('rbm',W,a,b)": "`rbm`",
    "params_from(dbn,W,a,b)": "`rbm`",
    "params_from(rbm,W,a,b,convention='+1/-1')": "`convention`",
    "params_from(rbm,W,{3:a},b)": "`visible`",
    "weights.read({0:W,1:a,2:b})": "`source`",
    "weights.read({'W':W,'a':a,'b':b},names=('W','a'))": "`names`",
    "weights.read({'W':W,'a':a,'b':b},rbm='rbm')": "`rbm`",
    "to_arrays(dbn,(params,),names='rbms')": "`rbm`",
    "to_arrays(rbm,op,names='rbms')": "`params.visible.bias`",
    "to_arrays(rbm,None,names='rbms')": "`params`",
    "to_arrays(rbm,params,names=('W','a'))": "`names`",
    "to_arrays(rbm,params,names=('W','W','b'))": "`names`",
    "to_arrays(rbm,params,names='none')": "`names`",
    "to_sklearn(dbn,(params,))": "`rbm`",
    "sandwiched_log_partition(rbm,params,data,key,settings=3)": "`settings`",
    "anomaly_scores(dbn,(params,),data)": "`model`",
    "to_blackjax(rbm,params)": "`sampler`",
    "conditional(rbm,params,data[0],0,present='x')": "`present`",
    "VisibleState(rbm,params,log_partition='x')": "`log_partition`",
    "VisibleState(rbm,params).sample(None)": "`key`",
}


@pytest.fixture(scope="module")
def errors():
    return errors_without_hook(SETUP, CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_wrong_input_is_told_what_is_needed(call, errors):
    error = errors[call]
    assert error.startswith(("InvalidValue: ", "InvalidType: "))
    assert CALLS[call] in error
    assert error.count("\n") == 0
    assert len(error) > len(CALLS[call]) + 40, "nothing is said of what to do"
