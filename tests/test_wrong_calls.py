"""What a new user may get wrong: one clear error names the argument, by kinds."""

import pytest

from tests.helpers import errors_without_hook

SETUP = """
import jax, jax.numpy as jnp, numpy as np, optax
from jboltz import *
from jboltz.checkpoint import Checkpoints
from jboltz.data import from_arrays
from jboltz.evaluation.annealing import log_partition_trajectory
from jboltz.evaluation.partition import log_partition
B = Bernoulli
rbm, other = RBM(B(4), B(3)), RBM(B(5), B(3))
gibbs, key, opt = Gibbs(rbm), jax.random.key(0), optax.sgd(0.1)
params, op = rbm.init(key), other.init(key)
cd, ann = ContrastiveDivergence(rbm, gibbs), Annealed(rbm)
state, step = init_train_state(params, cd, opt, key), make_train_step(cd, opt)
data = jnp.asarray(np.random.default_rng(0).integers(0, 2, (20, 4)), float)
gray = 0.5 * data
from jboltz import sharding
split = lambda prepare: sharding.over_data(prepare, sharding.make_mesh())
base, chains = ann.fit_base(data), init_chains(gibbs, params, data, key)
pcd = PersistentContrastiveDivergence(rbm, gibbs, 3)
of_pcd = init_train_state(params, pcd, opt, key)
of_adam = init_train_state(params, cd, optax.adam(0.1), key)
noisy = RBM(B(4), NoisyReLU(3))
of_noisy, deep = noisy.init(key), DBN((noisy,))
nan = jax.tree.map(lambda x: x * jnp.nan, params)
present = make_train_step(PresentOnly(rbm), opt)
def fit_present(mask):
    return fit_with(Batch(values=data, mask=mask), present)
def fit_with(data=data, step=step, state=state, key=key, **options):
    options = {"batch_size": 4, "num_epochs": 1} | options
    return fit(step, state, data, key, **options)
"""

