'''One run on disk: its configuration, folder, progress, resumed training and page.

A program hands its functions to `program.main` as one `Program`. It then has a command
line with a sentence for every option, presets and TOML files, a folder that one process
holds, checkpoints after every epoch from which the same command goes on bit for bit,
sealed results, the model in one file, figures, TensorBoard and a page (`jboltz report
FOLDER`). This is a whole program, on data of one's own.
`python my_program.py --help` explains its options.

    """An RBM of the answers to a survey.    python my_program.py"""

    import dataclasses
    import pathlib

    import jax
    import numpy as np
    import optax

    import jboltz
    from jboltz import plotting
    from jboltz.data import from_arrays
    from jboltz.ranges import Count, Rate
    from jboltz.runs import program
    from jboltz.runs.config import TrainingConfig
    from jboltz.runs.progress import say
    from jboltz.runs.training import fit_with_checkpoints


    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(TrainingConfig):
        """Trains an RBM on the answers to a survey."""

        answers: pathlib.Path = pathlib.Path("answers.npy")
        """An array with one row a person and one column a question, of 0 and 1."""
        num_hidden: Count = 20
        """Hidden units."""
        epochs: Count = 30
        """Epochs of CD-1."""
        learning_rate: Rate = 0.05
        """Step size of plain SGD."""


    def load(config):
        return from_arrays(np.load(config.answers), name="survey")


    def build(config, data):
        visible = jboltz.Bernoulli(data.train.shape[1])
        return jboltz.RBM(visible, jboltz.Bernoulli(config.num_hidden))


    def run(config, data, workdir):
        rbm = build(config, data)
        estimator = jboltz.ContrastiveDivergence(rbm, jboltz.Gibbs(rbm))
        optimizer = optax.sgd(config.learning_rate)

        def init(key):
            params = rbm.init(key, data=data.train)
            return jboltz.init_train_state(params, estimator, optimizer, key)

        state, records = fit_with_checkpoints(
            workdir,
            "rbm",
            jboltz.make_train_step(estimator, optimizer),
            init,
            data.train,
            jax.random.key(config.seed),
            batch_size=config.batch_size,
            num_epochs=config.epochs,
        )
        found = jboltz.pseudo_log_likelihood(rbm, state.params, data.test)
        return state.params, {"epochs": records, "test": float(found.mean)}


    def draw_figures(config, data, params, numbers):
        losses = {"CD-1": [record["loss"] for record in numbers["epochs"]]}
        title = "Reconstruction error of training data"
        return {"losses": plotting.curves(losses, title=title, ylabel="squared error")}


    def report(results):
        say(f"pseudo-log-likelihood of a person left out: {results['test']:.2f} nats")


    PROGRAM = program.Program(
        name="my_program",
        config=Config,
        load=load,
        run=run,
        draw_figures=draw_figures,
        report=report,
        model=build,
    )

    if __name__ == "__main__":
        program.main(PROGRAM)

`Program` says what each function is given and when it is called, `Config` inherits what
every program can be asked for, and a `check` of one's own refuses what cannot be run
before anything is written. What `run` does outside `fit_with_checkpoints` and takes
minutes is kept by `workdir.part(name, measure)`. An estimator that records no
`reconstruction_error`, as PCD, needs `loss="contrast"` in `fit_with_checkpoints`.

JAX takes a second to import. A program whose `Config` stands above that import, with a
call of `jboltz.runs.config.answer` between the two, answers `--help` and a wrong flag
without it, as `jboltz/experiments/dbn_mnist.py` does.
'''
