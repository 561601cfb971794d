//! The page: words first, then plots with a table beside each, then the numbers that it was decided by.

use ledger::statement::v1::{Asks, MilestoneKind};
use model::Timestamp;
use stats::Answer;

use super::{
    tale::{Compared, End, Point, Tale},
    words::{grouped, headline, milliseconds, percent, quantile, standing, story, whole},
};
use crate::page::{
    self,
    html::Markup,
    plot::{Line, Plot, Rule, Scale},
};

/// Rows of a table beside a plot; more are read by nobody, and every figure is in the log.
const MOST_ROWS: usize = 24;
/// Evidence is shown from here on; below it is none.
const LEAST_EVIDENCE: f64 = 0.1;
/// And up to here; nobody asks how much more.
const MOST_EVIDENCE: f64 = 100_000.0;

/// The whole page.
pub(super) fn page(tale: &Tale) -> String {
    let mut to = page::begin(headline(tale));
    head(tale, &mut to);
    if !tale.wrong.is_empty() {
        to.raw("<section class=\"warn\"><h2>What does not follow</h2><ul>");
        for (index, what) in &tale.wrong {
            to.raw("<li>Statement ").text(index).raw(": ").text(what).raw("</li>");
        }
        to.raw("</ul></section>");
    }
    steps(tale, &mut to);
    people(tale, &mut to);
    for compared in &tale.comparisons {
        comparison(tale, compared, &mut to);
    }
    if tale.comparisons.is_empty() {
        to.raw("<h2>Compared on live traffic</h2><p>");
        to.text(match (tale.end, &tale.replaces) {
            (End::NotBegun, _) => "Nothing was compared: no client was given this version.",
            (_, None) => "Nothing was compared: this was the first release here, and there was nothing to compare it with.",
            (End::UnderWay, _) => "Nothing was counted yet.",
            _ => "Nothing was compared: it went back before clients were given it, or its release documents ask for no comparison.",
        });
        to.raw("</p>");
    }
    foot(tale, &mut to);
    page::end(to)
}

fn head(tale: &Tale, to: &mut Markup) {
    let mood = match tale.end {
        End::Live => "good",
        End::Back(_) | End::Stuck => "bad",
        End::UnderWay | End::NotBegun => "wait",
    };
    to.raw("<header class=\"head ").raw(mood).raw("\"><h1>").text(headline(tale)).raw("</h1>");
    for sentence in story(tale) {
        to.raw("<p>").text(sentence).raw("</p>");
    }
    to.raw("</header><dl>");
    let mut fact = |name: &'static str, value: String| {
        to.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>");
    };
    fact("Environment", tale.environment.to_string());
    fact("In place of", tale.replaces.clone().unwrap_or_else(|| "nothing: the first".to_owned()));
    fact("Runs there now", tale.runs.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string));
    let began = tale.steps.iter().find(|s| s.kind == MilestoneKind::Begun).and_then(|s| s.time);
    fact("Began", time(began));
    fact("Release", tale.release.short());
    to.raw("</dl>");
}

fn steps(tale: &Tale, to: &mut Markup) {
    to.raw("<h2>Each step, and why</h2>");
    if tale.steps.is_empty() {
        to.raw("<p>No step was taken.</p>");
        return;
    }
    to.raw("<table class=\"steps\"><thead><tr><th scope=\"col\">When</th><th scope=\"col\">What, and why</th>");
    to.raw("<th scope=\"col\" class=\"n\">Statement</th></tr></thead><tbody>");
    for step in &tale.steps {
        to.raw("<tr><td class=\"t\">").text(time(step.time)).raw("</td><td>").text(&step.what);
        to.raw("</td><td class=\"n soft\">").text(step.index).raw("</td></tr>");
    }
    to.raw("</tbody></table>");
}

fn people(tale: &Tale, to: &mut Markup) {
    to.raw("<h2>Who approved</h2>");
    if tale.voices.is_empty() {
        to.raw("<p>Nobody approved or rejected it. Proposed by ").text(&tale.proposer).raw(".</p>");
        return;
    }
    to.raw("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Who</th><th scope=\"col\">Said</th>");
    to.raw("<th scope=\"col\">As</th><th scope=\"col\">When</th><th scope=\"col\" class=\"n\">Statement</th></tr></thead><tbody>");
    for voice in &tale.voices {
        to.raw("<tr><td>").text(&voice.who).raw("</td><td>");
        to.raw(if voice.approves { "approved" } else { "rejected" }).raw("</td><td>").text(&voice.role);
        to.raw("</td><td>")
            .text(time(voice.time))
            .raw("</td><td class=\"n soft\">")
            .text(voice.index)
            .raw("</td></tr>");
    }
    to.raw("</tbody></table></div><p class=\"soft\">Proposed by ").text(&tale.proposer).raw(".</p>");
}

