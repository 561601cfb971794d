//! The world's charter: two environments, three release managers, developers, operators, five robots, one witness.

use std::collections::BTreeMap;

use ledger::{
    keys::Signer as _,
    statement::v1::{
        Charter, EmergencyRule, EnvironmentRule, Group, Host, Key, KeyScheme, Kind, LogKey, Member, Quorum, Robot,
        Role, SystemRule, WitnessKey,
    },
};
use model::Digest;

use super::{DAY, ORIGIN, key_of, log_signer, witness};

pub(crate) fn dig(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub(crate) fn quorum(groups: &[(&str, u32)]) -> Quorum {
    Quorum { groups: groups.iter().map(|(role, count)| Group { role: role.parse().unwrap(), count: *count }).collect() }
}

pub(super) fn member(id: &str, keys: &[&str], roles: &[&str]) -> Member {
    Member {
        id: id.parse().unwrap(),
        keys: keys.iter().map(|k| Key { scheme: KeyScheme::Sshsig, public: key_of(k).key().to_openssh() }).collect(),
        roles: roles.iter().map(|r| r.parse().unwrap()).collect(),
        identity: dig(id),
        founder: ["ada", "ben"].contains(&id),
    }
}

fn robot(id: &str, role: &str, controller: &str) -> Robot {
    Robot {
        id: id.parse().unwrap(),
        role: role.parse().unwrap(),
        key: Key { scheme: KeyScheme::Ed25519, public: key_of(id).key().to_openssh() },
        controllers: vec![controller.parse().unwrap()],
        host: format!("host-{id}").parse().unwrap(),
        environments: Vec::new(),
    }
}

fn environment(name: &str) -> EnvironmentRule {
    EnvironmentRule {
        name: name.parse().unwrap(),
        quorum: quorum(&[("release-manager", 2)]),
        approval_s: 7 * DAY,
        cool_off_s: 0,
        verdict_s: DAY,
        max_age_s: 60,
        rollback_s: 3_600,
        resume: quorum(&[("operator", 2)]),
        builders: 1,
        emergency: None,
        after: None,
    }
}

/// The same with a second builder, in these hands, and environments that ask for two.
pub(crate) fn two_builders(controller: &str) -> Charter {
    let mut charter = charter();
    let second = robot("second", "builder", controller);
    charter.hosts.push(Host { name: second.host.clone(), administrators: second.controllers.clone() });
    charter.robots.push(second);
    for environment in &mut charter.environments {
        environment.builders = 2;
    }
    charter
}

/// The same with a rule for emergencies in production: two release managers approve, for an hour.
pub(crate) fn with_emergencies() -> Charter {
    let mut charter = charter();
    charter.environments[1].emergency =
        Some(EmergencyRule { quorum: quorum(&[("release-manager", 2)]), verdict_s: 3_600 });
    charter
}

pub(crate) fn charter() -> Charter {
    use Kind::{
        Analysis, Approval, Build, Change, Evidence, Exception, Halt, KeyWithdrawal, Milestone, Proposal, Rejection,
        Resume, Retirement, Rollback, Tick, Verdict,
    };
    let roles: [(&str, &[Kind]); 9] = [
        ("developer", &[Proposal]),
        ("release-manager", &[Approval, Rejection, Exception]),
        ("operator", &[Halt, Resume, Rollback, Retirement, KeyWithdrawal]),
        ("gate", &[Verdict, Tick]),
        ("builder", &[Change, Build, Proposal]),
        ("tester", &[Evidence]),
        ("agent", &[Analysis, Milestone]),
        ("risk", &[Approval]),
        ("log", &[]),
    ];
    let robots = [
        robot("builder", "builder", "bob"),
        robot("tester", "tester", "tess"),
        robot("outside", "tester", "tess"),
        robot("agent", "agent", "amy"),
        robot("gate", "gate", "amy"),
        Robot {
            key: Key { scheme: KeyScheme::Ed25519, public: log_signer(ORIGIN).vkey().key().to_openssh() },
            ..robot("log", "log", "tess")
        },
    ];
    Charter {
        demo: true,
        log: LogKey { origin: ORIGIN.to_owned(), vkey: log_signer(ORIGIN).vkey().to_string() },
        witnesses: vec![WitnessKey {
            name: "alpha".to_owned(),
            operator: "alpha".to_owned(),
            vkey: witness("alpha").vkey().to_string(),
            url: "http://127.0.0.1:1/".to_owned(),
        }],
        witness_quorum: 1,
        members: vec![
            member("ada", &["ada", "ada/2"], &["release-manager"]),
            member("ben", &["ben"], &["release-manager"]),
            member("cid", &["cid"], &["release-manager", "risk"]),
            member("dora", &["dora"], &["developer"]),
            member("eve", &["eve"], &["developer", "release-manager"]),
            member("oli", &["oli"], &["operator"]),
            member("pia", &["pia", "pia/2"], &["operator"]),
            member("bob", &["bob"], &["release-manager"]),
            member("tess", &["tess"], &[]),
            member("amy", &["amy"], &[]),
        ],
        hosts: robots.iter().map(|r| Host { name: r.host.clone(), administrators: r.controllers.clone() }).collect(),
        robots: robots.into(),
        roles: roles.iter().map(|(n, says)| Role { name: n.parse().unwrap(), says: says.to_vec() }).collect(),
        conflicts: [("builder", "tester"), ("agent", "release-manager")]
            .iter()
            .map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()))
            .collect(),
        systems: vec![SystemRule {
            name: "bank".parse().unwrap(),
            remote: "/srv/git/bank".to_owned(),
            branch: "main".to_owned(),
        }],
        environments: vec![environment("staging"), environment("production")],
        amendment: quorum(&[("release-manager", 2)]),
        policy: crate::policy::DEFAULT.to_owned(),
        recovery: None,
        key_delay_s: 0,
        values: Vec::new(),
        silence: None,
        programs: BTreeMap::new(),
    }
}
