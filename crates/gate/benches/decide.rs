//! How long one decision takes over the facts of logs of three sizes, beside what nobody can be faster than: one
//! verification of an Ed25519 signature, and Cedar's own evaluation of the same policies.
//!
//! `cargo bench -p gate --bench decide [statements …]`, by default 1,000, 100,000 and 1,000,000. The log is real: every
//! statement is signed and verified on the way into the facts, which is what a run of minutes goes into.

#![expect(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the tests of this room use more of the world, and a measurement may stop"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request, RestrictedExpression};
use gate::{Dossier, Facts, decide_with, policy, policy::Policy, shown_digest, values};
use ledger::{
    keys::Signer as _,
    statement::v1::{Claim, MilestoneKind},
};

#[path = "../src/world/mod.rs"]
mod world;

use world::{Put, World};

/// Enough for a 99th percentile with a hundred values beyond it.
const ROUNDS: usize = 10_000;
/// 100 µs: the most that a verdict may take at the 99th percentile.
const MOST: Duration = Duration::from_micros(100);

fn main() {
    let mut sizes: Vec<u64> = std::env::args().filter_map(|n| n.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 100_000, 1_000_000];
    }
    let mut world = World::founded(world::charter());
    let policy = Policy::parse(&world.charter.policy).unwrap();
    println!("one Ed25519 verification    {}", verification());
    println!("Cedar's evaluation alone    {}", cedar(&world.charter.policy));
    let mut last = live(&mut world, 1, None);
    let mut ordinal = 1;
    let mut first = None;
    for size in sizes {
        while world.size() < size {
            ordinal += 1;
            last = live(&mut world, ordinal, Some(&last));
        }
        ordinal += 1;
        let put = world.put(ordinal, Some(&last));
        world.approve_both(&put);
        let before = resident_bytes();
        let facts = world.facts();
        let grown = resident_bytes().saturating_sub(before);
        assert!(decide_with(&policy, &facts, put.proposal).unwrap().is_granted());
        let took = times(|| drop(black_box(decide_with(&policy, &facts, put.proposal))));
        let gathered = times(|| drop(black_box(Dossier::gather(&facts, put.proposal))));
        let dossier = Dossier::gather(&facts, put.proposal).unwrap();
        let judged = times(|| drop(black_box(policy.judge(&dossier))));
        let base = *first.get_or_insert(took.half);
        println!(
            "decide over {:>9} statements: {took}, {:.2} of the smallest log's; facts of {} MiB",
            facts.size(),
            took.half.as_secs_f64() / base.as_secs_f64(),
            grown >> 20,
        );
        println!("  the facts gathered        {gathered}");
        println!("  the policies judged       {judged}");
        println!("  under {MOST:?} at p99: {}", if took.most < MOST { "yes" } else { "NO" });
        world.milestone(&put, MilestoneKind::Live);
        last = put;
    }
}

/// One release as it goes through a log.
fn live(world: &mut World, ordinal: u64, over: Option<&Put>) -> Put {
    let put = world.put(ordinal, over);
    world.approve("ada", &put);
    world.approve("ben", &put);
    world.wait(60);
    for what in [MilestoneKind::Begun, MilestoneKind::Healthy, MilestoneKind::Switched, MilestoneKind::Live] {
        world.milestone(&put, what);
    }
    put
}

/// Median and 99th percentile.
struct Times {
    half: Duration,
    most: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let us = |d: Duration| d.as_secs_f64() * 1e6;
        write!(f, "p50 {:.1} µs, p99 {:.1} µs", us(self.half), us(self.most))
    }
}

fn times(mut once: impl FnMut()) -> Times {
    let mut all: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            once();
            begun.elapsed()
        })
        .collect();
    all.sort_unstable();
    Times { half: all[ROUNDS / 2], most: all[ROUNDS * 99 / 100] }
}

fn verification() -> Times {
    let key = world::key_of("gate");
    let signature = key.sign(b"a statement").unwrap();
    times(|| key.key().verify(b"a statement", &signature).unwrap())
}

/// A request like one of `judge`, made before, over the same policies: what is left is evaluation.
fn cedar(text: &str) -> Times {
    let policies: PolicySet = text.parse().unwrap();
    let no = || RestrictedExpression::new_bool(false);
    let yes = || RestrictedExpression::new_bool(true);
    let count = RestrictedExpression::new_long;
    let none = || RestrictedExpression::new_set([]);
    let facts = [
        ("founded", yes()),
        ("time_known", yes()),
        ("witnessed", yes()),
        ("proposal_in_time", yes()),
        ("changes", count(1)),
        ("change_accepted", yes()),
        ("change_problems", none()),
        ("commits", count(1)),
        ("commits_not_signed", none()),
        ("commits_without_requirement", none()),
        ("build_names_images", yes()),
        ("suites", count(2)),
        ("suites_not_passed", none()),
        ("full_suites_on_containers", count(1)),
        ("edits_told", yes()),
        ("approvals", count(2)),
        ("approvals_needed", count(2)),
        ("approvals_by_contributors", none()),
        ("approvals_that_do_not_fit", none()),
        ("rejections", count(0)),
        ("replaces_what_runs", yes()),
        ("spent", no()),
        ("halted", no()),
    ];
    let context = Context::from_pairs(facts.map(|(name, value)| (name.to_owned(), value))).unwrap();
    let uid = |text: &str| text.parse().unwrap();
    let request =
        Request::new(uid(r#"Agent::"agent""#), uid(r#"Action::"release""#), uid(r#"Environment::"x""#), context, None)
            .unwrap();
    let (authorizer, entities) = (Authorizer::new(), Entities::empty());
    times(|| drop(black_box(authorizer.is_authorized(&request, &policies, &entities))))
}

/// The resident memory of this process (proc(5), `/proc/self/statm`, second field, in pages of 4 KiB).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * 4096)
}
