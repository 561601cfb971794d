use std::collections::BTreeMap;

use ledger::statement::v1::{Charter, Claim, Kind};
use proptest::prelude::*;

use super::super::{Act, Report, report};
use super::*;
use crate::{
    decide_with,
    policy::Policy,
    world::{Put, World, charter, key_id, production, quorum},
};

fn with_of<'r>(report: &'r Report, who: &str, act: &Act) -> Option<&'r Vec<Vec<Share>>> {
    let profile = report.profiles.iter().find(|p| p.persons.iter().any(|id| id.as_str() == who)).unwrap();
    profile.with.iter().find(|(a, _)| a == act).map(|(_, sets)| sets)
}

fn share(role: &str, count: u32) -> Share {
    (Some(role.parse().unwrap()), count)
}

#[test]
fn and_groups_need_different_people_and_are_told_by_role() {
    let mut charter = charter();
    charter.environments[1].quorum = quorum(&[("release-manager", 2), ("risk", 1)]);
    let release = Act::Release(production());
    let report = report(&charter).unwrap();
    // Only cid holds `risk`, and can not count for a release manager then.
    assert_eq!(with_of(&report, "ada", &release), Some(&vec![vec![share("release-manager", 1), share("risk", 1)]]));
    assert_eq!(with_of(&report, "cid", &release), Some(&vec![vec![share("release-manager", 2)]]));
    assert_eq!(with_of(&report, "dora", &release), None, "a developer approves nothing");
    let all = report.quorums.iter().find(|q| q.act == release).unwrap();
    assert_eq!(all.sets, [vec![share("release-manager", 2), share("risk", 1)]]);
}

#[test]
fn two_persons_except_resume_and_consent_and_one_halts() {
    let mut charter = charter();
    let role = |c: &mut Charter, name: &str, kind| {
        c.roles.iter_mut().find(|r| r.name.as_str() == name).unwrap().says.push(kind);
    };
    role(&mut charter, "release-manager", Kind::Consent);
    role(&mut charter, "release-manager", Kind::Amendment);
    role(&mut charter, "operator", Kind::Erasure);
    let report = report(&charter).unwrap();
    let one_more = |who, act, sets: Vec<Share>| assert_eq!(with_of(&report, who, &act), Some(&vec![sets]), "{act}");
    one_more("oli", Act::Resume(production()), vec![share("operator", 1)]);
    one_more("ada", Act::Amend, vec![share("release-manager", 1)]);
    one_more("ada", Act::Except, vec![(None, 1)]);
    one_more("oli", Act::Erase, vec![(None, 1)]);
    let profile = |who: &str| report.profiles.iter().find(|p| p.persons.iter().any(|i| i.as_str() == who)).unwrap();
    assert!(profile("oli").alone.contains(&Act::Halt(production())));
    assert!(profile("oli").alone.contains(&Act::GoBack(production())));
    assert!(!profile("ada").alone.contains(&Act::Halt(production())));
}

#[test]
fn who_stands_behind_the_only_proposer_does_not_count() {
    let mut charter = charter();
    charter.members.iter_mut().for_each(|m| m.roles.retain(|r| r.as_str() != "developer"));
    let report = report(&charter).unwrap();
    assert_eq!(with_of(&report, "bob", &Act::Release(production())), None, "bob controls the builder, which proposes");
    assert!(with_of(&report, "ada", &Act::Release(production())).is_some());
}

#[test]
fn a_quorum_with_too_many_sets_is_found_by_halves() {
    let mut charter = charter();
    charter.members = (0..52)
        .map(|n| {
            let mut member = charter.members[0].clone();
            member.id = format!("p{n}").parse().unwrap();
            member.keys[0].public = ledger::keys::Signer::key(&crate::world::key_of(&format!("p{n}"))).to_openssh();
            member.keys.truncate(1);
            member.roles = ["release-manager", "risk", "operator"].map(|r| r.parse().unwrap()).to_vec();
            member
        })
        .collect();
    let person: model::PersonId = "p0".parse().unwrap();
    charter.robots.iter_mut().for_each(|r| r.controllers = vec![person.clone()]);
    charter.hosts.iter_mut().for_each(|h| h.administrators = vec![person.clone()]);
    for role in charter.roles.iter_mut().filter(|r| ["release-manager", "risk"].contains(&r.name.as_str())) {
        role.says.push(Kind::Resume);
    }
    charter.environments[1].resume = quorum(&[("release-manager", 16), ("risk", 16), ("operator", 17)]);
    let ground = Ground::of(&charter).unwrap();
    let mut all = ballots(&ground);
    let resume = all.iter_mut().find(|b| b.act == Act::Resume(production())).unwrap();
    let told = Booth::new(&ground).unwrap().quorate(resume).unwrap();
    let all = vec![share("operator", 17), share("release-manager", 16), share("risk", 16)];
    assert_eq!((told.sets, told.cut), (vec![all], true));
}

/// What a random small charter is made of.
#[derive(Clone, Debug)]
struct Small {
    roles: Vec<u8>,
    quorum: usize,
    builder: usize,
    admin: usize,
}

const NAMES: [&str; 4] = ["ada", "ben", "cid", "dora"];
const ROLES: [&str; 4] = ["developer", "release-manager", "risk", "operator"];