fn comparison(tale: &Tale, compared: &Compared, to: &mut Markup) {
    to.raw("<h2>").text(&compared.component).raw(", new and old side by side</h2><p>");
    let mut standing = standing(compared);
    if let Some(first) = standing.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    to.text(standing).raw(".</p>");
    let Some(last) = compared.points.last() else {
        to.raw("<p>Nothing was counted yet.</p>");
        return;
    };
    if compared.points.len() == 1 {
        to.raw("<p class=\"soft\">One tick was counted: each plot has one point.</p>");
    }
    let until = coordinate(last.tick);
    let bottom = |at: f64| moment(tale, at);
    let mut marks: Vec<(f64, String)> = Vec::new();
    let mut share = None;
    for point in &compared.points {
        if share.is_none_or(|share| share < point.share) {
            marks.push((coordinate(point.tick.saturating_sub(1)), format!("{} %", point.share)));
            share = Some(point.share);
        }
    }
    let drawing = Drawing { tale, compared, until, bottom: &bottom, marks: &marks };
    to.raw("<div class=\"plots\">");
    drawing.against(to);
    drawing.evidence_for(to);
    drawing.failed(to);
    times(compared, to);
    drawing.shares(to);
    to.raw("</div>");
    metrics(compared, to);
}

/// What the plots of one comparison share.
struct Drawing<'a> {
    tale: &'a Tale,
    compared: &'a Compared,
    until: f64,
    bottom: &'a dyn Fn(f64) -> String,
    marks: &'a [(f64, String)],
}

