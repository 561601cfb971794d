//! Every cell of the comparison of rollout gates: false alarms, faults, hostile worlds and latency, on streams with fixed
//! seeds, and whether the goals of docs/statistics.md are met. `cargo run --release -p sim --example rollouts -- 300` takes
//! some ten minutes on two cores; fewer runs a cell take less.

use std::{collections::BTreeMap, error::Error, io::Write};

use sim::canary::{
    cells::{self, ALPHA, Cell, FAULTS, Gate, RPS, SHARES, Summary, compare, source},
    gate,
    latency::{Latency, Slower},
    runs,
    world::{P0, World},
};

const SEED: u64 = 20_261_123;
const NULL_GATES: [Gate; 10] = [
    Gate::Second,
    Gate::Quarter,
    Gate::ByRequest,
    Gate::Counts,
    Gate::ArgoBackground,
    Gate::ArgoInline,
    Gate::Flagger10,
    Gate::Flagger1,
    Gate::Kayenta60,
    Gate::Kayenta5,
];
/// Kayenta's judge takes long.
const KAYENTA: &[Gate] = &[Gate::Kayenta60, Gate::Kayenta5];
/// Where nothing stops them early, these take most of the time: they are shown a third of the hours.
const THINNED: (&[Gate], u64) = (&[Gate::Kayenta60, Gate::Kayenta5, Gate::Quarter, Gate::ByRequest], 3);
/// Cells in which the trial gets at least so many requests a second are those that a goal is about.
const BUSY_RPS: f64 = 5.0;

type Out<'a> = &'a mut dyn Write;
type Done<T = ()> = Result<T, Box<dyn Error>>;

/// A line of the grid: a cell, a fault, what came of it, and the best that thresholds could do.
struct Line {
    rps: f64,
    share: f64,
    fault: f64,
    cell: Cell,
    documented: Option<(Gate, Summary)>,
    tuned: f64,
    oracle: f64,
}

fn main() -> Done {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().map_or(Ok(300), |it| it.parse())?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let out: Out<'_> = &mut std::io::stdout().lock();
    writeln!(out, "{count} runs a cell and fault, {} a cell without, one hour each, seed {SEED}\n", 3 * count)?;
    let lines = faults(out, count, threads)?;
    let ratios = ratios(out, &lines)?;
    let worst_world = worlds(out, 2 * count, threads)?;
    let latency = latencies(out, count / 3, threads)?;
    goals(out, &lines, &ratios, worst_world, &latency)
}

fn percent(part: f64) -> String {
    format!("{:.1}", 100.0 * part)
}

