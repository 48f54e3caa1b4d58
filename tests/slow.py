"""Tests that wait for `-m slow`: whole programs, and one point at many places.

The default suite keeps, of each point, the place that is cheapest to compile.
"""

import pytest

UNKNOWN = pytest.StashKey[list[str]]()
"""Names below that the collected files lack."""

ALL = ("",)
"""The parameters of a test that is slow with all of them."""

SLOW = {
    "experiments/test_programs.py": {
        "test_it_runs": (
            "dbm_mnist",
            "labels_mnist",
            "grbm_cifar10",
            "rbm_mnist",
            "grbm_mnist",
            "ssrbm_cifar10",
        ),
        "test_label_units_are_judged_before_and_after_up_down": ALL,
        "test_likelihoods_by_annealing_stand_beside_the_exact_one": ALL,
        "test_a_fixed_variance_stays_where_it_is": ALL,
        "test_enumerated_likelihoods_stand_beside_those_of_a_gaussian": ALL,
        "test_weights_without_penalty_stay_in_the_positive_region": ALL,
    },
    "experiments/test_dbn_mnist.py": {
        "test_resume_is_bit_for_bit": (
            "save-3-True",
            "save-4-False",
            "write_metrics-2-True",
            "write_figures-1-True",
            "write_results-1-True",
            "save-2-False",
        ),
        "test_the_recipe_of_the_blog_is_reported_beside_it": ALL,
        "test_config_file_stands_for_its_flags": ALL,
        "test_a_damaged_checkpoint_is_reported_and_redone": ALL,
    },
    "experiments/test_dbn_cifar10.py": {
        "test_a_run_leaves_numbers_and_figures_of_every_layer": ALL,
        "test_a_finished_run_reports": ALL,
        "test_without_the_test_set_held_out_images_judge": ALL,
    },
    "experiments/test_hybrid_mnist.py": {
        "test_it_records_every_net": ALL,
        "test_its_figures_show_something": ALL,
        "test_its_report_names_nets_errors_and_parameters": ALL,
        "test_a_top_that_is_no_square_is_joined_alone": ALL,
        "test_one_form_is_the_same_without_the_other": ALL,
        "test_a_control_has_the_same_start_and_other_codes": ALL,
    },
    "experiments/test_vae_mnist.py": {
        "test_it_records_what_it_kept": ALL,
        "test_reconstructions_are_judged_example_by_example": ALL,
        "test_bounds_are_of_the_same_images_and_carry_the_interval_of_log_z": ALL,
        "test_samples_do_not_depend_on_how_many_are_drawn": ALL,
        "test_a_finished_run_reports": ALL,
        "test_an_rbm_is_a_dbn_of_one_layer_and_the_test_set_stays_closed": ALL,
    },
    "experiments/test_few_labels_mnist.py": {
        "test_it_runs": ALL,
        "test_held_out_images_judge_and_have_no_labels": ALL,
    },
    "experiments/test_finetune_mnist.py": {
        "test_other_pretraining_is_taken": ALL,
        "test_a_frozen_body_stays_and_the_test_set_stays_closed": ALL,
        "test_without_held_out_images_all_are_trained_on_and_the_last_net_is_kept": ALL,
        "test_it_runs": ALL,
    },
    "experiments/test_dbm_mnist.py": {
        "test_a_machine_that_grows_is_the_one_before": ALL,
        "test_greedy_layers_are_composed": ALL,
    },
    "experiments/test_many_devices.py": {
        "test_two_processes_are_one_run": ALL,
        "test_processes_that_disagree_stop_and_name_the_field": ALL,
        "test_a_net_with_a_posterior_is_trained_on_a_mesh": ALL,
        "test_a_run_moves_from_mesh_to_mesh": ALL,
        "test_units_that_a_mesh_does_not_divide_are_refused": ALL,
    },
    "test_sharding.py": {
        "test_training_is_that_of_one_device": (
            "DBM-(2, 4)",
            "spike and slab-(2, 4)",
            "centred PCD-(2, 4)",
            "CD-(1, 8)",
            "CD-(8, 1)",
            "fast PCD-(2, 4)",
        ),
        "test_a_stream_feeds_every_device_its_rows": ("(8, 1)",),
        "test_chains_draw_what_they_draw_on_one_device": ("(8, 1)",),
    },
    "evaluation/test_annealing.py": {
        "test_three_rungs_are_unbiased_in_both_directions_and_at_a_point": (
            "DBM of 3",
            "spike and slab",
            "Softmax and spin",
            "Gaussian",
            "DBM of 2",
        ),
        "test_clamped_chains_sum_out_the_hidden_layers_of_a_dbm": ALL,
    },
    "models/test_dbm.py": {
        "test_free_energy_sums_the_odd_layers_out": (
            "Bernoulli-Bernoulli-Bernoulli",
            "Bernoulli-Bernoulli-Softmax-Bernoulli",
            "Gaussian-Bernoulli-Bernoulli",
        ),
    },
    "models/test_annealed.py": {
        "test_a_rung_is_between_the_base_and_the_model": (
            "Softmax-ReLU",
            "swapped Bernoulli-Bernoulli-Bernoulli-Bernoulli",
            "Copies of Bernoulli-Joined of Gaussian Softmax",
            "Spin-Copies of Gaussian",
            "ReLU-Softmax",
            "Gaussian-Binomial",
            "Binomial-Gaussian",
            "Gaussian-Bernoulli",
            "Copies of Gaussian-Spin",
            "Joined of Gaussian Softmax-Copies of Bernoulli",
        ),
        "test_a_spike_and_slab_rung_scales_the_parameters": ALL,
    },
    "models/test_spike_and_slab.py": {
        "test_training_raises_the_likelihood": (
            "CD",
            "PCD projected",
        ),
    },
    "learning/test_centred.py": {
        "test_offsets_follow_the_data": ("DBM",),
    },
    "learning/test_discriminative.py": {
        "test_it_learns_digits_in_fit": ALL,
    },
    "learning/test_estimator_conformance.py": {
        "test_two_steps_of_training": (
            "cd of real units",
            "tempered pcd",
            "mean field",
            "up-down",
        ),
    },
    "learning/test_imputed.py": {
        "test_fit_learns_from_examples_with_gaps": ALL,
        "test_gaps_are_drawn_given_what_was_observed": ("DBM",),
    },
    "learning/test_mean_field.py": {
        "test_centred_joint_training_from_random_weights_learns": ALL,
    },
    "learning/test_pretrain.py": {
        "test_pretraining_learns_bars_and_stripes": ALL,
        "test_going_on_above_any_layer_is_an_uninterrupted_run": ALL,
    },
    "learning/test_up_down.py": {
        "test_it_trains_in_fit_and_resumes_from_a_checkpoint": ALL,
        "test_both_ways_follow_their_delta_rules_and_the_top_is_cd": ("DBN",),
    },
    "samplers/test_tempering.py": {
        "test_parallel_tempering_drives_pcd_between_modes": ALL,
        "test_training_with_parallel_tempering_learns_both_modes": ALL,
        "test_both_modes_get_their_weight": (
            "trajectory",
            "parallel",
        ),
    },
    "samplers/test_ladders.py": {
        "test_adapted_rungs_swap_equally_often": ALL,
    },
    "samplers/test_draw.py": {
        "test_the_free_units_follow_the_conditional_of_the_held_ones": (
            "Potts",
            "GRBM",
            "ssRBM",
            "DBN",
            "DBM",
        ),
    },
    "samplers/test_deep.py": {
        "test_gibbs_leaves_the_joint_of_all_layers_as_it_is": ALL,
        "test_all_layers_at_once_drift": ALL,
    },
    "evaluation/test_bounds.py": {
        "test_the_gap_of_a_dbm_is_the_divergence_of_mean_field": ALL,
    },
    "nets/test_vae.py": {
        "test_it_learns_by_fit_and_keeps_the_best_epoch": ALL,
        "test_bounds_of_a_data_set_are_those_of_its_examples": ALL,
    },
    "learning/test_contrastive_loss.py": {
        "test_an_encoder_learns_through_the_prior_by_plain_grad": ALL,
    },
    "parity/test_torch_dbn.py": {
        "test_another_feed_of_layer_2_is_told_apart": (
            "undrawn_means",
            "thresholded_means",
        ),
        "test_pretraining": (
            "samples",
            "means",
        ),
    },
    "samplers/test_sampler_conformance.py": {
        "test_it_leaves_the_joint_invariant": (
            "ancestral",
            "recognition",
            "over-relaxed",
            "adjusted, coarse",
            "observed",
            "trajectory",
            "tempering",
            "adjusted",
        ),
    },
    "samplers/test_stationarity.py": {
        "test_gibbs_leaves_the_moments_of_real_layers_as_they_are": (
            "ReLU-Softmax",
            "Copies of Gaussian-Spin",
            "Gaussian-Binomial",
            "Joined of Gaussian Softmax-Copies of Bernoulli",
        ),
    },
    "units/test_conformance.py": {
        "test_tails_of_real_units_are_as_heavy_in_half_precision": (
            "ReLU(size=1000000)-bfloat16",
            "ReLU(size=1000000)-float32",
        ),
    },
    "test_where_to_add.py": {
        "test_a_new_thing_is_one_file_and_one_line_of_cases": ALL,
    },
    "test_types.py": {
        "test_x64_by_another_library_changes_no_result": ALL,
    },
    "test_other_libraries.py": {
        "test_nnx": ALL,
        "test_nuts_of_blackjax": ALL,
    },
    "models/test_spike_and_slab_kernel.py": {
        "test_gibbs_leaves_the_joint_as_it_is": (
            "NoPenalty",
            "NormPenalty",
        ),
    },
    "learning/test_sparsity.py": {
        "test_activities_move_to_the_target": (
            "kullback_leibler",
            "squared_distance",
        ),
    },
    "learning/test_constant.py": {
        "test_sparse_text_is_learnt_from_a_start_at_the_data": ALL,
    },
    "samplers/test_ancestral.py": {
        "test_from_other_starts_long_chains_reach_the_enumerated_dbn": ALL,
    },
    "samplers/test_recognition.py": {
        "test_passes_upwards_alone_drift": ALL,
    },
    "learning/test_contrastive.py": {
        "test_long_chains_give_the_gradient_of_the_log_likelihood": ALL,
        "test_a_batch_split_over_devices_makes_the_same_updates": ("PCD",),
    },
    "units/test_composite.py": {
        "test_an_image_beside_its_label_learns_by_contrastive_divergence": ALL,
    },
    "evaluation/test_diagnostics.py": {
        "test_traces_of_training_are_of_the_chains_that_train": ALL,
    },
    "nets/test_finetune.py": {
        "test_it_learns_and_resumes_bit_for_bit": ALL,
    },
    "test_random.py": {
        "test_chains_stay_at_the_model": ALL,
    },
    "evaluation/test_pseudo_likelihood.py": {
        "test_in_float32_it_is_that_of_float64": (
            "(Softmax(sites=150, num_categories=3), Spin(size=500))",
        ),
    },
    "parity/test_torch_rbm.py": {
        "test_trajectory_of_contrastive_divergence": ("k=2",),
    },
}


def mark(items, slow):
    """Marks the tests above, and names those that the collected files lack."""
    collected = {}
    for item in items:
        file, _, name = item.nodeid.removeprefix("tests/").partition("::")
        test, _, parameters = name.partition("[")
        found = {"", parameters.removesuffix("]")}
        collected.setdefault(file, {}).setdefault(test, set()).update(found)
        if found & {*SLOW.get(file, {}).get(test, ())}:
            item.add_marker(slow)
    return [
        f"{file}::{test}[{parameters}]"
        for file, tests in SLOW.items()
        for test, all_parameters in tests.items()
        for parameters in all_parameters
        if file in collected and parameters not in collected[file].get(test, ())
    ]