impl Drawing<'_> {
    fn line(&self, class: &'static str, value: impl Fn(&Point) -> Option<f64>) -> Line {
        let points = self.compared.points.iter().filter_map(|p| Some((coordinate(p.tick), value(p)?))).collect();
        Line { class, points, is_stepped: false }
    }

    fn plot(
        &self,
        title: String,
        lines: Vec<Line>,
        rules: Vec<Rule>,
        scale: Scale,
        label: &dyn Fn(f64) -> String,
        to: &mut Markup,
    ) {
        let (until, bottom, marks) = (self.until, self.bottom, self.marks);
        Plot { title, lines, rules, scale, label, until, bottom, marks }.draw(to);
    }

    fn against(&self, to: &mut Markup) {
        let at = self.compared.evidence.go_back_at;
        to.raw("<figure><figcaption><h3>Evidence that the new version is worse</h3><p>At the red line it goes back. A version ");
        to.raw("that is no worse than allowed reaches it in one of ")
            .text(grouped(whole(at)))
            .raw(" rollouts.</p></figcaption>");
        let rule = Rule { at, class: "bad", label: "go back".to_owned() };
        let title = format!(
            "Evidence against over time: {} at the end, and {} goes back",
            evidence(self.last().worse),
            evidence(at)
        );
        let scale = Scale::Factors(LEAST_EVIDENCE, MOST_EVIDENCE.min(self.most(|p| p.worse).max(at) * 5.0));
        self.plot(title, vec![self.line("new", |p| Some(p.worse))], vec![rule], scale, &evidence, to);
        self.table(&["Evidence that it is worse"], &|p| vec![evidence(p.worse)], to);
        to.raw("</figure>");
    }

    fn evidence_for(&self, to: &mut Markup) {
        let at = self.compared.evidence.promote_at;
        to.raw(
            "<figure><figcaption><h3>Evidence that it is good enough</h3><p>Of all that is measured, the one with the ",
        );
        to.raw("least. Above the green line it may be given to everybody.</p></figcaption>");
        let rule = Rule { at, class: "good", label: "good enough".to_owned() };
        let title = format!(
            "Evidence for it over time: {} at the end, and {} is enough",
            evidence(self.last().good),
            evidence(at)
        );
        let scale = Scale::Factors(LEAST_EVIDENCE, MOST_EVIDENCE.min(self.most(|p| p.good).max(at) * 5.0));
        self.plot(
            title,
            vec![self.line("new", |p| p.good.is_finite().then_some(p.good))],
            vec![rule],
            scale,
            &evidence,
            to,
        );
        self.table(&["Evidence that it is good enough"], &|p| vec![evidence(p.good)], to);
        to.raw("</figure>");
    }

    fn failed(&self, to: &mut Markup) {
        to.raw("<figure><figcaption><h3>Requests that failed, of all so far</h3>");
        keys(to);
        to.raw("</figcaption>");
        let most = self.most(|p| p.failed.0.unwrap_or(0.0).max(p.failed.1.unwrap_or(0.0)));
        // A scale that ends at nothing would show nothing.
        let most = round_up(most.max(0.001));
        let shown = |share: Option<f64>| share.map_or_else(|| "no requests".to_owned(), percent);
        let last = self.last();
        let title = format!(
            "Failed requests: new version about {}, old version about {}",
            shown(last.failed.0),
            shown(last.failed.1)
        );
        let lines = vec![self.line("old", |p| p.failed.1), self.line("new", |p| p.failed.0)];
        self.plot(title, lines, Vec::new(), Scale::Even(most), &percent, to);
        self.table(&["New version, about", "Old version, about"], &|p| vec![shown(p.failed.0), shown(p.failed.1)], to);
        to.raw("</figure>");
    }

    fn shares(&self, to: &mut Markup) {
        to.raw("<figure><figcaption><h3>Share of clients with the new version</h3><p>");
        let (new, old) = self.compared.requests;
        to.text(format!("{} requests to the new version, {} to the old one.", grouped(new), grouped(old)));
        to.raw("</p></figcaption>");
        let line = Line { is_stepped: true, ..self.line("new", |p| Some(f64::from(p.share))) };
        let title = format!("Share of clients with the new version over time: {} % at the end", self.last().share);
        let label = |at: f64| format!("{at:.0} %");
        self.plot(title, vec![line], Vec::new(), Scale::Even(100.0), &label, to);
        let row = |p: &Point| vec![format!("{} %", p.share), grouped(p.requests.0), grouped(p.requests.1)];
        self.table(&["Share", "Requests, new", "Requests, old"], &row, to);
        to.raw("</figure>");
    }

    fn last(&self) -> Point {
        let none = Point { tick: 0, share: 0, requests: (0, 0), worse: 1.0, good: 1.0, failed: (None, None) };
        self.compared.points.last().copied().unwrap_or(none)
    }

    fn most(&self, value: impl Fn(&Point) -> f64) -> f64 {
        self.compared.points.iter().map(value).filter(|v| v.is_finite()).fold(0.0, f64::max)
    }

    /// The same as a table, some rows of it and the last.
    fn table(&self, names: &[&'static str], row: &dyn Fn(&Point) -> Vec<String>, to: &mut Markup) {
        let points = &self.compared.points;
        to.raw("<details><summary>As a table</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\">After</th>");
        for name in names {
            to.raw("<th scope=\"col\" class=\"n\">").raw(name).raw("</th>");
        }
        to.raw("</tr></thead><tbody>");
        let every = points.len().div_ceil(MOST_ROWS).max(1);
        for (at, point) in points.iter().enumerate() {
            if (at + 1) % every != 0 && at + 1 != points.len() {
                continue;
            }
            to.raw("<tr><th scope=\"row\">").text(moment(self.tale, coordinate(point.tick))).raw("</th>");
            for cell in row(point) {
                to.raw("<td class=\"n\">").text(cell).raw("</td>");
            }
            to.raw("</tr>");
        }
        to.raw("</tbody></table></div></details>");
    }
}

/// How long answers took, as bars in a table, which is readable without seeing them.
fn times(compared: &Compared, to: &mut Markup) {
    to.raw("<figure><figcaption><h3>How long answers took</h3>");
    if compared.times.is_empty() {
        to.raw("<p>The log has no times of both versions for this rollout.</p></figcaption></figure>");
        return;
    }
    keys(to);
    to.raw("</figcaption><table><thead><tr><th scope=\"col\">So fast or faster</th><th scope=\"col\">");
    to.raw("<span class=\"soft\">longest bar: slowest</span></th><th scope=\"col\" class=\"n\">Time</th></tr></thead><tbody>");
    let longest = compared.times.iter().map(|t| t.trial_us.max(t.control_us)).max().unwrap_or(1).max(1);
    for time in &compared.times {
        for (class, name, us) in [("new", "new", time.trial_us), ("old", "old", time.control_us)] {
            to.raw("<tr><th scope=\"row\">").text(quantile(time.quantile_ppm)).raw(", ").raw(name);
            to.raw("</th><td class=\"bars\"><span class=\"bar ").raw(class).raw("\" style=\"width:");
            to.place(100.0 * coordinate(us) / coordinate(longest)).raw("%\"></span></td><td class=\"n\">");
            to.text(milliseconds(us)).raw("</td></tr>");
        }
    }
    to.raw("</tbody></table></figure>");
}

