use ledger::statement::v1::{EmergencyRule, Member};

use super::*;
use crate::world::{charter, quorum};

fn said(edit: impl FnOnce(&mut Charter)) -> String {
    let mut charter = charter();
    edit(&mut charter);
    promise(&charter).unwrap().to_string()
}

fn member<'a>(charter: &'a mut Charter, id: &str) -> &'a mut Member {
    charter.members.iter_mut().find(|m| m.id.as_str() == id).unwrap()
}

fn robot<'a>(charter: &'a mut Charter, id: &str) -> &'a mut Robot {
    charter.robots.iter_mut().find(|r| r.id.as_str() == id).unwrap()
}

#[test]
fn the_shortest_counter_example_is_told_as_a_story() {
    type Edit = fn(&mut Charter);
    let fails = "\"no one person can\" does not hold: ";
    let rows: [(Edit, &str); 12] = [
        (|_| {}, "\"no one person can\" holds"),
        (
            |c| robot(c, "builder").host = "host-tester".parse().unwrap(),
            "tess administers host-tester; host-tester keeps the keys of builder and tester; so tess alone can make a build \
             and its evidence",
        ),
        // No pair of roles needs to be listed for that: whoever makes both makes up evidence.
        (
            |c| {
                c.conflicts.clear();
                robot(c, "builder").controllers.push("tess".parse().unwrap());
            },
            "tess controls the robots builder and tester; so tess alone can make a build and its evidence",
        ),
        (
            |c| {
                c.conflicts.clear();
                robot(c, "builder").host = "host-agent".parse().unwrap();
                robot(c, "tester").controllers = vec!["amy".parse().unwrap()];
            },
            "amy controls the robot tester; amy administers host-agent; host-agent keeps the key of builder; so amy alone \
             can make a build and its evidence",
        ),
        (
            |c| c.hosts[3].administrators.push("ada".parse().unwrap()),
            "ada holds the role release-manager; ada administers host-agent; host-agent keeps the key of agent; so ada \
             alone is both agent and release-manager, which no one may be",
        ),
        (
            |c| c.witness_quorum = 0,
            "tess controls the robot log; the charter asks for no witness; so tess alone can show others another log",
        ),
        (
            |c| c.witnesses[0].operator = "tess".to_owned(),
            "tess controls the robot log; the charter asks for one operator of witnesses, and tess is one; so tess alone can \
             show others another log",
        ),
        // One of two operators is not enough to pass for both.
        (
            |c| {
                let mut other = c.witnesses[0].clone();
                c.witnesses[0].operator = "tess".to_owned();
                other.vkey = crate::world::witness("beta").vkey().to_string();
                other.name = "beta".to_owned();
                c.witnesses.push(other);
                c.witness_quorum = 2;
            },
            "\"no one person can\" holds",
        ),
        (
            |c| c.robots.retain(|r| r.id.as_str() != "log"),
            "no robot of the charter has the log's key; so nobody can tell who keeps the log, and on which host",
        ),
        (
            |c| c.environments[1].quorum = quorum(&[("risk", 1)]),
            "cid holds the role release-manager; cid holds the role risk; so cid alone can release into production",
        ),
        (
            |c| {
                c.environments[0].emergency = Some(EmergencyRule { quorum: quorum(&[("risk", 1)]), verdict_s: 3600 });
            },
            "cid holds the role release-manager; cid holds the role risk; so cid alone can release into staging in an \
             emergency",
        ),
        (|c| c.amendment = quorum(&[("operator", 1)]), "\"no one person can\" holds"),
    ];
    for (edit, expected) in rows {
        let expected = if expected.starts_with('"') { expected.to_owned() } else { format!("{fails}{expected}") };
        assert_eq!(said(edit), expected);
    }
}

