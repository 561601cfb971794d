use ledger::{
    keys::Signer as _,
    statement::v1::{Group, Kind, Member, Role},
};

use ledger::statement::v1::AfterRule;

use super::*;
use crate::world::{charter, quorum};

fn words(edit: impl FnOnce(&mut Charter)) -> String {
    let mut charter = charter();
    edit(&mut charter);
    check(&charter).map_or_else(|e| e.to_string(), |duties| format!("accepted, hold: {}", duties.hold()))
}

fn member<'a>(charter: &'a mut Charter, id: &str) -> &'a mut Member {
    charter.members.iter_mut().find(|m| m.id.as_str() == id).unwrap()
}

#[test]
fn a_charter_in_order_is_accepted_and_its_duties_hold() {
    assert_eq!(words(|_| {}), "accepted, hold: true");
}

#[test]
fn every_refusal_has_its_words() {
    type Edit = fn(&mut Charter);
    let rows: [(Edit, &str); 32] = [
        (|c| c.roles.push(c.roles[0].clone()), "the role `developer` is defined twice"),
        (
            |c| c.roles[0].says.push(Kind::Charter),
            "the role `developer` may not say charters; founders sign the charter",
        ),
        (
            |c| {
                let mut again = member(c, "ada").clone();
                again.keys = vec![ledger::statement::v1::Key {
                    scheme: ledger::statement::v1::KeyScheme::Sshsig,
                    public: ledger::keys::Signer::key(&crate::world::key_of("new")).to_openssh(),
                }];
                c.members.push(again);
            },
            "the member `ada` stands twice",
        ),
        (|c| member(c, "ben").keys.clear(), "the member `ben` has no key"),
        (
            |c| member(c, "ben").roles.push("king".parse().unwrap()),
            "the member `ben` holds `king`, which is not a role",
        ),
        (|c| c.robots[0].role = "king".parse().unwrap(), "the robot `builder` holds `king`, which is not a role"),
        (|c| c.robots[0].controllers.clear(), "the robot `builder` lists nobody who controls it"),
        (
            |c| c.robots[0].controllers.push("nobody".parse().unwrap()),
            "the robot `builder` is controlled by `nobody`, who is not a member",
        ),
        (|c| c.robots[0].host = "cloud".parse().unwrap(), "the robot `builder` is on `cloud`, which is not a host"),
        (
            |c| c.robots[0].role = "release-manager".parse().unwrap(),
            "the robot `builder` could say `approval`, which only people may",
        ),
        (|c| c.robots[1].id = "builder".parse().unwrap(), "the robot `builder` stands twice"),
        (
            |c| c.hosts[0].administrators.push("nobody".parse().unwrap()),
            "the host `host-builder` is administered by `nobody`, who is not a member",
        ),
        (|c| c.hosts[0].administrators.clear(), "the host `host-builder` lists no administrator"),
        (
            |c| c.environments[1].after = Some(AfterRule { environment: "test".parse().unwrap(), soak_s: 0 }),
            "`production` comes after `test`, which is not an environment",
        ),
        (
            |c| {
                for (one, other) in [(0, "production"), (1, "staging")] {
                    c.environments[one].after = Some(AfterRule { environment: other.parse().unwrap(), soak_s: 0 });
                }
            },
            "the environment `staging` would come after itself",
        ),
        (|c| c.hosts.push(c.hosts[0].clone()), "the host `host-builder` stands twice"),
        (|c| c.systems.push(c.systems[0].clone()), "the system `bank` stands twice"),
        (|c| c.environments.push(c.environments[0].clone()), "the environment `staging` stands twice"),
        (
            |c| c.conflicts.push(("king".parse().unwrap(), "gate".parse().unwrap())),
            "the conflict names `king`, which is not a role",
        ),
        (
            |c| c.conflicts.push(("gate".parse().unwrap(), "gate".parse().unwrap())),
            "the role `gate` can not conflict with itself",
        ),
        (|c| c.members.iter_mut().for_each(|m| m.founder = false), "a charter needs at least one founder"),
        (|c| c.systems.clear(), "a charter needs at least one system and one environment"),
        (|c| c.environments.clear(), "a charter needs at least one system and one environment"),
        (|c| c.witness_quorum = 2, "2 witnesses' operators must cosign, and the charter names 1"),
        (
            |c| {
                let key = member(c, "ada").keys[0].clone();
                member(c, "ben").keys.push(key);
            },
            "the key ",
        ),
        (|c| member(c, "ben").keys[0].public = "nonsense".to_owned(), "`nonsense` is not a public key of the form"),
        (|c| c.policy = "nonsense".to_owned(), "the charter's policy is not valid"),
        (
            |c| c.environments[0].quorum = quorum(&[("release-manager", 1)]),
            "the quorum of the environment `staging` is met by one person; nothing reaches production on one signature",
        ),
        (
            |c| c.environments[1].quorum = quorum(&[("release-manager", 9)]),
            "the quorum of the environment `production` asks for 9 persons, and 5 could give it",
        ),
        (
            |c| c.environments[1].resume = quorum(&[]),
            "the quorum of resuming `production` asks for 0 persons, and 0 could give it",
        ),
        (
            |c| c.environments[1].cool_off_s = 7 * 86_400,
            "approvals for `production` count for 604800 s and the cool-off takes 604800 s: nothing would ever go",
        ),
        (
            |c| c.amendment.groups.push(Group { role: "risk".parse().unwrap(), count: u32::MAX }),
            "the quorum of amendments asks for 4294967295 persons",
        ),
    ];
    for (edit, expected) in rows {
        let found = words(edit);
        assert!(found.starts_with(expected), "wanted {expected}\ngot {found}");
    }
}