/// The numbers that it was decided by.
fn metrics(compared: &Compared, to: &mut Markup) {
    to.raw("<details><summary>What was measured, and the limits that were set before</summary><div class=\"scroll\"><table><thead><tr>");
    to.raw("<th scope=\"col\">Measured</th><th scope=\"col\">Harmless up to</th><th scope=\"col\">Must be ruled out before everybody gets it</th>");
    to.raw("<th scope=\"col\" class=\"n\">New: flagged of units</th><th scope=\"col\" class=\"n\">Old: flagged of units</th>");
    to.raw("<th scope=\"col\" class=\"n\">Against</th><th scope=\"col\" class=\"n\">For</th></tr></thead><tbody>");
    for (metric, seen) in compared.metrics.iter().zip(&compared.evidence.measures) {
        let line = |l: &ledger::statement::v1::Line| {
            format!(
                "{} times as often and {} on top",
                f64::from(l.ratio_ppm) / 1e6,
                percent(f64::from(l.plus_ppm) / 1e6)
            )
        };
        let (name, harmless) = match &metric.asks {
            Asks::Failed { margin, .. } => ("requests that failed".to_owned(), line(margin)),
            Asks::Slower { quantile_ppm, control_us, trial_us, count } => (
                format!("at least {count} slower than {} ({})", milliseconds(*control_us), quantile(*quantile_ppm)),
                milliseconds(*trial_us),
            ),
            Asks::Counter { margin, .. } => ("a counter of the component".to_owned(), line(margin)),
            Asks::Invariant { .. } => ("a figure that may never change".to_owned(), "never".to_owned()),
        };
        to.raw("<tr><th scope=\"row\">").text(name).raw("</th><td>").text(harmless).raw("</td><td>");
        let promote =
            if matches!(metric.asks, Asks::Invariant { .. }) { "-".to_owned() } else { line(&metric.promote) };
        to.text(promote).raw("</td>");
        let cells = seen.map_or_else(
            || vec!["-".to_owned(); 4],
            |m| {
                let of = |(units, flagged): (u64, u64)| format!("{} of {}", grouped(flagged), grouped(units));
                vec![of(m.trial), of(m.control), evidence(m.worse), evidence(m.good)]
            },
        );
        for cell in cells {
            to.raw("<td class=\"n\">").text(cell).raw("</td>");
        }
        to.raw("</tr>");
    }
    to.raw("</tbody></table></div><p class=\"soft\">A unit is a hundredth of all clients in one tick; it is flagged if it ");
    to.raw("happened in it. Evidence is how many times likelier what was seen is if the new version is worse (against) or good ");
    to.raw("(for) than if it is not; it starts at 1.</p></details>");
    if let Answer::NotYet { .. } = compared.answer {
        to.raw("<p class=\"soft\">The page shows how it stood when it was written.</p>");
    }
}

fn foot(tale: &Tale, to: &mut Markup) {
    to.raw("<h2>How to check this page</h2><p>It was computed from the log: proposal ").text(tale.proposal);
    to.raw(", release ")
        .text(tale.release)
        .raw(". <code>countersign audit</code> computes the same answers from anybody's copy. ");
    to.raw("What was counted is the word of the agent and the edge; what follows from it is not.</p>");
}

fn keys(to: &mut Markup) {
    to.raw("<p class=\"keys\"><span class=\"key new\"></span><span>new version</span>");
    to.raw("<span class=\"key old\"></span><span>old version</span></p>");
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "not timed yet".to_owned(), |t| t.to_string().replace('T', " ").replace('Z', " UTC"))
}

/// A place on the bottom axis.
fn moment(tale: &Tale, ticks: f64) -> String {
    match tale.tick_ms {
        Some(tick_ms) => {
            let seconds = ticks * f64::from(tick_ms) / 1_000.0;
            if seconds < 180.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
        }
        None => format!("tick {ticks:.0}"),
    }
}

/// Evidence for people.
fn evidence(value: f64) -> String {
    if value >= 1e6 {
        "over a million".to_owned()
    } else if value >= 10.0 {
        grouped(whole(value))
    } else if value >= 0.1 {
        let text = format!("{value:.1}");
        text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
    } else {
        "under 0.1".to_owned()
    }
}

/// The next number above that people read easily.
fn round_up(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 10.0];
    steps.iter().map(|s| s * power).find(|s| *s >= value).unwrap_or(value)
}

/// A count as a place.
#[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
const fn coordinate(count: u64) -> f64 {
    count as f64
}
