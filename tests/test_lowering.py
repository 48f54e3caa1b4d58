"""What is compiled for every platform, and what a step costs.

The evaluations, models, units and steps of `test_precision` are lowered by the same
function, so what it refuses is refused there as well.
"""

import re

import jax
import jax.numpy as jnp
import optax
import pytest

import jboltz
from tests.lowering import UNWANTED, lowered
from tests.samplers import cases

NUM_VISIBLE, NUM_HIDDEN, BATCH = 784, 500, 64
RBM = jboltz.RBM(jboltz.Bernoulli(NUM_VISIBLE), jboltz.Bernoulli(NUM_HIDDEN))
CD = jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM))
KEY = jax.random.key(0)


@pytest.mark.parametrize("name", cases.SAMPLERS)
def test_a_sampler_lowers_for_every_platform(name):
    sampler = cases.SAMPLERS[name]
    params = jax.eval_shape(lambda: cases.init(sampler, KEY))

    def chains(params):
        states = jnp.zeros((2, cases.NUM_VISIBLE))
        states = jboltz.init_chains(sampler, params, states, KEY)
        return jboltz.run_chains(sampler, params, states, KEY, num_steps=3)

    assert "stablehlo.while" in lowered(chains, params)


@pytest.mark.parametrize(
    "text", ["tensor<f64>", "tensor<2x3xf64>", "tensor<2x?xf32>", "@xla_ffi_callback"]
)
def test_what_is_unwanted_is_found(text):
    assert UNWANTED.search(text)
    assert not UNWANTED.search("tensor<64x784xf32> tensor<ui64> tensor<f32>")


@pytest.fixture(scope="module")
def compiled_step():
    optimizer = optax.sgd(0.01)
    step = jboltz.make_train_step(CD, optimizer)
    params = jax.eval_shape(RBM.init, KEY)
    state = jax.eval_shape(
        lambda params: jboltz.init_train_state(params, CD, optimizer, KEY), params
    )
    batch = jboltz.Batch(values=jax.ShapeDtypeStruct((BATCH, NUM_VISIBLE), jnp.float32))
    key = jax.eval_shape(lambda: KEY)
    return jax.jit(step, donate_argnums=0).lower(state, batch, key).compile()


def test_a_step_of_cd_computes_its_five_products_and_little_else(compiled_step):
    ideal = 5 * 2 * BATCH * NUM_VISIBLE * NUM_HIDDEN
    assert ideal < compiled_step.cost_analysis()["flops"] <= 1.06 * ideal


def test_a_step_copies_no_weights_and_writes_them_where_they_were(compiled_step):
    text = compiled_step.as_text()
    weights = rf"f32\[(?:{NUM_VISIBLE},{NUM_HIDDEN}|{NUM_HIDDEN},{NUM_VISIBLE})\]"
    made = re.findall(rf"= {weights}\S* (\w+)\(", text)
    assert "dot" in made
    assert not {"transpose", "copy"} & set(made)
    bytes_of_weights = 4 * NUM_VISIBLE * NUM_HIDDEN
    assert compiled_step.memory_analysis().alias_size_in_bytes >= bytes_of_weights
