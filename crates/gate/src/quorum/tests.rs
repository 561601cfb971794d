use super::*;
use ledger::statement::v1::Group;

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
    let rows: &[(&str, &Quorum, &[(&str, &[&str])], bool)] = &[
        ("nobody", &two, &[], false),
        ("one", &two, &[("ada", &["manager"])], false),
        ("two", &two, &[("ada", &["manager"]), ("ben", &["manager"])], true),
        ("two of another role", &two, &[("ada", &["risk"]), ("ben", &["risk"])], false),
        ("one person in two roles is one person", &both, &[("ada", &["manager", "risk"])], false),
        ("the person who can do both leaves the place that the other needs", &both,
            &[("ada", &["manager", "risk"]), ("ben", &["manager"])], true),
        ("and the other way round", &both, &[("ada", &["manager", "risk"]), ("ben", &["risk"])], true),
        ("two of one group do not make up for the other", &both, &[("ada", &["manager"]), ("ben", &["manager"])], false),
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
