//! How long the whole report on a charter takes: 1,000 persons, 50 roles and 40 acts,
//! where most persons are told apart by their roles.
//!
//! `cargo bench -p gate --bench duties [persons]`.

#![expect(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the tests of this room use more of the world, and a measurement may stop"
)]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use gate::{Facts, duties, policy, shown_digest, values};
use ledger::{
    keys::Signer as _,
    statement::v1::{Charter, EmergencyRule, Host, Kind, Member, Role},
};

#[path = "../src/world/mod.rs"]
mod world;

use world::{charter, key_of, quorum};

/// The most that the report may take.
const MOST: Duration = Duration::from_secs(10);
/// Roles in all, beside those of the world's robots.
const ROLES: usize = 50;

fn main() {
    let persons: usize = std::env::args().find_map(|n| n.parse().ok()).unwrap_or(1_000);
    let charter = large(persons);
    let begun = Instant::now();
    duties::check(&charter).unwrap();
    let checked = begun.elapsed();
    let begun = Instant::now();
    let report = duties::report(&charter).unwrap();
    let took = begun.elapsed();
    println!(
        "{} persons in {} classes, {} roles, {} robots, {} acts",
        charter.members.len(),
        report.profiles.len(),
        charter.roles.len(),
        charter.robots.len(),
        report.acts
    );
    println!("checking the charter: {:.2} s", checked.as_secs_f64());
    println!(
        "the report: {:.2} s, under {} s: {}",
        took.as_secs_f64(),
        MOST.as_secs(),
        if took < MOST { "yes" } else { "NO" }
    );
    println!("{}", report.promise);
}

/// The world's charter with so many persons, who hold up to three of the roles each, in an order that repeats late.
fn large(persons: usize) -> Charter {
    let mut charter = charter();
    let own: BTreeSet<String> = charter.roles.iter().map(|r| r.name.to_string()).collect();
    let kinds = [
        Kind::Approval,
        Kind::Rejection,
        Kind::Halt,
        Kind::Resume,
        Kind::Rollback,
        Kind::Exception,
        Kind::Proposal,
        Kind::KeyWithdrawal,
        Kind::Erasure,
        Kind::Amendment,
        Kind::Consent,
        Kind::Cancellation,
        Kind::Acknowledgement,
        Kind::Silence,
    ];
    for n in own.len()..ROLES {
        let says = vec![kinds[n % kinds.len()], kinds[(n * 5 + 1) % kinds.len()]];
        charter.roles.push(Role { name: format!("role-{n}").parse().unwrap(), says });
    }
    let consents = charter.roles.iter_mut().find(|r| r.name.as_str() == "release-manager").unwrap();
    consents.says.extend([Kind::Amendment, Kind::Consent]);
    let roles: Vec<_> =
        charter.roles.iter().map(|r| r.name.clone()).filter(|r| r.as_str().starts_with("role-")).collect();
    let template = charter.members[2].clone();
    for n in charter.members.len()..persons {
        let id = format!("person-{n}");
        let mut member = Member { id: id.parse().unwrap(), founder: false, ..template.clone() };
        member.keys.truncate(1);
        member.keys[0].public = key_of(&id).key().to_openssh();
        member.roles = vec![roles[n % roles.len()].clone(), roles[(n * 7 + n / 41) % roles.len()].clone()];
        if n % 5 == 0 {
            member.roles.push("release-manager".parse().unwrap());
        }
        if n % 97 == 0 {
            member.roles.push("risk".parse().unwrap());
        }
        member.roles.dedup();
        charter.members.push(member);
    }
    let two = quorum(&[("release-manager", 2), ("risk", 1)]);
    let base = charter.environments[0].clone();
    for n in 0..2 {
        let mut more = base.clone();
        more.name = format!("environment-{n}").parse().unwrap();
        more.quorum = two.clone();
        more.emergency = Some(EmergencyRule { quorum: two.clone(), verdict_s: 3_600 });
        charter.environments.push(more);
    }
    for n in 0..5 {
        let administrators = vec![format!("person-{}", 20 + n).parse().unwrap()];
        charter.hosts.push(Host { name: format!("spare-{n}").parse().unwrap(), administrators });
    }
    charter
}
