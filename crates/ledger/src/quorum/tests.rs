use super::*;
use crate::statement::v1::Group;

fn quorum(groups: &[(&str, u32)]) -> Quorum {
    Quorum { groups: groups.iter().map(|(r, n)| Group { role: r.parse().unwrap(), count: *n }).collect() }
}

fn spoke(rows: &[(&str, &[&str])]) -> BTreeMap<PersonId, BTreeSet<RoleName>> {
    rows.iter().map(|(p, roles)| (p.parse().unwrap(), roles.iter().map(|r| r.parse().unwrap()).collect())).collect()
}

#[test]
fn truth_table() {
    let two = quorum(&[("manager", 2)]);
    let both = quorum(&[("manager", 1), ("risk", 1)]);
    type Row<'a> = (&'a str, &'a Quorum, &'a [(&'a str, &'a [&'a str])], bool);
    let rows: &[Row<'_>] = &[
        ("nobody", &two, &[], false),
        ("one", &two, &[("ada", &["manager"])], false),
        ("two", &two, &[("ada", &["manager"]), ("ben", &["manager"])], true),
        ("two of another role", &two, &[("ada", &["risk"]), ("ben", &["risk"])], false),
        ("one person in two roles is one person", &both, &[("ada", &["manager", "risk"])], false),
        (
            "the person who can do both leaves the place that the other needs",
            &both,
            &[("ada", &["manager", "risk"]), ("ben", &["manager"])],
            true,
        ),
        ("and the other way round", &both, &[("ada", &["manager", "risk"]), ("ben", &["risk"])], true),
        ("whoever speaks first", &both, &[("ada", &["manager"]), ("ben", &["manager", "risk"])], true),
        (
            "whoever speaks first, the other way round",
            &both,
            &[("ada", &["risk"]), ("ben", &["manager", "risk"])],
            true,
        ),
        (
            "two of one group do not make up for the other",
            &both,
            &[("ada", &["manager"]), ("ben", &["manager"])],
            false,
        ),
    ];
    for (what, quorum, who, met) in rows {
        assert_eq!(tally(quorum, &spoke(who)).is_met(), *met, "{what}");
    }
}

#[test]
fn an_empty_quorum_is_never_met() {
    assert!(!tally(&quorum(&[]), &spoke(&[("ada", &["manager"])])).is_met());
    assert!(!tally(&quorum(&[("manager", 0)]), &spoke(&[("ada", &["manager"])])).is_met());
}

#[test]
fn a_quorum_of_billions_is_not_met_and_takes_no_memory() {
    let tally =
        tally(&quorum(&[("manager", u32::MAX), ("risk", 7)]), &spoke(&[("ada", &["manager"]), ("ben", &["risk"])]));
    assert_eq!((tally.counted, tally.needed), (2, u32::MAX));
    assert!(!tally.is_met());
}

proptest::proptest! {
    /// Against trying every way to seat the persons.
    #[test]
    fn as_many_as_can_be_seated(
        groups in proptest::collection::vec((0usize..3, 0u32..3), 1..4),
        people in proptest::collection::vec(0u8..8, 0..5),
    ) {
        let names = ["manager", "risk", "money"];
        let persons = ["ada", "ben", "cid", "dora", "eve"];
        let roles: Vec<Vec<&str>> =
            people.iter().map(|bits| names.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, n)| *n).collect()).collect();
        let rows: Vec<(&str, &[&str])> = persons.iter().zip(&roles).map(|(p, r)| (*p, r.as_slice())).collect();
        let groups: Vec<(&str, u32)> = groups.iter().map(|(i, n)| (names[*i], *n)).collect();
        let places: Vec<&str> = groups.iter().flat_map(|(r, n)| vec![*r; *n as usize]).collect();
        let counted = tally(&quorum(&groups), &spoke(&rows)).counted as usize;
        proptest::prop_assert_eq!(counted, most(&places, &roles));
    }
}

fn most(places: &[&str], people: &[Vec<&str>]) -> usize {
    let Some((first, rest)) = places.split_first() else { return 0 };
    let without = most(rest, people);
    let with = (0..people.len()).filter(|i| people[*i].contains(first)).map(|i| {
        let mut others = people.to_vec();
        others.remove(i);
        1 + most(rest, &others)
    });
    with.max().unwrap_or(0).max(without)
}