# What each call has to name.
CALLS = {
    "Checkpoints(None)": "`folder`",
    "Checkpoints(np.__file__).steps()": "`folder`",
    "Checkpoints(np.__file__+'/run').steps()": "`folder`",
    "fit_present(gray)": "`mask`",
    "fit_present(np.ones((20,4),int))": "`mask`",
    "sample(rbm,params,key,warm_up=1,start=gray[0],clamp=[0,1])": "`clamp`",
    "sample(rbm,params,key,warm_up=1,start=gray[0],clamp=[[True],[]])": "`clamp`",
    "sample(rbm,params,key,warm_up=1,start=gray[0],clamp='a')": "`clamp`",
    "sample(rbm,params,key,warm_up=1,num_chains='4')": "`num_chains`",
    "sample(rbm,params,key,warm_up=1,num_chains=[3])": "`num_chains`",
    "log_likelihood(rbm,params,np.ones(4),1.0)": "`data`",
    "log_likelihood(rbm,params,np.ones(3),1.0)": "`data`",
    "pseudo_log_likelihood(rbm,params,np.ones(4))": "`data`",
    "sample(rbm,params,0,warm_up=1)": "`key`",
    "sample(rbm,params,None,warm_up=1)": "`key`",
    "sample(rbm,params,jax.random.PRNGKey(0),warm_up=1)": "`key`",
    "sample(rbm,params,jax.random.split(key,3),warm_up=1)": "`key`",
    "sample(params,rbm,key,warm_up=1)": "`model`",
    "sample(gibbs,params,key,warm_up=1)": "`model`",
    "sample(rbm,op,key,warm_up=1)": "`params.visible.bias`",
    "rbm.init(0)": "`key`",
    "rbm.init(None)": "`key`",
    "rbm.init(jax.random.split(key,2))": "`key`",
    "fit_with(key=0)": "`key`",
    "fit_with(key=None)": "`key`",
    "fit_with(key=jax.random.split(key,2))": "`key`",
    "init_chains(gibbs,params,data,0)": "`key`",
    "run_chains(gibbs,params,chains,3,num_steps=1)": "`key`",
    "annealed_importance_sampling(ann,params,base,annealing_ladder(.01),0)": "`key`",
    "annealed_importance_sampling(ann,params,base,[0,np.nan,1],key)": "`betas`",
    "annealed_importance_sampling(ann,params,base,[0,1],key,num_chains=2.5)": "whole",
    "init_train_state(params,cd,opt,0)": "`key`",
    "init_train_state(params,cd,None,key)": "`optimizer`",
    "make_train_step(cd,.1)": "`optimizer`",
    "make_train_step(cd,optax.sgd)": "`optimizer`",
    "make_train_step(ContrastiveDivergence,opt)": "`estimator`",
    "make_train_step(rbm,opt)": "`estimator`",
    "init_train_state(params,rbm,opt,key)": "`estimator`",
    "init_train_state(params,ContrastiveDivergence,opt,key)": "`estimator`",
    "fit_with(step=cd)": "`train_step`",
    "fit_with(state=params)": "`state`",
    "fit_with(state=of_adam)": "`state.opt_state`",
    "fit_with(state=of_pcd)": "`state.estimator_state`",
    "RBM(12,5)": "`Bernoulli(12)`",
    "RBM(B,B)": "`visible`",
    "RBM(B(2),None)": "`hidden`",
    "DBN.chain(784,500)": "`visible`",
    "DBN.chain(B(4))": "`layers`",
    "DBM((4,3))": "`units[0]`",
    "DBM(())": "`units`",
    "Joined(B(2),None)": "`second`",
    "Copies(B(2),0)": "`num_copies`",
    "Copies(3,2)": "`unit`",
    "Gibbs(None)": "`model`",
    "Gibbs(5)": "`model`",
    "Gibbs(B(3))": "`model`",
    "B(True)": "`size`",
    "B(2.0)": "`size`",
    "B(float('nan'))": "`size`",
    "B(2**63)": "`size`",
    "B(-1)": "`size`",
    "Softmax(2,True)": "`num_categories`",
    "rbm.free_energy(op,data[0])": "`params.weights`",
    "rbm.free_energy(params,jnp.zeros(5))": "`v`",
    "log_likelihood(rbm,op,data,1.0)": "`params.visible.bias`",
    'log_likelihood(rbm,params,data,"12")': "`log_partition`",
    "log_likelihood(rbm,params,data,None)": "`log_partition`",
    "log_likelihood(rbm,nan,data,1.0)": "`params.visible.bias`",
    "PersistentContrastiveDivergence(rbm,gibbs,num_chains=2.5)": "`num_chains`",
    "PersistentContrastiveDivergence(rbm,gibbs,num_chains=True)": "`num_chains`",
    "PersistentContrastiveDivergence(rbm,gibbs,num_chains=0)": "`num_chains`",
    "ContrastiveDivergence(rbm,gibbs,num_steps=0)": "`num_steps`",
    "ContrastiveDivergence(rbm,gibbs,num_steps=1.5)": "`num_steps`",
    "ContrastiveDivergence(rbm,None)": "`sampler`",
    "ContrastiveDivergence(None,gibbs)": "`model`",
    "ContrastiveDivergence(gibbs,rbm)": "`model`",
    "SpikeAndSlab(4,2,kappa=float('nan'))": "`kappa`",
    "SpikeAndSlab(4,2,kappa=-1)": "`kappa`",
    "SpikeAndSlab(4.5,2)": "`num_visible`",
    "FromIndices(-1)": "`num_visible`",
    "FromIndices(2.5)": "`num_visible`",
    "binarise_by_threshold(data,level=7)": "`level`",
    "binarise_by_threshold(data,level=float('nan'))": "`level`",
    "annealing_ladder(float('nan'))": "`scale`",
    "annealing_ladder(-1)": "`scale`",
    'annealing_ladder("a")': "`scale`",
    "binarise_once(data,seed=2**40)": "`seed`",
    "binarise_once(data,seed=1.5)": "`seed`",
    "binarise_once(data,seed=-1)": "`seed`",
    "fit_with(first_epoch=5)": "`first_epoch`",
    "fit_with(num_epochs=-1)": "`num_epochs`",
    "fit_with(num_epochs=1.5)": "`num_epochs`",
    "fit_with(batch_size=0)": "`batch_size`",
    "fit_with(batch_size=True)": "`batch_size`",
    "fit_with(batch_size=21)": "`batch_size`",
    "fit_with(prepare=None)": "`prepare`",
    "fit_with(prepare=5)": "`prepare`",
    "fit_with(on_epoch=5)": "`on_epoch`",
    "ann.fit_base(data*9)": "`values`",
    "ann.fit_base(data*jnp.nan)": "`values`",
    "ann.fit_base(data[:0])": "`values`",
    'ann.fit_base("abc")': "`values`",
    "pad_indices([[0.5,2]],4)": "`rows`",
    "pad_indices([[-1,2]],4)": "`rows`",
    'pad_indices([["a"]],4)': "`rows`",
    "pad_indices([1,2],4)": "`rows`",
    "pad_indices(5,4)": "`rows`",
    "pad_indices([[True,False]],4)": "`rows`",
    "pad_indices([[1]],'a')": "`num_visible`",
    "pad_indices([[1]],4,num_places='a')": "`num_places`",
    "fit_with(pad_indices([[1,4]]*4,5),prepare=FromIndices(4))": "`data`",
    "fit_with([[0.,1.]]*4,prepare=FromIndices(4))": "`data`",
    "fit_with([0,1,2,3],prepare=FromIndices(4))": "`data`",
    "fit_stream(step,state,[[[9]]],key,prepare=FromIndices(4))": "`data`",
    "fit_with(pad_indices([[1,4]]*4,5),prepare=split(FromIndices(4)))": "`data`",
    "Centred(None)": "`estimator`",
    "Centred(rbm)": "`estimator`",
    "MissingDataEstimator(rbm)": "`estimator`",
    "TracedEstimator(rbm)": "`estimator`",
    "Annealed(None)": "`model`",
    "Annealed(5)": "`model`",
    "model_log_partition(rbm,op)": "`params.visible.bias`",
    "model_log_partition(None,params)": "`model`",
    "log_partition(lambda h: 0., 3, chunk_size=0)": "`chunk_size`",
    "log_partition(lambda h: jnp.zeros(()), 3.5)": "`size`",
    "ParallelTempering(ann,1)": "`num_replicas`",
    "ParallelTempering(ann,2.5)": "`num_replicas`",
    "ParallelTempering(rbm,3)": "`annealed`",
    "greedy([rbm,rbm],key,fit_layer=None)": "`fit_layer`",
    'LayerFeatures((rbm,),"what")': "`features`",
    "sample(rbm,params,key,warm_up=-1)": "`warm_up`",
    "sample(rbm,params,key,warm_up=1.5)": "`warm_up`",
    "sample(rbm,params,key,warm_up=1,num_samples=0)": "`num_samples`",
    "sample(rbm,params,key,warm_up=1,num_chains=0)": "`num_chains`",
    "sample(rbm,params,key,warm_up=1,num_chains=2.5)": "`num_chains`",
    "sample(rbm,params,key,warm_up=1,num_chains=jnp.asarray(3))": "`num_chains`",
    "sample(rbm,params,key,warm_up=1,num_samples=jnp.asarray(3))": "`num_samples`",
    "fit_with([[0.0,1.0],[1.0]])": "`data`",
    "fit_with(data[0])": "one example per row",
    "sample(rbm,params,key,warm_up=1,sampler=rbm)": "`sampler`",
    "sample(rbm,params,key,warm_up=1,start=jnp.zeros(3))": "`start`",
    'sample(rbm,params,key,warm_up=1,start="a")': "`start`",
    "sample(rbm,params,key,warm_up=1,observe=5)": "`observe`",
    "pseudo_log_likelihood(rbm,params,data*3)": "`data`",
    "pseudo_log_likelihood(rbm,op,data)": "`params.visible.bias`",
    "dbn_bounds(rbm,params,data,1.0,key)": "`dbn`",
    "reverse_ais_log_likelihood(ann,params,base,data,annealing_ladder(.01),0)": "`key`",
    "r_hat(jnp.zeros(3))": "`trace`",
    "convergence_report({},num_steps=1)": "`traces`",
    "convergence_report(None,num_steps=1)": "`traces`",
    "fit_stream(step,state,5,key)": "`batches`",
    "fit_stream(step,state,[],key)": "`batches`",
    "fit_stream(step,state,[data],key,chunk_size=2.5)": "`chunk_size`",
    "train_epoch(step,state,data,0,batch_size=4)": "`key`",
    "fit_many(step,state,data,key,batch_size=4,num_epochs=1)": "`keys`",
    "pseudo_log_likelihood(noisy, of_noisy, data)": "`model`",
    "dbn_bounds(deep, (of_noisy,), data, 1.0, key)": "`model`",
    "log_partition_trajectory(noisy, [of_noisy] * 2, [data])": "`model`",
    "reverse_annealed_importance_sampling(ann,params,base,[0,1],gray,key)": "`samples`",
    "reverse_ais_log_likelihood(ann,params,base,[0,1],gray,key)": "is gray",
    "run_chains(gibbs,params,chains,key,num_steps=1,first_step=-1)": "`first_step`",
    "sample(rbm,params,key,warm_up=1,thinning=0)": "`thinning` is 0 but",
    "from_arrays(np.zeros((4,4)),image_shape=(-2,-2))": "`image_shape`",
    "TracedSampler(rbm)": "pass `Gibbs(model)`",
    "make_train_step(opt,cd)": "pass `ContrastiveDivergence(model, Gibbs(model))`",
    "annealed_importance_sampling(rbm,params,base,[0,1],key)": "`Annealed(model)`",
    "fit_with(data[:, :3])": "`data[0]` has shape (3,)",
    "cd.estimate(params,(),data,key)": "`Batch(values=…)`",
}


@pytest.fixture(scope="module")
def errors():
    return errors_without_hook(SETUP, CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_call_is_told_what_is_needed(call, errors):
    error = errors[call]
    assert error.startswith(("InvalidValue: ", "InvalidType: "))
    assert CALLS[call] in error
    assert error.count("\n") == 0
    assert len(error) > len(CALLS[call]) + 40, "nothing is said of what to do"