#[test]
fn one_person_reaches_two_sides() {
    let conflict = "`tess` would hold `builder` and `tester`, which no one may hold together";
    assert_eq!(words(|c| c.robots[0].controllers.push("tess".parse().unwrap())), conflict, "by two robots");
    assert_eq!(words(|c| member(c, "tess").roles.push("builder".parse().unwrap())), conflict, "by a grant and a robot");
    assert_eq!(
        words(|c| member(c, "amy").roles.push("release-manager".parse().unwrap())),
        "`amy` would hold `agent` and `release-manager`, which no one may hold together"
    );
}

#[test]
fn through_a_host_it_is_accepted_and_said() {
    let mut charter = charter();
    charter.robots[0].host = "host-tester".parse().unwrap();
    let duties = check(&charter).unwrap();
    assert!(!duties.hold());
    assert_eq!(duties.through_hosts.len(), 1);
    assert_eq!(duties.through_hosts[0].person.as_str(), "tess");
    let roles: Vec<&str> = duties.through_hosts[0].roles.iter().map(RoleName::as_str).collect();
    assert_eq!(roles, ["builder", "log", "tester"]);
    // Two hosts of one administrator are one reach.
    let mut charter = crate::world::charter();
    charter.hosts[0].administrators.push("tess".parse().unwrap());
    assert!(!check(&charter).unwrap().hold());
}

#[test]
fn one_person_in_two_groups_is_one_person() {
    // Only Cid holds `risk`, and is a release manager too: two groups, one of each, need somebody else beside.
    let mut charter = charter();
    charter.members.retain(|m| ["ada", "cid", "oli", "pia", "bob", "tess", "amy"].contains(&m.id.as_str()));
    charter.environments.iter_mut().for_each(|e| e.quorum = quorum(&[("release-manager", 1), ("risk", 1)]));
    check(&charter).unwrap();
    member(&mut charter, "ada").roles.clear();
    member(&mut charter, "bob").roles.clear();
    let error = check(&charter).unwrap_err().to_string();
    assert!(error.ends_with("asks for 2 persons, and 1 could give it"), "{error}");
}

#[test]
fn keys_of_log_and_witnesses_are_read_too() {
    assert!(words(|c| c.log.vkey = "nonsense".to_owned()).starts_with("the charter's keys of log and witnesses"));
    assert!(words(|c| c.log.origin = "other".to_owned()).starts_with("the charter's keys of log and witnesses"));
    let twice = words(|c| {
        let mut again = c.witnesses[0].clone();
        again.operator = "another".to_owned();
        c.witnesses.push(again);
    });
    assert!(twice.starts_with("the charter's keys of log and witnesses"), "one key is one witness: {twice}");
}

/// Thirteen groups in the quorum of each of many environments, and people who are all told apart by their roles: in the
/// hands of one person who may put up an amendment.
fn hostile() -> Charter {
    let mut c = charter();
    let names: Vec<String> = (0..12).map(|n| format!("voter-{n}")).collect();
    for name in &names {
        c.roles.push(Role { name: name.parse().unwrap(), says: vec![Kind::Approval, Kind::Resume] });
    }
    let sample = c.members[0].clone();
    for n in 0..60_usize {
        let mut member = sample.clone();
        member.id = format!("person-{n}").parse().unwrap();
        let key = format!("hostile-{n}");
        member.keys.truncate(1);
        member.keys[0].public = crate::world::key_of(&key).key().to_openssh();
        member.roles = names
            .iter()
            .enumerate()
            .filter(|(at, _)| (n + 1) >> (at % 6) & 1 == 1)
            .map(|(_, r)| r.parse().unwrap())
            .collect();
        member.founder = false;
        c.members.push(member);
    }
    let groups: Vec<(&str, u32)> = names.iter().map(|n| (n.as_str(), 1)).collect();
    let rule = c.environments[1].clone();
    for n in 0..20 {
        let mut rule = rule.clone();
        rule.name = format!("environment-{n}").parse().unwrap();
        (rule.quorum, rule.resume) = (quorum(&groups), quorum(&groups));
        c.environments.push(rule);
    }
    c
}

#[test]
fn a_charter_that_takes_too_long_to_try_is_refused_with_a_hint() {
    let begun = |c: &Charter, limit| promise::within(c, limit).map(|p| p.holds()).map_err(|e| e.to_string());
    let refused = begun(&hostile(), 10_000).unwrap_err();
    assert!(refused.contains("too many trials") && refused.contains("fewer groups in a quorum"), "{refused}");
    assert_eq!(begun(&charter(), 10_000), Ok(true), "an ordinary one takes a tenth of that");
}

#[test]
fn a_recovery_waits_at_least_a_day() {
    let with = |delay_s: u64| {
        words(|c| {
            let keys = ["r1", "r2", "r3"].map(|who| ledger::statement::v1::Key {
                scheme: ledger::statement::v1::KeyScheme::Sshsig,
                public: crate::world::key_of(who).key().to_openssh(),
            });
            c.recovery = Some(ledger::statement::v1::Recovery { keys: keys.into(), count: 2, delay_s });
        })
    };
    assert_eq!(with(86_400), "accepted, hold: true");
    for delay_s in [0, 86_399] {
        assert!(with(delay_s).contains("at least 86400 s, so that members can cancel it"), "{}", with(delay_s));
    }
}
