"""Tests that wait for `-m slow`: whole programs, and one point at many places.

The default suite keeps, of each point, the place that is cheapest to compile. A name
without parameters stands for all of a test's parameters.
"""

import pytest

UNKNOWN = pytest.StashKey[list[str]]()
"""Names below that the collected files lack."""

SLOW = {
    "experiments/test_programs.py": (
        "test_it_runs[dbm_mnist]",
        "test_it_runs[labels_mnist]",
        "test_it_runs[grbm_cifar10]",
        "test_label_units_are_judged_before_and_after_up_down",
        "test_enumerated_likelihoods_stand_beside_those_of_a_gaussian",
        "test_weights_without_penalty_stay_in_the_positive_region",
    ),
    "experiments/test_dbn_mnist.py": (
        "test_resume_is_bit_for_bit[save-3-True]",
        "test_resume_is_bit_for_bit[save-4-False]",
        "test_resume_is_bit_for_bit[write_metrics-2-True]",
        "test_resume_is_bit_for_bit[write_figures-1-True]",
        "test_resume_is_bit_for_bit[write_results-1-True]",
        "test_the_recipe_of_the_blog_is_reported_beside_it",
    ),
    "experiments/test_dbn_cifar10.py": (
        "test_a_run_leaves_numbers_and_figures_of_every_layer",
        "test_a_finished_run_reports",
    ),
    "experiments/test_hybrid_mnist.py": (
        "test_it_records_every_net",
        "test_its_figures_show_something",
        "test_its_report_names_nets_errors_and_parameters",
        "test_a_top_that_is_no_square_is_joined_alone",
    ),
    "experiments/test_vae_mnist.py": (
        "test_it_records_what_it_kept",
        "test_reconstructions_are_judged_example_by_example",
        "test_bounds_are_of_the_same_images_and_carry_the_interval_of_log_z",
        "test_samples_do_not_depend_on_how_many_are_drawn",
        "test_a_finished_run_reports",
        "test_an_rbm_is_a_dbn_of_one_layer_and_the_test_set_stays_closed",
    ),
    "experiments/test_few_labels_mnist.py": ("test_it_runs",),
    "experiments/test_finetune_mnist.py": (
        "test_other_pretraining_is_taken",
        "test_a_frozen_body_stays_and_the_test_set_stays_closed",
        "test_without_held_out_images_all_are_trained_on_and_the_last_net_is_kept",
    ),
    "experiments/test_dbm_mnist.py": ("test_a_machine_that_grows_is_the_one_before",),
    "experiments/test_many_devices.py": (
        "test_two_processes_are_one_run",
        "test_processes_that_disagree_stop_and_name_the_field",
        "test_a_net_with_a_posterior_is_trained_on_a_mesh",
        "test_a_run_moves_from_mesh_to_mesh",
    ),
    "experiments/test_benchmark.py": (
        "test_a_sweep_leaves_out_what_is_over_its_budget_and_says_so",
    ),
    "experiments/test_benchmark_kept.py": (
        "test_what_was_measured_before_a_failure_is_not_measured_again",
    ),
    "test_sharding.py": (
        "test_training_is_that_of_one_device[DBM-(2, 4)]",
        "test_training_is_that_of_one_device[spike and slab-(2, 4)]",
        "test_training_is_that_of_one_device[centred PCD-(2, 4)]",
        "test_training_is_that_of_one_device[CD-(1, 8)]",
        "test_a_stream_feeds_every_device_its_rows[(8, 1)]",
    ),
    "evaluation/test_annealing.py": (
        "test_three_rungs_are_unbiased_in_both_directions_and_at_a_point[DBM of 3]",
        "test_three_rungs_are_unbiased_in_both_directions_and_at_a_point"
        "[spike and slab]",
        "test_three_rungs_are_unbiased_in_both_directions_and_at_a_point"
        "[Softmax and spin]",
        "test_three_rungs_are_unbiased_in_both_directions_and_at_a_point[Gaussian]",
    ),
    "models/test_dbm.py": (
        "test_free_energy_sums_the_odd_layers_out[Bernoulli-Bernoulli-Bernoulli]",
        "test_free_energy_sums_the_odd_layers_out"
        "[Bernoulli-Bernoulli-Softmax-Bernoulli]",
    ),
    "models/test_annealed.py": (
        "test_a_rung_is_between_the_base_and_the_model[Softmax-ReLU]",
        "test_a_rung_is_between_the_base_and_the_model"
        "[swapped Bernoulli-Bernoulli-Bernoulli-Bernoulli]",
        "test_a_rung_is_between_the_base_and_the_model"
        "[Copies of Bernoulli-Joined of Gaussian Softmax]",
        "test_a_rung_is_between_the_base_and_the_model[Spin-Copies of Gaussian]",
        "test_a_rung_is_between_the_base_and_the_model[ReLU-Softmax]",
    ),
    "models/test_spike_and_slab.py": (
        "test_training_raises_the_likelihood[CD]",
        "test_training_raises_the_likelihood[PCD projected]",
    ),
    "learning/test_centred.py": ("test_offsets_follow_the_data[DBM]",),
    "learning/test_discriminative.py": ("test_it_learns_digits_in_fit",),
    "learning/test_estimator_conformance.py": (
        "test_two_steps_of_training[cd of real units]",
        "test_two_steps_of_training[tempered pcd]",
    ),
    "learning/test_imputed.py": ("test_fit_learns_from_examples_with_gaps",),
    "learning/test_mean_field.py": (
        "test_centred_joint_training_from_random_weights_learns",
    ),
    "learning/test_pretrain.py": ("test_pretraining_learns_bars_and_stripes",),
    "learning/test_up_down.py": (
        "test_it_trains_in_fit_and_resumes_from_a_checkpoint",
    ),
    "samplers/test_tempering.py": (
        "test_parallel_tempering_drives_pcd_between_modes",
        "test_training_with_parallel_tempering_learns_both_modes",
    ),
    "samplers/test_ladders.py": ("test_adapted_rungs_swap_equally_often",),
    "samplers/test_draw.py": (
        "test_the_free_units_follow_the_conditional_of_the_held_ones[Potts]",
        "test_the_free_units_follow_the_conditional_of_the_held_ones[GRBM]",
        "test_the_free_units_follow_the_conditional_of_the_held_ones[ssRBM]",
    ),
    "samplers/test_deep.py": ("test_gibbs_leaves_the_joint_of_all_layers_as_it_is",),
    "evaluation/test_bounds.py": (
        "test_the_gap_of_a_dbm_is_the_divergence_of_mean_field",
    ),
    "evaluation/test_classify.py": ("test_sampled_ways_up_are_averaged",),
    "nets/test_vae.py": ("test_it_learns_by_fit_and_keeps_the_best_epoch",),
    "learning/test_surrogate.py": (
        "test_an_encoder_learns_through_the_prior_by_plain_grad",
    ),
    "parity/test_torch_dbn.py": ("test_pretraining[samples]",),
    "samplers/test_sampler_conformance.py": (
        "test_it_leaves_the_joint_invariant[ancestral]",
    ),
    "samplers/test_stationarity.py": (
        "test_gibbs_leaves_the_moments_of_real_layers_as_they_are[ReLU-Softmax]",
        "test_gibbs_leaves_the_moments_of_real_layers_as_they_are"
        "[Copies of Gaussian-Spin]",
    ),
    "units/test_conformance.py": (
        "test_tails_of_real_units_are_as_heavy_in_half_precision"
        "[ReLU(size=1000000)-bfloat16]",
        "test_tails_of_real_units_are_as_heavy_in_half_precision"
        "[ReLU(size=1000000)-float32]",
    ),
    "test_types.py": ("test_x64_by_another_library_changes_no_result",),
    "test_other_libraries.py": (
        "test_nnx",
        "test_nuts_of_blackjax",
    ),
}


def mark(items, slow):
    """Marks the tests above, and names those that the collected files lack."""
    collected = {}
    for item in items:
        file, _, name = item.nodeid.removeprefix("tests/").partition("::")
        collected.setdefault(file, set()).update((name, name.partition("[")[0]))
        if {name, name.partition("[")[0]} & {*SLOW.get(file, ())}:
            item.add_marker(slow)
    return [
        f"{file}::{name}"
        for file, names in SLOW.items()
        for name in names
        if file in collected and name not in collected[file]
    ]
