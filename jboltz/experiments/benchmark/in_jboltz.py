"""The contestants by jboltz that train and sample RBMs, as any user would call it."""

import itertools
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jboltz.base import Estimator, Sampler, State
from jboltz.evaluation.annealing import annealed_importance_sampling
from jboltz.evaluation.log_partitions import missing_intervals_allowed
from jboltz.experiments.benchmark import works
from jboltz.experiments.benchmark.peers import LEARNING_RATE
from jboltz.experiments.benchmark.works import Arrays, Job, Outcome, Work
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.learning.pretrain import LayerFeatures, greedy, unit_interval
from jboltz.learning.step import TrainStep, init_train_state, make_train_step
from jboltz.learning.train import fit
from jboltz.models.annealed import Annealed
from jboltz.models.rbm import RBM, RBMParams
from jboltz.random import THREEFRY_13
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.gibbs import Gibbs
from jboltz.samplers.tempering import ParallelTempering
from jboltz.units.bernoulli import Bernoulli, BernoulliParams

OPTIMIZER = optax.sgd(LEARNING_RATE)


def machine(arrays: Arrays) -> tuple[RBM, RBMParams]:
    """The RBM with these parameters, which are copied: training donates its own."""
    weights, visible_bias, hidden_bias = (jnp.array(x) for x in arrays)
    params = RBMParams(
        visible=BernoulliParams(bias=visible_bias),
        hidden=BernoulliParams(bias=hidden_bias),
        weights=weights,
    )
    return RBM(Bernoulli(len(visible_bias)), Bernoulli(len(hidden_bias))), params


def as_arrays(params: RBMParams) -> Arrays:
    return params.weights, params.visible.bias, params.hidden.bias


def continued(
    advance: Callable[[State, Any], State],
    state: State,
    key: Any,
    outcome: Callable[[State], Outcome] = tuple,
) -> Work:
    """Every call goes on where the last one stopped, with a key of its own.

    Args:
      advance: state, key → the next state.
      outcome: what is to be checked of a state; by default all of it.
    """
    calls = itertools.count()

    def work():
        nonlocal state
        key_call = jax.random.fold_in(key, next(calls))
        state = jax.block_until_ready(advance(state, key_call))
        return outcome(state)

    return work


def cd(job: Job) -> Work:
    """An epoch of CD-1; every call is the next epoch."""
    model, params = machine(job.arrays[0])
    return _epochs(job, params, ContrastiveDivergence(model, Gibbs(model)))


def pcd(job: Job) -> Work:
    """The same by PCD-1, with as many chains as a batch has examples.

    An update then needs the five products of CD-1.
    """
    (model, params), num_chains = machine(job.arrays[0]), job.sizes.batch_size
    sampler = Gibbs(model)
    estimator = PersistentContrastiveDivergence(model, sampler, num_chains)
    return _epochs(job, params, estimator)


@cache
def train_step(estimator: Estimator) -> TrainStep:
    """The same object for equal estimators, so that what was compiled serves again."""
    return make_train_step(estimator, OPTIMIZER)


def _epochs(job: Job, params: RBMParams, estimator: Estimator) -> Work:
    prepare = jax.tree_util.Partial(LayerFeatures((estimator.model,)), ())
    key_init, key_fit = jax.random.split(works.key(job))
    state = init_train_state(params, estimator, OPTIMIZER, key_init)
    data, numbers = jnp.asarray(job.rows), itertools.count()

    def work():
        nonlocal state
        epoch = next(numbers)
        state, _ = fit(
            train_step(estimator),
            state,
            data,
            key_fit,
            batch_size=job.sizes.batch_size,
            first_epoch=epoch,
            num_epochs=epoch + 1,
            prepare=prepare,
        )
        return as_arrays(jax.block_until_ready(state.params))

    return work


def stacked_cd(job: Job) -> Work:
    """An epoch of CD-1 for each layer, in the fold of `greedy`, from the same start."""
    data, layers = jnp.asarray(job.rows), [machine(x)[0] for x in job.arrays]

    def fit_layer(index: int, prepare, key):
        model, params = machine(job.arrays[index])
        estimator = ContrastiveDivergence(model, Gibbs(model))
        state, _ = fit(
            train_step(estimator),
            init_train_state(params, estimator, OPTIMIZER, key),
            data,
            key,
            batch_size=job.sizes.batch_size,
            num_epochs=1,
            prepare=prepare,
        )
        return state.params

    def fold(_, key):
        trained = greedy(layers, key, fit_layer=fit_layer)
        return [x for params in trained for x in as_arrays(params)]

    return continued(fold, None, works.key(job))


def gibbs(job: Job, impl: Any = None) -> Work:
    """Gibbs sweeps of chains that start at binarised images."""
    model, params = machine(job.arrays[0])
    sizes = job.sizes
    return _chains(job, Gibbs(model), params, sizes.num_chains, sizes.num_sweeps, impl)


gibbs_13 = partial(gibbs, impl=THREEFRY_13)


def tempering(job: Job) -> Work:
    """Steps of replicas at several temperatures, from binarised images."""
    (model, params), sizes = machine(job.arrays[0]), job.sizes
    sampler = ParallelTempering(Annealed(model), sizes.num_replicas)
    steps = sizes.tempering_steps
    return _chains(job, sampler, params, sizes.tempering_chains, steps)


def _chains(
    job: Job,
    sampler: Sampler,
    params: RBMParams,
    num_chains: int,
    num_steps: int,
    impl: Any = None,
) -> Work:
    key_init, key_run = jax.random.split(works.key(job, impl))
    starts = jnp.asarray(works.binary_images(job, num_chains))

    def advance(chains, key):
        return run_chains(sampler, params, chains, key, num_steps=num_steps)[0]

    return continued(
        advance,
        init_chains(sampler, params, starts, key_init),
        key_run,
        lambda chains: (chains.visible,),
    )


def ais(job: Job) -> Work:
    """A ladder of annealed importance sampling, from the base rate of the images."""
    (model, params), sizes = machine(job.arrays[0]), job.sizes
    annealed, betas = Annealed(model), np.linspace(0, 1, sizes.rungs + 1)
    base = annealed.fit_base(unit_interval(jnp.asarray(job.rows)))

    def climb(_, key):
        with missing_intervals_allowed():
            found = annealed_importance_sampling(
                annealed, params, base, betas, key, num_chains=sizes.ais_chains
            )
        return (found.log_weights,)

    return continued(climb, None, works.key(job))
