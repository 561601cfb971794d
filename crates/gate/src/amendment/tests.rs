use ledger::{
    charter::diff,
    statement::v1::{Edit, EmergencyRule, KeyScheme, Kind, Recovery, SilenceRule, ValueRule},
};
use model::value::Format;

use super::*;
use crate::world::{charter, guarded, quorum};

fn words(edit: impl FnOnce(&mut Charter)) -> Differences {
    let from = charter();
    let mut to = from.clone();
    edit(&mut to);
    Differences::between(&from, &to)
}

fn member<'a>(charter: &'a mut Charter, id: &str) -> &'a mut ledger::statement::v1::Member {
    charter.members.iter_mut().find(|m| m.id.as_str() == id).unwrap()
}

#[test]
fn who_could_newly_complete_a_quorum_is_named() {
    let found = words(|c| c.members.retain(|m| !["ben", "eve", "bob", "cid"].contains(&m.id.as_str())));
    assert!(
        found.takes.iter().any(|l| l == "ada and ben together could not approve releases into production any more"),
        "{found}"
    );
    assert!(!found.allows.iter().any(|l| l.contains("approve releases")), "{found}");

    let small = |c: &mut Charter| {
        c.members.retain(|m| ["ada", "ben", "dora", "oli", "pia", "tess", "amy", "bob"].contains(&m.id.as_str()));
        member(c, "bob").roles.clear();
    };
    let mut from = charter();
    small(&mut from);
    let mut to = from.clone();
    member(&mut to, "dora").roles.push("release-manager".parse().unwrap());
    let found = Differences::between(&from, &to);
    for line in [
        "ada and dora together could approve releases into production",
        "ben and dora together could approve releases into production",
        "ben and dora together could amend the charter",
        "dora could say: approval, exception, rejection",
        "dora would hold the role release-manager",
    ] {
        assert!(found.allows.iter().any(|l| l == line), "{line} is not in\n{found}");
    }
    assert!(!found.allows.iter().any(|l| l.contains("ada and ben")), "they could before\n{found}");
    assert_eq!(found.takes, Vec::<String>::new());
}

