//! How small a regression the load gate finds, and how often it calls equals regressed, beside a gate that compares one run
//! with one that is kept: `cargo run --release -p sim --example load_gate -- [RUNS]`.

#![expect(clippy::print_stdout, reason = "it prints a table")]
#![expect(clippy::indexing_slicing, clippy::expect_used, reason = "its own tables, of its own sizes")]

use sim::{
    canary::runs,
    load_gate::{Effect, Run, WORLDS, World},
};
use stats::paired::{Answer, LOOKS, Metric, Policy, decide};

/// Requests a second and version.
const RATE: usize = 500;
const SEED: u64 = 20_261_124;
/// Effects that are tried, in thousandths.
const EFFECTS: [u64; 24] = [
    20, 30, 40, 50, 60, 70, 80, 100, 120, 140, 160, 180, 200, 220, 250, 300, 350, 400, 500, 600, 800, 1000, 1500, 2500,
];

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{count} runs a world of {RATE} requests a second and version, seed {SEED}\n");
    println!("| world | metric | found 19 times in 20 after 60 s | after 240 s | a single run of 60 s | smaller by |");
    println!("|---|---|---|---|---|---|");
    let mut equals = Vec::new();
    for world in &WORLDS {
        let policy = Policy::usual();
        let all = runs(threads, count, |index| one(world, &policy, SEED + index));
        for (at, limit) in policy.limits.iter().enumerate().filter(|(_, l)| l.metric != Metric::Failed) {
            let smallest = |look: usize| {
                let found = |effect: usize| {
                    let found = all.iter().filter(|run| run.found[look][at][effect]).count();
                    found * 20 >= all.len() * 19
                };
                (0..EFFECTS.len()).find(|effect| found(*effect)).map(|effect| EFFECTS[effect] as f64 / 10.0)
            };
            let single = single(&all.iter().map(|run| run.single[at]).collect::<Vec<_>>());
            let words = |percent: Option<f64>| percent.map_or("more than 250 %".to_owned(), |p| format!("+{p:.0} %"));
            let gain = smallest(0).map_or("-".to_owned(), |ours| format!("{:.1}x", single / ours));
            println!(
                "| {} | {} | {} | {} | +{single:.0} % | {gain} |",
                world.name,
                name(limit.metric),
                words(smallest(0)),
                words(smallest(2))
            );
        }
        equals.push((world.name, all));
    }
    println!(
        "\n| world | equals: regressed | not regressed | inconclusive at the end | single run, +10 % on p99: regressed |"
    );
    println!("|---|---|---|---|---|");
    for (name, all) in equals {
        let part = |is: &dyn Fn(&One) -> bool| 100.0 * all.iter().filter(|r| is(r)).count() as f64 / all.len() as f64;
        println!(
            "| {name} | {:.1} % | {:.1} % | {:.1} % | {:.0} % |",
            part(&|r| matches!(r.equals, Answer::Regressed(_))),
            part(&|r| r.equals == Answer::NotRegressed),
            part(&|r| matches!(r.equals, Answer::Inconclusive { .. })),
            part(&|r| r.single[1] > 1.1)
        );
    }
}

const fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Slower { quantile_ppm: 500_000 } => "p50",
        Metric::Slower { .. } => "p99",
        Metric::Cost => "CPU a request",
        Metric::Throughput => "throughput",
        Metric::Failed => "failures",
    }
}

/// What one run says.
struct One {
    /// For each look, metric and effect, whether that metric is called regressed.
    found: Vec<Vec<Vec<bool>>>,
    /// What the whole protocol says of equals: it goes on while it is inconclusive.
    equals: Answer,
    /// Of each metric, what a single run of a candidate is measured to be as a part of one at another time.
    single: [f64; 3],
}

fn one(world: &World, policy: &Policy, seed: u64) -> One {
    let last = LOOKS.last().map_or(0, |look| look.blocks);
    let run = Run::new(world, last, RATE, seed);
    let at = |blocks, effect| decide(policy, &run.measure(blocks, policy, effect)).expect("a whole run");
    let found = LOOKS.iter().map(|look| {
        let effects = EFFECTS.iter().map(|thousandths| {
            let effect = Effect { slower_ppm: thousandths * 1_000, dearer_ppm: thousandths * 1_000 };
            at(look.blocks, effect)
        });
        let decisions: Vec<_> = effects.collect();
        (0..policy.limits.len()).map(|m| decisions.iter().map(|d| d.findings[m].regressed).collect()).collect()
    });
    let found = found.collect();
    let answers = LOOKS.iter().map(|look| at(look.blocks, Effect::default()).answer);
    let mut equals = Answer::Inconclusive { next: None, unclear: Vec::new() };
    for answer in answers {
        let over = !matches!(answer, Answer::Inconclusive { .. });
        equals = answer;
        if over {
            break;
        }
    }
    let (now, kept) = (Run::new(world, 12, RATE, seed ^ 0xA5A5_0000), Run::new(world, 12, RATE, seed ^ 0x5A5A_0000));
    let single = [
        now.quantile(0, 0.5) / kept.quantile(0, 0.5),
        now.quantile(0, 0.99) / kept.quantile(0, 0.99),
        now.cost(0) / kept.cost(0),
    ];
    One { found, equals, single }
}

/// The smallest effect, in percent, that a single run finds 19 times in 20 with the threshold that one run of equals in a
/// hundred is above.
fn single(ratios: &[f64]) -> f64 {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((part * sorted.len() as f64) as usize).min(sorted.len() - 1)];
    100.0 * (at(0.99) / at(0.05) - 1.0)
}
