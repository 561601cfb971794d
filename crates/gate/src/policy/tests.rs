use ledger::statement::v1::Ruling;

use super::*;
use crate::{
    decide,
    world::{World, charter},
};

fn error(text: &str) -> String {
    let mut error: &dyn std::error::Error = &Policy::parse(text).unwrap_err();
    let mut words = error.to_string();
    while let Some(source) = error.source() {
        words.push_str(&format!(": {source}"));
        error = source;
    }
    words
}

const PERMIT: &str = r#"@id("all") permit(principal, action, resource);"#;

fn forbid(condition: &str) -> String {
    format!(
        r#"{PERMIT} @id("rule") @needed("something") forbid(principal, action == Action::"release", resource) {condition};"#
    )
}

#[test]
fn the_default_policy_is_valid_and_uses_every_kind_of_fact() {
    Policy::parse(DEFAULT).unwrap();
    for fact in FACTS {
        assert!(SCHEMA.contains(&format!("    {fact}: ")), "{fact} is in the schema");
    }
    assert_eq!(SCHEMA.matches(",\n").count() - 3, FACTS.len(), "and nothing else is");
}

#[test]
fn what_does_not_hold_up_is_refused() {
    let rows = [
        ("forbid".to_owned(), "the policy is not Cedar"),
        ("permit(principal, action, resource);".to_owned(), "needs an `@id` of its own"),
        (r#"@id("") permit(principal, action, resource);"#.to_owned(), "needs an `@id` of its own"),
        (format!("{PERMIT}{PERMIT}"), "the rule all needs an `@id` of its own"),
        (r#"@id("no") forbid(principal, action, resource);"#.to_owned(), "the rule `no` needs `@needed`"),
        (r#"@id("no") @needed("") forbid(principal, action, resource);"#.to_owned(), "the rule `no` needs `@needed`"),
        (
            r#"@id("no") @needed("x") @facts("halted aprovals") forbid(principal, action, resource);"#.to_owned(),
            "the rule `no` names `aprovals` in `@facts`, which is not a fact",
        ),
        (forbid("when { context.aprovals > 2 }"), "the policy does not fit the facts"),
        (forbid("when { context.halted > 2 }"), "the policy does not fit the facts"),
        (forbid(r#"when { context.approvals == "two" }"#), "the policy does not fit the facts"),
        (forbid(r#"when { resource.owner == "ada" }"#), "the policy does not fit the facts"),
        (forbid(r#"when { principal in Group::"x" }"#), "the policy does not fit the facts"),
        (
            r#"@id("t") @needed("x") forbid(principal == ?principal, action, resource);"#.to_owned(),
            "is a template, which nothing here fills in",
        ),
    ];
    for (text, words) in rows {
        let found = error(&text);
        assert!(found.contains(words), "{text}\nwanted {words}, got {found}");
    }
}

/// The rules that refuse under a policy, in a world where everything else is in order.
fn rules(policy: &str, act: impl FnOnce(&mut World, &crate::world::Put)) -> Vec<(String, String)> {
    let mut charter = charter();
    charter.policy = policy.to_owned();
    let mut world = World::founded(charter);
    let put = world.put(1, None);
    act(&mut world, &put);
    match decide(&world.facts(), put.proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => Vec::new(),
        Ruling::Refused { reasons } => reasons.into_iter().map(|r| (r.rule, r.found)).collect(),
    }
}

#[test]
fn a_policy_that_permits_nothing_refuses() {
    for text in ["", r#"@id("staging") permit(principal, action, resource == Environment::"staging");"#] {
        let found = rules(text, |w, put| w.approve_both(put));
        assert_eq!(found, [("permit".to_owned(), "no rule permits it".to_owned())]);
    }
}

#[test]
fn a_policy_that_can_not_be_evaluated_refuses() {
    let text = forbid("when { context.approvals + 9223372036854775807 > 0 && context.approvals > 7 }");
    let found = rules(&text, |w, put| w.approve_both(put));
    assert_eq!(found[0].0, "policy");
    assert!(found[0].1.starts_with("the policy could not be evaluated: "), "{found:?}");
}

#[test]
fn no_policy_gives_away_the_quorum_or_a_stop() {
    assert_eq!(rules(PERMIT, |w, put| w.approve_both(put)), []);
    let of = |act: fn(&mut World, &crate::world::Put)| -> Vec<String> {
        rules(PERMIT, act).into_iter().map(|r| r.0).collect()
    };
    assert_eq!(of(|_, _| {}), ["quorum-has-approved"]);
    assert_eq!(
        of(|w, put| {
            w.approve("ada", put);
            w.tick();
        }),
        ["quorum-has-approved"]
    );
    assert_eq!(
        of(|w, put| {
            w.approve_both(put);
            w.reject("cid", put);
            w.halt("oli");
        }),
        ["nobody-rejected-it", "not-halted"]
    );
}

#[test]
fn long_lists_are_cut_in_words_and_counted() {
    let text = forbid("when { !context.commits_without_requirement.isEmpty() }")
        .replace("@needed", r#"@facts("commits_without_requirement halted") @needed"#);
    let mut charter = charter();
    charter.policy = text;
    let mut world = World::founded(charter);
    let mut change = world.good_change(1, None);
    change.commits = (0..9).map(|n| crate::world::commit(0x1111_1111_1111 * (n + 1), "dora")).collect();
    change.commits.iter_mut().for_each(|c| c.requirements.clear());
    for (n, c) in change.commits.iter_mut().enumerate() {
        c.commit = format!("{n}{:039x}", 0).parse().unwrap();
    }
    let put = world.put_change(change, None);
    world.approve_both(&put);
    let Ruling::Refused { reasons } = decide(&world.facts(), put.proposal).unwrap().verdict.ruling else { panic!() };
    assert_eq!(
        reasons[0].found,
        "commits without requirement: 000000000000; 100000000000; 200000000000; 300000000000; 400000000000; and 4 more, halted: no"
    );
}