/// The false alarms of the nine cells, and what each gate does with each fault.
fn faults(out: Out<'_>, count: u64, threads: usize) -> Done<Vec<Line>> {
    let mut lines = Vec::new();
    writeln!(out, "False alarms in an hour in which nothing is wrong, %\n")?;
    writeln!(out, "| rps/share | {} |", NULL_GATES.map(Gate::name).join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(NULL_GATES.len() + 1))?;
    let mut nulls = Vec::new();
    for (rps, share) in RPS.into_iter().flat_map(|rps| SHARES.map(|share| (rps, share))) {
        let null = source(rps, share, World::Steady(P0));
        let null = compare(null, &NULL_GATES, true, 3 * count, THINNED, (SEED, threads))?;
        let row: Vec<String> = null.gates.iter().map(|(_, summary)| percent(summary.went_back)).collect();
        writeln!(out, "| {rps}/{}% | {} |", 100.0 * share, row.join(" | "))?;
        out.flush()?;
        nulls.push((rps, share, null));
    }
    writeln!(out, "\nFaults: went back within the hour, median seconds, median and mean of failed requests served\n")?;
    writeln!(
        out,
        "| rps/share | fails | stats, 1 s | stats, 250 ms | Wald | by request | counts test | best documented | flagger 10 | \
         argo background | kayenta 60 | tuned | oracle | documented / 1 s | / 250 ms |"
    )?;
    writeln!(out, "|{}", "---|".repeat(15))?;
    for (rps, share, null) in &nulls {
        let mut bad = Vec::new();
        for fault in FAULTS {
            let mut gates = NULL_GATES.to_vec();
            gates.push(Gate::Wald);
            bad.push((
                fault,
                compare(
                    source(*rps, *share, World::Steady(fault)),
                    &gates,
                    true,
                    count,
                    (KAYENTA, 3),
                    (SEED + 1, threads),
                )?,
            ));
        }
        // Those with few enough false alarms; of these the one that is best over all faults, and the best for each.
        let allowed: Vec<usize> =
            null.thresholds.iter().enumerate().filter(|(_, it)| it.0 <= ALPHA).map(|it| it.0).collect();
        let failed = |cell: &Cell, index: usize| cell.thresholds.get(index).map_or(f64::NAN, |it| it.1);
        let over_all = |index: usize| bad.iter().map(|(_, cell)| failed(cell, index).max(0.5).ln()).sum::<f64>();
        let tuned = allowed.iter().copied().min_by(|a, b| over_all(*a).total_cmp(&over_all(*b))).unwrap_or(usize::MAX);
        for (fault, cell) in bad {
            let documented = Gate::DOCUMENTED
                .into_iter()
                .filter(|gate| null.gate(*gate).is_some_and(|summary| summary.went_back <= ALPHA))
                .filter_map(|gate| Some((gate, *cell.gate(gate)?)))
                .min_by(|a, b| a.1.failed_mean.total_cmp(&b.1.failed_mean));
            let oracle = allowed.iter().map(|index| failed(&cell, *index)).fold(f64::INFINITY, f64::min);
            let tuned = failed(&cell, tuned);
            let line = Line { rps: *rps, share: *share, fault, cell, documented, tuned, oracle };
            line.print(out)?;
            out.flush()?;
            lines.push(line);
        }
    }
    Ok(lines)
}

impl Line {
    fn mean(&self, gate: Gate) -> f64 {
        self.cell.gate(gate).map_or(f64::NAN, |summary| summary.failed_mean)
    }

    fn is_busy(&self) -> bool {
        self.rps * self.share >= BUSY_RPS - 1e-9
    }

    /// Failed requests that the trial serves in a second.
    fn second(&self) -> f64 {
        self.rps * self.share * self.fault
    }

    fn print(&self, out: Out<'_>) -> Done {
        let show = |summary: &Summary| {
            let median = if summary.median_s.is_finite() { format!("{}s", summary.median_s) } else { ">1h".to_owned() };
            format!("{:.2}, {median}, {}/{:.1}", summary.went_back, summary.failed_median, summary.failed_mean)
        };
        let gate = |gate: Gate| self.cell.gate(gate).map_or_else(String::new, show);
        let best =
            self.documented.as_ref().map_or_else(String::new, |(gate, it)| format!("{}: {}", gate.name(), show(it)));
        let ratio = |gate| self.documented.map_or(f64::NAN, |it| it.1.failed_mean / self.mean(gate));
        writeln!(
            out,
            "| {}/{}% | {}% | {} | {} | {} | {} | {} | {best} | {} | {} | {} | {:.1} | {:.1} | {:.1}x | {:.1}x |",
            self.rps,
            100.0 * self.share,
            100.0 * self.fault,
            gate(Gate::Second),
            gate(Gate::Quarter),
            gate(Gate::Wald),
            gate(Gate::ByRequest),
            gate(Gate::Counts),
            gate(Gate::Flagger10),
            gate(Gate::ArgoBackground),
            gate(Gate::Kayenta60),
            self.tuned,
            self.oracle,
            ratio(Gate::Second),
            ratio(Gate::Quarter),
        )?;
        Ok(())
    }
}

