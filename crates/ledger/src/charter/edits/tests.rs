use proptest::prelude::*;

use super::*;
use crate::statement::{
    samples,
    v1::{Group, Host, Quorum},
};

/// A charter whose lists have these names, in this order, with a number that makes what has the same name differ.
fn charter(names: &[(u8, u8)], quorum: u32) -> Charter {
    let mut c = samples::charter();
    let sample = c.clone();
    let name = |prefix: &str, n: u8| format!("{prefix}{n}");
    c.members.clear();
    c.robots.clear();
    c.hosts.clear();
    c.environments.clear();
    c.conflicts.clear();
    c.witnesses.clear();
    for (n, kind) in names {
        let mut member = sample.members[0].clone();
        member.id = name("person", *n).parse().unwrap();
        member.founder = *kind == 0;
        c.members.push(member);
        let mut robot = sample.robots[0].clone();
        robot.id = name("robot", *n).parse().unwrap();
        robot.host = name("host", *kind).parse().unwrap();
        c.robots.push(robot);
        let administrators = vec![name("person", *kind).parse().unwrap()];
        c.hosts.push(Host { name: name("host", *n).parse().unwrap(), administrators });
        let mut environment = sample.environments[0].clone();
        environment.name = name("environment", *n).parse().unwrap();
        environment.max_age_s = u64::from(*kind);
        c.environments.push(environment);
        c.conflicts.push((name("role", *n).parse().unwrap(), name("other", *n).parse().unwrap()));
        let mut witness = sample.witnesses[0].clone();
        witness.name = name("witness", *n);
        witness.url = kind.to_string();
        c.witnesses.push(witness);
    }
    c.amendment = Quorum { groups: vec![Group { role: "role1".parse().unwrap(), count: quorum }] };
    c
}

fn names() -> impl Strategy<Value = Vec<(u8, u8)>> {
    proptest::sample::subsequence((0..7_u8).collect::<Vec<_>>(), 0..=7)
        .prop_shuffle()
        .prop_flat_map(|order| order.into_iter().map(|n| (Just(n), 0..2_u8)).collect::<Vec<_>>())
}

proptest! {
    /// What `diff` finds, `apply` makes, in every order of every list.
    #[test]
    fn edits_lead_from_any_charter_to_any_other(a in names(), b in names(), q in 0..3_u32) {
        let (a, b) = (charter(&a, 0), charter(&b, q));
        let edits = diff(&a, &b).unwrap();
        prop_assert_eq!(apply(&a, &edits).unwrap(), b.clone());
        prop_assert_eq!(edits.is_empty(), a == b);
        prop_assert_eq!(a.digest() == b.digest(), a == b);
    }
}

#[test]
fn an_edit_of_what_is_not_there_is_refused() {
    let c = samples::charter();
    let gone = apply(&c, &[Edit::RemoveMember("nobody".parse().unwrap())]).unwrap_err();
    assert_eq!(gone.to_string(), "there is no member `nobody` to remove");
    let (one, other) = c.conflicts[0].clone();
    let there = apply(&c, &[Edit::AddConflict(other.clone(), one.clone())]).unwrap_err();
    assert_eq!(there.to_string(), format!("the conflict of `{other}` and `{one}` is there already"));
    let removed = apply(&c, &[Edit::RemoveConflict(other, one)]).unwrap();
    assert!(removed.conflicts.is_empty(), "a conflict has no direction");
}

#[test]
fn the_log_and_names_that_stand_twice_have_no_edits() {
    let c = samples::charter();
    let mut other = c.clone();
    other.log.origin = "another".to_owned();
    assert_eq!(diff(&c, &other), Err(DiffError::Fixed));
    let mut other = c.clone();
    other.demo = !other.demo;
    assert_eq!(diff(&c, &other), Err(DiffError::Fixed));
    let mut other = c.clone();
    other.members.push(other.members[0].clone());
    assert_eq!(diff(&c, &other), Err(DiffError::Twice));
}
