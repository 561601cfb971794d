use ledger::statement::v1::{Edit, EmergencyRule};

use super::*;
use crate::world::{charter, quorum};

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
