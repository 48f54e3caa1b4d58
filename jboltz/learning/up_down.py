"""Up–down: fine-tuning of all layers of a DBN by local learning rules."""

import dataclasses

import jax
from jaxtyping import Array, Integer, Key

from jboltz import random
from jboltz.abilities import LabelModel
from jboltz.base import Batch, Metrics, State, record
from jboltz.checks import check_params
from jboltz.errors import InvalidValue
from jboltz.learning.batch import complete, mean_gradient
from jboltz.models.dbn import DBN, DBNParams
from jboltz.models.labelled import LabelledDBN, label_log_probabilities
from jboltz.models.rbm import RBMParams
from jboltz.products import full_product
from jboltz.samplers.chains import check_num_steps, init_chains, run_chains
from jboltz.samplers.gibbs import Gibbs


@record
class UpDownParams:
    """The parameters of a DBN with separate weights upwards and downwards.

    (*recognition, top) are the parameters of a DBN for encoding and classification,
    (*generative, top) for sampling and bounds on the likelihood. The visible biases in
    `recognition` and the hidden biases in `generative` are not used and have the
    gradient 0.
    """

    recognition: DBNParams  # of the directed layers
    generative: DBNParams  # of the directed layers
    top: RBMParams


def untie_weights(params: DBNParams) -> UpDownParams:
    """Greedily trained parameters as the start of both directions."""
    *below, top = params
    return UpDownParams(recognition=tuple(below), generative=tuple(below), top=top)


@dataclasses.dataclass(frozen=True)
class UpDown:
    """Contrastive wake–sleep, as a gradient in `UpDownParams`.

    In the wake phase, states x₀ = v, x₁ ~ q(x₁ | x₀), … are drawn upwards, and
    `generative` gets the gradient of −Σ_l log p(x_{l−1} | x_l). The top RBM is trained
    by CD-`num_steps` from the last state (and the label, if there is one). In the sleep
    phase, states are drawn downwards from the end of its chain, and `recognition` gets
    the gradient of −Σ_l log q(x_l | x_{l−1}). Bernoulli units then have delta rules,

        ΔW_l = (x_{l−1} − p(x_{l−1} | x_l)) x_lᵀ,
        ΔR_l = x_{l−1} (x_l − q(x_l | x_{l−1}))ᵀ.

    Batches are images, or for a `LabelledDBN` pairs (image, one-hot label). The key is
    split into key_up, key_chains and key_down; example i draws upwards from
    `fold_in(key_up, i)`.

    Args:
      model: the DBN that is trained.
      num_steps: the Gibbs steps in the top RBM.

    Reference:
      Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets,
      section 5 and appendix B.
    """

    model: DBN | LabelledDBN
    num_steps: int | Integer[Array, ""] = 1
    discriminative: float = 0.0
    """The weight of −log p(y | code of v) of a `LabelledDBN` in the gradient of the top
    RBM. The layers below do not get this gradient."""

    def __post_init__(self) -> None:
        check_num_steps(self.num_steps, at_least=1)
        if self.discriminative < 0 or (
            self.discriminative and not isinstance(self.model, LabelModel)
        ):
            raise InvalidValue(
                f"`discriminative` is {self.discriminative} but needs to be at least "
                "0, and 0 for a model without labels; pass 0, or a `LabelledDBN`."
            )
        if len(self.model.layers) < 2:
            raise InvalidValue(
                f"`model` has {len(self.model.layers)} layer but there is no way up or "
                "down without a layer below the top RBM; train an RBM by contrastive "
                "divergence."
            )

    def init(self, params: UpDownParams, key: Key[Array, ""]) -> State:
        """Checks the parameters of both directions; the estimator has no state."""
        del key
        for way in ("recognition", "generative"):
            one_way = (*getattr(params, way), params.top)
            check_params(self.model, one_way, f"params.{way}, params.top")
        return ()

    def estimate(
        self, params: UpDownParams, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[UpDownParams, State, Metrics]:
        """The metrics are means in nats: `wake`, −Σ log p(x_{l−1} | x_l) upwards;
        `sleep`, −Σ log q(x_l | x_{l−1}) downwards; `contrast`, F of the top RBM at the
        data minus F at the ends of its chains; and, with `discriminative` above 0,
        `cross_entropy`, −log p(y | code of v)."""
        batch = complete(batch, params)
        directed, top = DBN(self.model.layers[:-1]), self.model.layers[-1]
        key_up, key_chains, key_down = random.split(key, 3)

        v, label = self._split(batch.values)
        up = jax.vmap(directed.sample_layers_up, in_axes=(None, 0, 0))
        wake = (v, *up(params.recognition, v, random.fold_in_rows(key_up, v)))
        data = (wake[-1], *label) if label else wake[-1]

        sampler, (key_init, key_run) = Gibbs(top), random.split(key_chains)
        chains = init_chains(sampler, params.top, data, key_init)
        chains, _ = run_chains(
            sampler, params.top, chains, key_run, num_steps=self.num_steps
        )
        end = chains.visible[0] if label else chains.visible
        down = jax.vmap(directed.sample_layers_down, in_axes=(None, 0, 0))
        keys = random.fold_in_rows(key_down, end)
        sleep = (*down(params.generative, end, keys), end)

        def losses(params, wake, data, negative, sleep):
            energy = top.free_energy(params.top, data)
            found = {
                "wake": -directed.log_probability_down(params.generative, wake),
                "contrast": energy - top.free_energy(params.top, negative),
                "sleep": -directed.log_probability_up(params.recognition, sleep),
            }
            total = found["wake"] + found["contrast"] + found["sleep"]
            if self.discriminative:
                found["cross_entropy"] = self._cross_entropy(params, wake[0], data[1])
                total = total + self.discriminative * found["cross_entropy"]
            return total, found

        examples = (wake, data, chains.visible, sleep)
        gradient, metrics = mean_gradient(losses, params, examples, batch.weights)
        return gradient, state, metrics

    def _cross_entropy(self, params: UpDownParams, v: State, label: State) -> Array:
        directed, top = DBN(self.model.layers[:-1]), self.model.layers[-1]
        code = jax.lax.stop_gradient(directed.encode(params.recognition, v))
        log_p = label_log_probabilities(top, params.top, code)
        return -full_product(label.ravel(), log_p)

    def _split(self, values: State) -> tuple[State, tuple[State, ...]]:
        """The images, and a tuple of the labels if the model has labels."""
        if not isinstance(self.model, LabelModel):
            return values, ()
        if not isinstance(values, tuple) or len(values) != 2:
            raise InvalidValue(
                f"A batch is one {type(values).__name__} but the top RBM has a label "
                "among its visible units; pass pairs, as `pair_with_labels` makes them."
            )
        v, label = values
        return v, (label,)