impl Small {
    fn charter(&self) -> Charter {
        let mut charter = charter();
        charter.members.retain(|m| NAMES.contains(&m.id.as_str()));
        for (member, mask) in charter.members.iter_mut().zip(&self.roles) {
            let held = ROLES.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
            member.roles = held.map(|(_, r)| r.parse().unwrap()).collect();
        }
        let builder: model::PersonId = NAMES[self.builder].parse().unwrap();
        let admin: model::PersonId = NAMES[self.admin].parse().unwrap();
        charter.conflicts.clear();
        for robot in &mut charter.robots {
            robot.controllers = vec![if robot.id.as_str() == "builder" { builder.clone() } else { admin.clone() }];
        }
        charter.hosts.iter_mut().for_each(|h| h.administrators = vec![admin.clone()]);
        let quorums: [&[(&str, u32)]; 4] = [
            &[("release-manager", 2)],
            &[("release-manager", 1), ("risk", 1)],
            &[("release-manager", 2), ("risk", 1)],
            &[("risk", 1)],
        ];
        charter.environments[1].quorum = quorum(quorums[self.quorum]);
        charter
    }
}

fn small() -> impl Strategy<Value = Small> {
    (prop::collection::vec(0u8..16, 4), 0usize..4, 0usize..4, 0usize..4)
        .prop_map(|(roles, quorum, builder, admin)| Small { roles, quorum, builder, admin })
}

/// Whether these people, all of whom approve in every role that lets them, can have a release: over every author and every
/// proposer, in logs that are signed and verified.
fn can(worlds: &BTreeMap<&str, (World, Put)>, policy: &Policy, charter: &Charter, people: &[&str]) -> bool {
    let proposers: Vec<&str> = std::iter::once("builder").chain(NAMES).collect();
    // Whoever wrote it only takes the own approval away, so with somebody else at hand nobody of these need have.
    let is_other = |author: &&&str| !people.contains(*author);
    let other = worlds.keys().find(is_other).copied();
    worlds.iter().filter(|(author, _)| other.is_none_or(|o| o == **author)).any(|(_, (world, made))| {
        proposers.iter().any(|proposer| {
            let mut world = world.clone();
            let may = |who: &str, role: &str| {
                let role = role.parse().unwrap();
                let member = charter.members.iter().find(|m| m.id.as_str() == who);
                member.is_some_and(|m| m.roles.contains(&role))
            };
            let role = if *proposer == "builder" { "builder" } else { "developer" };
            if *proposer != "builder" && !may(proposer, role) {
                return false;
            }
            let mut put = made.clone();
            put.proposal = world.say(proposer, role, Claim::Proposal(Box::new(put.claim.clone())));
            let approval = world.good_approval(&put);
            for who in people {
                for role in ["release-manager", "risk"].into_iter().filter(|role| may(who, role)) {
                    world.say(who, role, Claim::Approval(approval.clone()));
                }
            }
            world.wait(60);
            world.with(|_, facts| decide_with(policy, facts, put.proposal).unwrap().is_granted())
        })
    })
}

fn worlds(charter: &Charter) -> BTreeMap<&'static str, (World, Put)> {
    let made = NAMES.map(|author| {
        let mut world = World::founded(charter.clone());
        let mut change = world.good_change(1, None);
        change.commits[0].contributors = vec![author.parse().unwrap()];
        change.commits[0].key = Some(key_id(author));
        let put = world.put_change(change, None);
        (author, (world, put))
    });
    made.into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Everything that a person can do alone or with others towards a release is what an exhaustive search over all sets of
    /// people finds; whom a person reaches is what a search over the charter finds.
    #[test]
    fn the_report_is_what_an_exhaustive_search_finds(small in small()) {
        let charter = small.charter();
        let report = report(&charter).unwrap();
        let worlds = worlds(&charter);
        worlds.values().for_each(|(world, _)| world.with(|_, _| ()));
        let policy = Policy::parse(&charter.policy).unwrap();
        let act = Act::Release(production());
        let sets: Vec<Vec<&str>> = (0u8..16)
            .map(|mask| NAMES.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, n)| *n).collect())
            .collect();
        let able: Vec<bool> = sets.iter().map(|set| can(&worlds, &policy, &charter, set)).collect();
        for (bit, who) in NAMES.iter().enumerate() {
            let profile = report.profiles.iter().find(|p| p.persons.iter().any(|id| id.as_str() == *who)).unwrap();
            // With whom the person makes the difference.
            let others = (0..16usize)
                .filter(|mask| mask & (1 << bit) != 0 && able[*mask] && !able[mask & !(1 << bit)])
                .map(|mask| sets[mask].len() - 1)
                .min();
            let told = if profile.alone.contains(&act) {
                Some(0)
            } else {
                let sets = profile.with.iter().find(|(a, _)| *a == act).map(|(_, sets)| sets);
                sets.and_then(|sets| sets.iter().map(|s| s.iter().map(|(_, n)| *n as usize).sum()).min())
            };
            prop_assert_eq!(told, others, "{} in {:?}", who, small);

            let mut reached: Vec<&str> = charter.robots.iter()
                .filter(|r| {
                    let host = charter.hosts.iter().find(|h| h.name == r.host).unwrap();
                    r.controllers.iter().chain(&host.administrators).any(|p| p.as_str() == *who)
                })
                .map(|r| r.id.as_str())
                .collect();
            let mut through: Vec<&str> = profile.through.iter().map(|t| t.robot.as_str()).collect();
            reached.sort_unstable();
            through.sort_unstable();
            prop_assert_eq!(through, reached);
        }
        let anybody = able.iter().any(|a| *a);
        let quorate = report.quorums.iter().find(|q| q.act == act).unwrap();
        prop_assert_eq!(!quorate.sets.is_empty(), anybody);
    }
}