#[test]
fn every_row_is_refused_by_the_rule_that_is_there_for_it() {
    let promise = promise(&charter()).unwrap();
    let rows = [
        ("a change removes a suite of what runs", "full-suites-passed"),
        ("a change edits a suite of what runs, and the proposal does not say so", "edits-of-suites-are-shown"),
        ("a change that is not on the protected branch", "change-is-on-the-protected-branch"),
        ("a change that rewrote the branch", "change-is-on-the-protected-branch"),
        ("a commit that nobody signed", "commits-are-signed-by-enrolled-people"),
        ("a change that hides the one before it", "change-is-on-the-protected-branch"),
        ("no evidence", "full-suites-passed"),
        ("a suite that failed is run again until it passes", "full-suites-passed"),
        ("evidence by the builder's key", "the log's door and every reader"),
        ("images that were not built", "build-names-these-images"),
        ("a release document that was not built", "build-names-these-images"),
        ("a proposal that replaces something that does not run", "replaces-what-runs"),
        ("one approver fewer, where change and proposal ask for one", "quorum-has-approved"),
        ("one of the approvers wrote some of it", "quorum-has-approved"),
        ("approvals of another release", "quorum-has-approved"),
        ("approvals of a transition from something else", "quorum-has-approved"),
        ("approvals of another text than was shown", "quorum-has-approved"),
        ("a release that was replaced comes back on its old approvals", "quorum-has-approved"),
    ];
    for environment in ["staging", "production"] {
        for (attack, rule) in rows {
            let attack = format!("{environment}: {attack}");
            let row = promise.rows.iter().find(|r| r.attack == attack).unwrap_or_else(|| panic!("no row `{attack}`"));
            assert!(row.holds && row.found.contains(rule), "{attack}: {}", row.found);
        }
    }
    assert_eq!(promise.rows.len(), 2 + 2 * rows.len());
    assert!(promise.rows.iter().all(|row| row.holds));
}

/// The default policy without the rules of these names.
fn without(rules: &[&str]) -> String {
    let all = crate::policy::DEFAULT.split("\n\n");
    let kept: Vec<&str> = all.filter(|text| !rules.iter().any(|r| text.contains(&format!("@id(\"{r}\")")))).collect();
    kept.join("\n\n")
}

#[test]
fn a_policy_that_forgets_a_rule_is_found_out() {
    let rows = [
        ("full-suites-passed", "staging: a change removes a suite of what runs: GRANTED"),
        ("commits-are-signed-by-enrolled-people", "staging: a commit that nobody signed: GRANTED"),
        ("change-is-on-the-protected-branch", "staging: a change that is not on the protected branch: GRANTED"),
        (
            "edits-of-suites-are-shown",
            "staging: a change edits a suite of what runs, and the proposal does not say so: GRANTED",
        ),
    ];
    for (rule, expected) in rows {
        let policy = without(&[rule]);
        assert_ne!(policy, crate::policy::DEFAULT);
        let told = promise_under(policy);
        assert!(told.broken.iter().any(|s| s.to_string().starts_with(expected)), "{rule}: {:#?}", told.broken);
    }
    // Without any rule the floor of `decide` still asks for the quorum, and everything else is open.
    let nothing = "@id(\"may-release\") permit (principal, action == Action::\"release\", resource);".to_owned();
    let told = promise_under(nothing);
    assert!(told.rows.iter().any(|r| r.attack.ends_with("no evidence") && !r.holds));
    assert!(told.rows.iter().any(|r| r.attack.ends_with("one of the approvers wrote some of it") && r.holds));
}

fn promise_under(policy: String) -> Promise {
    let mut charter = charter();
    charter.policy = policy;
    promise(&charter).unwrap()
}

#[test]
fn where_nothing_can_be_tried_nothing_is_known_to_hold() {
    let told = said(|c| c.robots.retain(|r| r.role.as_str() != "tester"));
    assert_eq!(
        told,
        "\"no one person can\" does not hold: any attack on releases into production: could not be tried: nobody can release \
         there; so what judges a release can be got round"
    );
    let told = said(|c| member(c, "amy").roles.clear());
    assert_eq!(told, "\"no one person can\" holds");
}