/// The geometric mean.
fn mean_of(ratios: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = ratios.fold((0.0, 0_u32), |(sum, count), ratio| (sum + ratio.ln(), count + 1));
    (sum / f64::from(count)).exp()
}

/// A peer's means over all cells and over the busy ones, by its name and our tick.
type Ratios = BTreeMap<(&'static str, Gate), (f64, f64)>;
/// What may fail at most in a cell.
type Most = dyn Fn(&Line) -> f64;

/// Ratios of failed requests, peer over ours, as geometric means; by name and tick, over all cells and over the busy ones.
fn ratios(out: Out<'_>, lines: &[Line]) -> Done<Ratios> {
    type Peer = (&'static str, fn(&Line) -> f64);
    let peers: [Peer; 9] = [
        ("best documented", |line| line.documented.map_or(f64::NAN, |it| it.1.failed_mean)),
        ("flagger 10", |line| line.mean(Gate::Flagger10)),
        ("argo background", |line| line.mean(Gate::ArgoBackground)),
        ("kayenta 60", |line| line.mean(Gate::Kayenta60)),
        ("tuned for the service", |line| line.tuned),
        ("oracle", |line| line.oracle),
        ("counts test", |line| line.mean(Gate::Counts)),
        ("by request", |line| line.mean(Gate::ByRequest)),
        ("Wald's limit", |line| line.mean(Gate::Wald)),
    ];
    writeln!(out, "\nMean failed requests, peer / stats, geometric means over cells\n")?;
    writeln!(
        out,
        "| | 1 s: all 36 cells | 1 s: trial >= 5 rps | 250 ms: all | 250 ms: >= 5 rps |\n|---|---|---|---|---|"
    )?;
    let mut found = BTreeMap::new();
    for (name, peer) in peers {
        let mut row = Vec::new();
        for ours in [Gate::Second, Gate::Quarter] {
            let ratio = |line: &&Line| peer(line) / line.mean(ours);
            let all = mean_of(lines.iter().map(|line| ratio(&line)));
            let busy = mean_of(lines.iter().filter(|line| line.is_busy()).map(|line| ratio(&line)));
            row.push(format!("{all:.2}x | {busy:.2}x"));
            found.insert((name, ours), (all, busy));
        }
        writeln!(out, "| {name} | {} |", row.join(" | "))?;
    }
    for fault in FAULTS {
        let ratio = |ours: Gate| {
            let of = |line: &Line| line.documented.map_or(f64::NAN, |it| it.1.failed_mean) / line.mean(ours);
            mean_of(lines.iter().filter(|line| line.is_busy() && line.fault == fault).map(of))
        };
        let (second, quarter) = (ratio(Gate::Second), ratio(Gate::Quarter));
        writeln!(out, "| best documented, fails {}% | | {second:.2}x | | {quarter:.2}x |", 100.0 * fault)?;
    }
    out.flush()?;
    Ok(found)
}

/// False alarms in hostile worlds; the most of `stats`, with ticks of a second.
fn worlds(out: Out<'_>, count: u64, threads: usize) -> Done<f64> {
    writeln!(
        out,
        "\nFalse alarms where the trial is not worse, % of {count} hours: 100 rps x 5 % / 1000 rps x 10 %\n"
    )?;
    writeln!(out, "| world | {} |\n|{}", NULL_GATES.map(Gate::name).join(" | "), "---|".repeat(NULL_GATES.len() + 1))?;
    let long = World::Bursts { per_hour: 6.0, errors: 20.0, seconds: 3 };
    let mut most = 0.0_f64;
    for (name, world) in World::NULLS.into_iter().chain([("bursts of 3 s, longer than a tick", long)]) {
        let mut row = vec![String::new(); NULL_GATES.len()];
        for (rps, share) in [(100.0, 0.05), (1000.0, 0.10)] {
            let cell = compare(source(rps, share, world), &NULL_GATES, false, count, THINNED, (SEED + 2, threads))?;
            for (text, (gate, summary)) in row.iter_mut().zip(&cell.gates) {
                let separator = if text.is_empty() { "" } else { " / " };
                *text += &format!("{separator}{}", percent(summary.went_back));
                if *gate == Gate::Second && world != long {
                    most = most.max(summary.went_back);
                }
            }
        }
        writeln!(out, "| {name} | {} |", row.join(" | "))?;
        out.flush()?;
    }
    for (name, p1) in [("as good as the old version", P0), ("exactly what must be ruled out", 2.0 * P0 + 5e-4)] {
        let source = source(1000.0, 0.10, World::Steady(p1));
        let plan = gate::plan(&source, cells::SECOND);
        let ready = runs(threads, count / 2, |run| {
            gate::promotes(&plan, cells::SECOND, &source.stream(SEED + 3, run)).ok().flatten()
        });
        let mut seconds: Vec<usize> = ready.iter().flatten().map(|slots| slots / source.slots).collect();
        seconds.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        let part = seconds.len() as f64 / ready.len().max(1) as f64;
        let at = |part: usize| seconds.get(seconds.len() * part / 10).map_or(0, |seconds| seconds * 100);
        writeln!(
            out,
            "\npromoted, {name}: {} %, median {} and 90th percentile {} requests of the trial",
            percent(part),
            at(5),
            at(9)
        )?;
    }
    out.flush()?;
    Ok(most)
}

/// What is found of slower versions, and how often equal ones go back: by traffic and difference.
type Latencies = BTreeMap<(u32, &'static str), (f64, f64)>;

fn latencies(out: Out<'_>, count: u64, threads: usize) -> Done<Latencies> {
    const CASES: [(&str, Slower); 5] = [
        ("equal", Slower::No),
        ("p99 x1.2, tail only", Slower::Tail(1.2)),
        ("p99 x2, tail only", Slower::Tail(2.0)),
        ("whole x1.2", Slower::Whole(1.2)),
        ("whole x2", Slower::Whole(2.0)),
    ];
    writeln!(out, "\nLatency, {count} hours: part that went back, median seconds [requests of the trial]\n")?;
    writeln!(
        out,
        "| rps/share | difference | usual margins | no margin | own pauses, 0.1/s x 40 ms | 0.1/s x 200 ms |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let mut found = Latencies::new();
    for (rps, share) in [(10.0, 0.10), (100.0, 0.05), (1000.0, 0.10)] {
        for (name, slower) in CASES {
            let mut row = Vec::new();
            for (margins, pauses) in [(true, None), (false, None), (true, Some((0.1, 0.04))), (true, Some((0.1, 0.2)))]
            {
                let prepared = Latency { rps, share, slower, margins, pauses }.prepare(SEED);
                let times = runs(threads, count, |run| prepared.goes_back(SEED + 4, run));
                let mut times: Vec<f64> =
                    times.into_iter().map(|it| it.map(|it| it.unwrap_or(f64::INFINITY))).collect::<Result<_, _>>()?;
                times.sort_by(f64::total_cmp);
                let finite = times.iter().filter(|seconds| seconds.is_finite()).count();
                #[expect(clippy::cast_precision_loss, reason = "hundreds")]
                let part = finite as f64 / times.len().max(1) as f64;
                let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
                let requests = median * rps * share;
                let text = if median.is_finite() {
                    format!("{part:.2}, {median}s [{requests:.0}]")
                } else {
                    format!("{part:.2}")
                };
                row.push(text);
                let key = match (margins, pauses) {
                    (true, None) => Some((0, part)),
                    (true, Some(_)) if slower == Slower::No => Some((1, part)),
                    _ => None,
                };
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10, 100, 1000")]
                match key {
                    Some((0, part)) => drop(found.insert((rps as u32, name), (part, requests))),
                    Some((_, part)) => {
                        let most = found.entry((rps as u32, "pauses")).or_insert((0.0, 0.0));
                        most.0 = most.0.max(part);
                    }
                    None => {}
                }
            }
            writeln!(out, "| {rps}/{}% | {name} | {} |", 100.0 * share, row.join(" | "))?;
            out.flush()?;
        }
    }
    Ok(found)
}

fn goals(out: Out<'_>, lines: &[Line], ratios: &Ratios, worst_world: f64, latency: &Latencies) -> Done {
    let ratio = |name, gate| ratios.get(&(name, gate)).copied().unwrap_or((f64::NAN, f64::NAN));
    let mut say =
        |goal: &str, text: String, met: bool| writeln!(out, "{} {goal}: {text}", if met { "pass" } else { "MISS" });
    say(
        "G1",
        format!("most false alarms in any world: {} % (aim: at most 1 %)", percent(worst_world)),
        worst_world <= ALPHA,
    )?;
    for ours in [Gate::Second, Gate::Quarter] {
        let name = ours.name();
        let worst = |fault: f64, most: &Most| {
            let of = lines.iter().filter(|line| line.fault == fault);
            of.map(|line| (line.mean(ours), most(line)))
                .fold((0.0, 1.0), |a, b| if b.0 / b.1 > a.0 / a.1 { b } else { a })
        };
        let promises: [(f64, &Most); 4] = [
            (0.005, &|_| 20.0),
            (0.02, &|_| 8.0),
            (0.1, &|line| 5.0 + line.second()),
            (1.0, &|line| 4.0 + line.second()),
        ];
        for (fault, most) in promises {
            let (mean, most) = worst(fault, most);
            say(
                "G2",
                format!("{name}, fails {}%: at worst {mean:.1} failed (aim: at most {most:.1})", 100.0 * fault),
                mean <= most,
            )?;
        }
        for (peer, least) in
            [("best documented", 15.0), ("flagger 10", 80.0), ("argo background", 80.0), ("tuned for the service", 5.0)]
        {
            let found = ratio(peer, ours).1;
            say("G3", format!("{name}, trial >= 5 rps, against {peer}: {found:.1}x (aim: {least}x)"), found >= least)?;
        }
        let oracle =
            lines.iter().filter(|line| line.is_busy()).map(|line| line.mean(ours) / line.oracle).fold(0.0, f64::max);
        say("G3", format!("{name}, against the oracle at worst {oracle:.2}x (aim: at most 1.3x)"), oracle <= 1.3)?;
        let wald = 1.0 / ratio("Wald's limit", ours).0;
        let worst = lines.iter().map(|line| line.mean(ours) / line.mean(Gate::Wald)).fold(0.0, f64::max);
        say(
            "G4",
            format!("{name}, against Wald's limit {wald:.2}x (aim: 2x), at worst {worst:.2}x (aim: 3x)"),
            wald <= 2.0 && worst <= 3.0,
        )?;
    }
    let stretch = ratio("best documented", Gate::Quarter).1;
    say("stretch", format!("250 ms ticks against best documented: {stretch:.1}x (aim: 25x)"), stretch >= 25.0)?;
    for rps in [10, 100, 1000] {
        let get = |name| latency.get(&(rps, name)).copied().unwrap_or((f64::NAN, f64::NAN));
        let (whole, tail) = (get("whole x1.2").1, get("p99 x2, tail only").1);
        let text = format!("{rps} rps: whole x1.2 in {whole:.0} requests (aim: 1000), p99 x2 in {tail:.0} (aim: 1500)");
        say("G5", text, whole <= 1000.0 && tail <= 1500.0)?;
        let (equal, pauses) = (get("equal").0, get("pauses").0);
        let text = format!(
            "{rps} rps: equal versions went back: {} %, with own pauses {} % (aim: 1 %)",
            percent(equal),
            percent(pauses)
        );
        say("G5", text, equal <= ALPHA && pauses <= ALPHA)?;
    }
    Ok(())
}
