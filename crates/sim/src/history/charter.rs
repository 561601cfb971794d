//! The charter of logs with a past: three release managers, a developer, two operators with several keys, five robots.

use std::collections::BTreeMap;

use ledger::{
    keys::Signer as _,
    statement::v1::{
        Charter, EnvironmentRule, Group, Host, Key, KeyScheme, Kind, LogKey, Member, Quorum, Robot, Role, SystemRule,
        WitnessKey,
    },
};
use model::Digest;

use super::{WriteError, key_of, log_signer, witness_signer};

/// The origin of these logs.
pub const ORIGIN: &str = "history.example/log";
pub(super) const WITNESS: &str = "witness.example";
/// Robots with their roles and the person who controls each.
pub(super) const ROBOTS: [(&str, &str, &str); 4] =
    [("builder", "builder", "bob"), ("tester", "tester", "tess"), ("agent", "agent", "amy"), ("gate", "gate", "gus")];
pub(super) const FOUNDERS: [&str; 2] = ["ada", "ben"];
/// The keys of one operator; all but the first are withdrawn in the course of time.
pub const OPERATORS: [&str; 5] = ["pia", "pia/1", "pia/2", "pia/3", "pia/4"];

pub(super) fn system_name(number: u64) -> String {
    format!("system-{number:03}")
}

fn member(id: &str, keys: &[&str], roles: &[&str]) -> Result<Member, WriteError> {
    let key = |who: &&str| -> Result<Key, WriteError> {
        Ok(Key { scheme: KeyScheme::Sshsig, public: key_of(who)?.key().to_openssh() })
    };
    Ok(Member {
        id: id.parse()?,
        keys: keys.iter().map(key).collect::<Result<_, _>>()?,
        roles: roles.iter().map(|r| r.parse()).collect::<Result<_, _>>()?,
        identity: Digest::of(id.as_bytes()),
        founder: FOUNDERS.contains(&id),
    })
}

fn robot(id: &str, role: &str, controller: &str) -> Result<Robot, WriteError> {
    Ok(Robot {
        id: id.parse()?,
        role: role.parse()?,
        key: Key { scheme: KeyScheme::Ed25519, public: key_of(id)?.key().to_openssh() },
        controllers: vec![controller.parse()?],
        host: format!("host-{id}").parse()?,
        environments: Vec::new(),
    })
}

fn two(role: &str) -> Result<Quorum, WriteError> {
    Ok(Quorum { groups: vec![Group { role: role.parse()?, count: 2 }] })
}

pub(super) fn charter(systems: u64) -> Result<Charter, WriteError> {
    use Kind::{
        Analysis, Approval, Build, Change, Evidence, Exception, Halt, KeyWithdrawal, Milestone, Proposal, Rejection,
        Resume, Rollback, Tick, Verdict,
    };
    let roles: [(&str, &[Kind]); 7] = [
        ("developer", &[Proposal]),
        ("release-manager", &[Approval, Rejection, Exception]),
        ("operator", &[Halt, Resume, Rollback, KeyWithdrawal]),
        ("gate", &[Verdict, Tick]),
        ("builder", &[Change, Build, Proposal]),
        ("tester", &[Evidence]),
        ("agent", &[Analysis, Milestone]),
    ];
    let robots: Vec<Robot> = ROBOTS.iter().map(|(id, role, who)| robot(id, role, who)).collect::<Result<_, _>>()?;
    let rule = |n: u64| -> Result<SystemRule, WriteError> {
        let name = system_name(n);
        Ok(SystemRule { name: name.parse()?, remote: format!("/srv/git/{name}"), branch: "main".to_owned() })
    };
    Ok(Charter {
        demo: true,
        log: LogKey { origin: ORIGIN.to_owned(), vkey: log_signer()?.vkey().to_string() },
        witnesses: vec![WitnessKey {
            name: WITNESS.to_owned(),
            operator: WITNESS.to_owned(),
            vkey: witness_signer()?.vkey().to_string(),
            url: "http://127.0.0.1:1/".to_owned(),
        }],
        witness_quorum: 1,
        members: vec![
            member("ada", &["ada"], &["release-manager"])?,
            member("ben", &["ben"], &["release-manager"])?,
            member("cid", &["cid"], &["release-manager"])?,
            member("dora", &["dora"], &["developer"])?,
            member("oli", &["oli"], &["operator"])?,
            member("pia", &OPERATORS, &["operator"])?,
            member("bob", &["bob"], &[])?,
            member("tess", &["tess"], &[])?,
            member("amy", &["amy"], &[])?,
            member("gus", &["gus"], &[])?,
        ],
        hosts: robots.iter().map(|r| Host { name: r.host.clone(), administrators: r.controllers.clone() }).collect(),
        robots,
        roles: roles
            .iter()
            .map(|(name, says)| Ok(Role { name: name.parse()?, says: says.to_vec() }))
            .collect::<Result<_, WriteError>>()?,
        conflicts: vec![("builder".parse()?, "tester".parse()?), ("agent".parse()?, "release-manager".parse()?)],
        systems: (0..systems).map(rule).collect::<Result<_, _>>()?,
        environments: vec![EnvironmentRule {
            name: "production".parse()?,
            quorum: two("release-manager")?,
            approval_s: 7 * 86_400,
            cool_off_s: 0,
            verdict_s: 86_400,
            max_age_s: 60,
            rollback_s: 3_600,
            resume: two("operator")?,
            builders: 1,
            emergency: None,
            after: None,
        }],
        amendment: two("release-manager")?,
        policy: gate::policy::DEFAULT.to_owned(),
        recovery: None,
        key_delay_s: 0,
        values: Vec::new(),
        silence: None,
        programs: BTreeMap::new(),
    })
}
