//! What README says under "how it protects you", and the tests that show it: a paragraph without one is no promise.

use std::path::Path;

/// The first words of a paragraph, and the tests: file below `crates`, and name. Rows of the table of attacks are beside them.
const SHOWN: &[(&str, &[(&str, &str)])] = &[
    (
        "One log.",
        &[
            ("ledger/tests/faults/killed.rs", "killed_at_any_moment_under_load_it_keeps_what_it_said_and_stays_whole"),
            ("countersign/src/verbs/audit/tests/damage.rs", "whatever_is_changed_in_a_copy_is_named_by_its_place"),
        ],
    ),
    (
        "Witnesses.",
        &[
            ("ledger/src/witness/tests.rs", "refusals_by_status"),
            ("countersign/tests/witness.rs", "a_witness_that_is_killed_forgets_nothing"),
        ],
    ),
    (
        "What people say can be forgotten.",
        &[
            ("ledger/src/erasure/tests.rs", "two_persons_erase_and_one_does_not"),
            ("ledger/src/bodies/tests.rs", "bodies_are_kept_under_their_subject_and_erased_with_it"),
        ],
    ),
    (
        "A verdict is computed, not given.",
        &[
            ("gate/src/decide/tests/table.rs", "each_rule_refuses_alone"),
            ("countersign/tests/whole/attacks.rs", "root_attacks_on_a_running_installation"),
        ],
    ),
    (
        "The agent believes no verdict.",
        &[
            ("countersign/tests/whole/attacks.rs", "root_attacks_on_a_running_installation"),
            ("gate/src/start/tests.rs", "an_agents_word_without_a_verdict_counts_for_nothing"),
        ],
    ),
    (
        "People, not keys, are counted.",
        &[
            ("countersign/tests/whole/attacks.rs", "root_attacks_on_a_running_installation"),
            ("countersign/tests/whole/refusals.rs", "root_what_the_rules_forbid_starts_nothing"),
        ],
    ),
    (
        "The charter changes by quorum.",
        &[
            ("countersign/src/verbs/charter/tests.rs", "an_amendment_goes_from_a_file_to_force_by_the_quorum_alone"),
            ("countersign/tests/whole/amended.rs", "root_amendments_and_emergencies_give_no_more_than_they_say"),
        ],
    ),
    (
        "An approval is for one transition.",
        &[("countersign/tests/whole/attacks.rs", "root_attacks_on_a_running_installation")],
    ),
    (
        "Nobody alone changes where money goes.",
        &[("countersign/tests/whole/values.rs", "root_an_account_changes_by_its_guardians_and_by_a_release_alone")],
    ),
    (
        "Commits are signed by enrolled people.",
        &[("countersign/tests/whole/refusals.rs", "root_what_the_rules_forbid_starts_nothing")],
    ),
    (
        "Nobody makes their own evidence.",
        &[
            ("countersign/tests/whole/attacks.rs", "root_attacks_on_a_running_installation"),
            ("countersign/tests/whole/amended.rs", "root_amendments_and_emergencies_give_no_more_than_they_say"),
        ],
    ),
    (
        "An emergency is loud and short.",
        &[
            ("countersign/tests/whole/amended.rs", "root_amendments_and_emergencies_give_no_more_than_they_say"),
            ("gate/src/emergency/tests.rs", "it_gives_away_missing_evidence_and_nothing_else"),
            ("gate/src/promotion/tests.rs", "an_emergency_goes_before_it_ran_there_but_never_against_what_was_found"),
        ],
    ),
    ("Robots only.", &[("countersign/tests/whole/attacks.rs", "root_attacks_on_a_running_installation")]),
    (
        "Not tested is not passed.",
        &[
            ("build/src/suite/tests.rs", "every_reason_is_found_alone"),
            ("countersign/tests/whole/refusals.rs", "root_what_the_rules_forbid_starts_nothing"),
        ],
    ),
    ("Tested is what is released.", &[("gate/src/decide/tests/table.rs", "each_rule_refuses_alone")]),
    (
        "Builds are closed in.",
        &[
            ("build/src/sandbox/tests.rs", "a_command_sees_little_and_may_do_less"),
            ("build/src/sandbox/tests.rs", "the_fetch_phase_reaches_what_is_declared_and_nothing_else"),
            ("build/src/fetch/tests.rs", "lock_files_that_do_not_lock_are_refused"),
        ],
    ),
    (
        "Components are closed in.",
        &[
            ("runtime/src/local/tests/isolation.rs", "root_nothing_but_tmp_can_be_written_and_no_privileges_are_there"),
            ("runtime/src/local/tests/isolation.rs", "root_drift_is_seen"),
        ],
    ),
    ("Zones deny by default.", &[("runtime/src/local/tests/zones.rs", "root_only_declared_flows_get_through")]),
    (
        "State has one writer.",
        &[
            ("runtime/src/local/tests/state.rs", "root_an_exclusive_volume_has_one_instance_at_a_time"),
            ("sim/src/rollout_stories/tests.rs", "upgrade_with_hand_over"),
        ],
    ),
    (
        "A bad version goes back.",
        &[
            ("sim/src/rollout_stories/tests.rs", "going_back_on_errors"),
            ("sim/src/rollout_stories/tests.rs", "stuck_past_an_irreversible_migration_until_a_person_releases_a_fix"),
            (
                "countersign/tests/whole/faults.rs",
                "root_bad_components_and_damaged_images_go_back_and_the_rest_runs_on",
            ),
        ],
    ),
    (
        "Stopping is quick.",
        &[
            ("countersign/tests/whole/halts.rs", "root_one_person_halts_without_the_log_and_two_resume"),
            (
                "countersign/src/processes/agent/stops/tests.rs",
                "a_halt_reaches_a_hundred_agents_while_nothing_else_answers",
            ),
        ],
    ),
    (
        "Each process is confined.",
        &[
            ("countersign/src/confine/tests.rs", "root_gives_up_everything"),
            ("countersign/tests/whole/attacks.rs", "root_attacks_on_a_running_installation"),
        ],
    ),
    (
        "Others can read it.",
        &[
            ("ledger/tests/independent.rs", "a_log_is_read_by_another_implementation"),
            ("ledger/tests/independent.rs", "cosignatures_are_verified_by_another_implementation"),
        ],
    ),
    (
        "Duties are tried out.",
        &[
            ("gate/src/duties/promise/tests.rs", "a_policy_that_forgets_a_rule_is_found_out"),
            ("countersign/tests/whole/amended.rs", "root_amendments_and_emergencies_give_no_more_than_they_say"),
        ],
    ),
    (
        "An auditor needs no server.",
        &[(
            "countersign/src/verbs/audit/tests/damage.rs",
            "what_a_forger_with_the_keys_of_log_and_witness_appends_is_named",
        )],
    ),
];

#[test]
fn every_paragraph_of_how_it_protects_you_names_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.to_lowercase().find("\n## how it protects you").unwrap();
    let section = &readme[section + 1..];
    let section = &section[..section.find("\n## ").unwrap()];
    let said: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("- **")?.split("**").next()).collect();
    let shown: Vec<&str> = SHOWN.iter().map(|(words, _)| *words).collect();
    assert_eq!(said, shown, "a promise has no row, or a row no promise");
    for (words, tests) in SHOWN {
        assert!(!tests.is_empty(), "{words}");
        for (file, name) in *tests {
            let text = std::fs::read_to_string(root.join("crates").join(file)).unwrap_or_default();
            let at = text.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("{words} `{file}` has no `{name}`"));
            let before: String = text[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            assert!(before.contains("#[test]") || before.contains("#[tokio::test"), "{words} `{name}` is no test");
        }
    }
}