#[test]
fn every_loosening_is_under_what_it_allows_and_every_tightening_is_not() {
    type Row = (fn(&mut Charter), &'static str);
    let looser: [Row; 20] = [
        (
            |c| c.amendment = quorum(&[("release-manager", 1)]),
            "1 fewer is needed: to amend the charter takes 1 of release-manager",
        ),
        (|c| c.environments[1].approval_s *= 2, "in production, an approval would count for"),
        (|c| c.environments[1].max_age_s += 1, "in production, a checkpoint could be old for"),
        (
            |c| c.environments[1].emergency = Some(EmergencyRule { quorum: quorum(&[("operator", 2)]), verdict_s: 60 }),
            "in production, a release could go in an emergency",
        ),
        (|c| c.conflicts.clear(), "one person could hold builder and tester together"),
        (
            |c| c.hosts[0].administrators.push("tess".parse().unwrap()),
            "tess would administer host-builder, and could use the keys of builder",
        ),
        (|c| c.hosts[0].administrators.push("tess".parse().unwrap()), "\"no one person can\" would not hold any more"),
        (
            |c| c.robots[0].controllers.push("amy".parse().unwrap()),
            "the robot builder would be of role builder, on host-builder, controlled by bob, amy",
        ),
        (|c| c.robots[0].key = c.robots[1].key.clone(), "the robot builder would sign with another key"),
        (|c| c.roles[0].says.push(ledger::statement::v1::Kind::Halt), "the role developer could say: halt"),
        (|c| c.roles[0].says.push(ledger::statement::v1::Kind::Halt), "dora could say: halt"),
        (|c| c.witness_quorum = 0, "0 operators of witnesses instead of 1 would have to cosign"),
        (|c| c.witnesses[0].operator = "us".to_owned(), "alpha would count as one of us instead of alpha"),
        (
            |c| c.systems[0].branch = "dev".to_owned(),
            "the system bank would be built from dev of /srv/git/bank instead of main",
        ),
        (
            |c| c.policy = c.policy.replace("@id(\"nobody-rejected-it\")", "@id(\"other\")"),
            "the rule nobody-rejected-it of the policy would not bind any more",
        ),
        (
            |c| c.policy = c.policy.replace("context.rejections > 0", "context.rejections > 9"),
            "the rule nobody-rejected-it of the policy would be another",
        ),
        (
            |c| {
                c.recovery = Some(ledger::statement::v1::Recovery {
                    keys: vec![c.members[0].keys[0].clone(); 3],
                    count: 2,
                    delay_s: 9,
                })
            },
            "the charter could be recovered by 2 of 3 keys and 9 s",
        ),
        (
            |c| {
                let key = c.members[1].keys[0].clone();
                c.members[0].keys.push(key)
            },
            "ada would sign with the key sha256:",
        ),
        (
            |c| c.silence = Some(ledger::statement::v1::SilenceRule { kinds: Vec::new(), longest_s: 5 }),
            "0 kinds of alarm could be kept quiet",
        ),
        (
            |c| {
                c.programs.insert("gate".parse().unwrap(), vec![Digest::of(b"p")]);
            },
            "the program sha256:",
        ),
    ];
    for (edit, line) in looser {
        let found = words(edit);
        assert!(found.allows.iter().any(|l| l.contains(line)), "{line} is not allowed in\n{found}");
        // The way back takes away what this allows; what is only another is another both ways.
        if line.contains("another") {
            continue;
        }
        let mut from = charter();
        edit(&mut from);
        let back = Differences::between(&from, &charter());
        assert!(!back.allows.iter().any(|l| l.contains(line)), "{line} is allowed by the way back\n{back}");
        assert!(!back.is_empty());
    }
}

#[test]
fn nothing_that_an_edit_changes_is_left_out() {
    // Whatever two charters differ in, there is a line about it.
    let from = charter();
    let mut renamed = from.clone();
    renamed.environments.reverse();
    assert!(!Differences::between(&from, &renamed).is_empty());
    let mut moved = from.clone();
    moved.witnesses[0].url = "http://127.0.0.1:2/".to_owned();
    assert_eq!(Differences::between(&from, &moved).changes, ["where alpha is asked"]);
    let mut comment = from.clone();
    comment.policy.insert_str(0, "// first\n");
    assert!(!Differences::between(&from, &comment).is_empty());
    assert_eq!(Differences::between(&from, &from).to_string(), "it would change nothing\n");
    assert_eq!(
        apply(&from, &[Edit::KeyDelay(9)]).map(|to| Differences::between(&from, &to).takes).unwrap(),
        ["a new key would count after 9 s instead of 0 s"]
    );
}

/// A charter with something in every list and every choice.
fn full() -> Charter {
    let mut c = guarded();
    let payout = c.values[0].clone();
    c.values.push(ValueRule { environment: "staging".parse().unwrap(), ..payout });
    let keys = c.members.iter().take(3).map(|m| m.keys[0].clone()).collect();
    c.recovery = Some(Recovery { keys, count: 2, delay_s: 90_000 });
    c.silence = Some(SilenceRule { kinds: vec![ledger::statement::v1::AlarmKind::ProbeFailed], longest_s: 60 });
    c.environments[1].emergency = Some(EmergencyRule { quorum: quorum(&[("operator", 2)]), verdict_s: 60 });
    c.programs.insert("gate".parse().unwrap(), vec![Digest::of(b"p")]);
    c
}

/// Which kind of edit it is. Another kind does not build until it has a row below.
const fn kind(edit: &Edit) -> usize {
    match edit {
        Edit::SetMember(_) => 0,
        Edit::RemoveMember(_) => 1,
        Edit::SetRobot(_) => 2,
        Edit::RemoveRobot(_) => 3,
        Edit::SetHost(_) => 4,
        Edit::RemoveHost(_) => 5,
        Edit::SetRole(_) => 6,
        Edit::RemoveRole(_) => 7,
        Edit::AddConflict(..) => 8,
        Edit::RemoveConflict(..) => 9,
        Edit::SetSystem(_) => 10,
        Edit::RemoveSystem(_) => 11,
        Edit::SetEnvironment(_) => 12,
        Edit::RemoveEnvironment(_) => 13,
        Edit::SetWitness(_) => 14,
        Edit::RemoveWitness(_) => 15,
        Edit::SetValue(_) => 16,
        Edit::RemoveValue(..) => 17,
        Edit::WitnessQuorum(_) => 18,
        Edit::Amendment(_) => 19,
        Edit::Recovery(_) => 20,
        Edit::KeyDelay(_) => 21,
        Edit::Silence(_) => 22,
        Edit::Policy(_) => 23,
        Edit::Programs(_) => 24,
    }
}

#[test]
fn every_field_of_every_edit_has_words_of_its_own() {
    type Row = (&'static str, fn(&mut Charter));
    let rows: [Row; 60] = [
        ("members.roles", |c| c.members[0].roles.clear()),
        ("members.keys", |c| c.members[0].keys.clear()),
        ("members.keys.scheme", |c| c.members[0].keys[0].scheme = KeyScheme::SkSshsig),
        ("members.identity", |c| c.members[0].identity = Digest::of(b"other")),
        ("members.founder", |c| c.members[0].founder ^= true),
        ("members.new", |c| {
            let mut new = c.members[0].clone();
            new.id = "new".parse().unwrap();
            c.members.push(new);
        }),
        ("members.gone", |c| drop(c.members.remove(0))),
        ("robots.role", |c| c.robots[0].role = c.robots[1].role.clone()),
        ("robots.key", |c| c.robots[0].key = c.robots[1].key.clone()),
        ("robots.key.scheme", |c| c.robots[0].key.scheme = KeyScheme::SkSshsig),
        ("robots.controllers", |c| c.robots[0].controllers.clear()),
        ("robots.host", |c| c.robots[0].host = c.robots[1].host.clone()),
        ("robots.environments", |c| c.robots[0].environments.push("staging".parse().unwrap())),
        ("robots.new", |c| {
            let mut new = c.robots[0].clone();
            new.id = "new".parse().unwrap();
            c.robots.push(new);
        }),
        ("robots.gone", |c| drop(c.robots.remove(0))),
        ("hosts.administrators", |c| c.hosts[0].administrators.clear()),
        ("hosts.new", |c| {
            let mut new = c.hosts[0].clone();
            new.name = "new".parse().unwrap();
            c.hosts.push(new);
        }),
        ("hosts.gone", |c| drop(c.hosts.remove(0))),
        ("roles.more", |c| c.roles[0].says.push(Kind::Erasure)),
        ("roles.less", |c| c.roles[0].says.clear()),
        ("roles.gone", |c| drop(c.roles.remove(0))),
        ("conflicts.new", |c| c.conflicts.push(("operator".parse().unwrap(), "tester".parse().unwrap()))),
        ("conflicts.gone", |c| drop(c.conflicts.remove(0))),
        ("systems.remote", |c| c.systems[0].remote.push('x')),
        ("systems.branch", |c| c.systems[0].branch.push('x')),
        ("systems.new", |c| {
            let mut new = c.systems[0].clone();
            new.name = "new".parse().unwrap();
            c.systems.push(new);
        }),
        ("systems.gone", |c| drop(c.systems.remove(0))),
        ("environments.quorum", |c| c.environments[1].quorum = quorum(&[("operator", 1)])),
        ("environments.approval_s", |c| c.environments[1].approval_s += 1),
        ("environments.cool_off_s", |c| c.environments[1].cool_off_s += 1),
        ("environments.verdict_s", |c| c.environments[1].verdict_s += 1),
        ("environments.max_age_s", |c| c.environments[1].max_age_s += 1),
        ("environments.rollback_s", |c| c.environments[1].rollback_s += 1),
        ("environments.resume", |c| c.environments[1].resume = quorum(&[("operator", 1)])),
        ("environments.builders", |c| c.environments[1].builders += 1),
        ("environments.emergency", |c| c.environments[1].emergency = None),
        ("environments.emergency.quorum", |c| {
            c.environments[1].emergency.as_mut().unwrap().quorum = quorum(&[("operator", 1)]);
        }),
        ("environments.emergency.verdict_s", |c| c.environments[1].emergency.as_mut().unwrap().verdict_s += 1),
        ("environments.new", |c| {
            let mut new = c.environments[0].clone();
            new.name = "new".parse().unwrap();
            c.environments.push(new);
        }),
        ("environments.gone", |c| drop(c.environments.remove(0))),
        ("witnesses.operator", |c| c.witnesses[0].operator.push('x')),
        ("witnesses.vkey", |c| c.witnesses[0].vkey.push('x')),
        ("witnesses.url", |c| c.witnesses[0].url.push('x')),
        ("witnesses.gone", |c| drop(c.witnesses.remove(0))),
        ("witness_quorum", |c| c.witness_quorum += 1),
        ("values.format", |c| c.values[1].format = Format::Text),
        ("values.guardians", |c| c.values[1].guardians = quorum(&[("guardian", 1)])),
        ("values.cool_off_s", |c| c.values[1].cool_off_s = 0),
        ("values.environment", |c| c.values[1].environment = "elsewhere".parse().unwrap()),
        ("values.system", |c| c.values[1].system = "elsewhere".parse().unwrap()),
        ("values.gone", |c| drop(c.values.remove(1))),
        ("amendment", |c| c.amendment = quorum(&[("operator", 1)])),
        ("recovery", |c| c.recovery = None),
        ("recovery.keys", |c| c.recovery.as_mut().unwrap().keys[0] = c.members[4].keys[0].clone()),
        ("recovery.count", |c| c.recovery.as_mut().unwrap().count += 1),
        ("recovery.delay_s", |c| c.recovery.as_mut().unwrap().delay_s += 1),
        ("key_delay_s", |c| c.key_delay_s += 1),
        ("silence", |c| c.silence.as_mut().unwrap().longest_s += 1),
        ("policy", |c| c.policy.push_str("// last\n")),
        ("programs", |c| c.programs.clear()),
    ];
    let from = full();
    let mut kinds = std::collections::BTreeSet::new();
    for (what, edit) in rows {
        let mut to = from.clone();
        edit(&mut to);
        let edits = diff(&from, &to).unwrap();
        assert!(!edits.is_empty(), "{what} edits nothing");
        kinds.extend(edits.iter().map(kind));
        let found = Differences::between(&from, &to);
        assert!(!found.is_empty(), "{what} goes without a word");
        let otherwise = found.changes.iter().find(|line| line.ends_with("are listed: read the edits"));
        assert_eq!(otherwise, None, "{what} has no words of its own");
    }
    assert_eq!(kinds.len(), 25, "every kind of edit has a row");
}

#[test]
fn what_has_no_words_of_its_own_is_told_all_the_same() {
    let from = full();
    let rows: [fn(&mut Charter); 5] = [
        |c| c.members.reverse(),
        |c| c.witnesses.extend(c.witnesses.clone()),
        |c| c.values.reverse(),
        |c| c.hosts.reverse(),
        |c| c.roles.reverse(),
    ];
    for (at, edit) in rows.into_iter().enumerate() {
        let mut to = from.clone();
        edit(&mut to);
        assert!(!Differences::between(&from, &to).is_empty(), "{at}");
    }
}

#[test]
fn a_value_in_one_place_is_another_in_another_place() {
    let from = full();
    let mut to = from.clone();
    to.values[1].guardians = quorum(&[("guardian", 1)]);
    let found = Differences::between(&from, &to);
    let line = "1 fewer is needed: to change the guarded value payout of bank in staging takes 1 of guardian";
    assert!(found.allows.iter().any(|l| l.starts_with(line)), "{found}");
    let mut to = from.clone();
    let old = to.recovery.as_ref().unwrap().keys[0].clone();
    to.recovery.as_mut().unwrap().keys[0] = from.members[5].keys[0].clone();
    let found = Differences::between(&from, &to);
    let name = |key| ledger::statement::public_key(key).unwrap().id();
    let (new, gone) = (name(&from.members[5].keys[0]), name(&old));
    assert!(found.allows.contains(&format!("the charter could be recovered with the key {new}")), "{found}");
    assert!(
        found.takes.contains(&format!("the charter could not be recovered with the key {gone} any more")),
        "{found}"
    );
}
