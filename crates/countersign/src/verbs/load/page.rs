//! The page of a run: whether it counts, how long answers took second by second, and every figure in a table.

use load::report::{KindReport, Report, Second};

use super::run::{failures, time};
use crate::page::{
    self,
    html::Markup,
    plot::{Line, Plot, Scale},
};

/// A tenth of a millisecond, below which nobody looks.
const LEAST_US: f64 = 100.0;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let counts = report.does_not_count.is_empty();
    let failed = report.all.planned - report.all.right;
    let title = if counts {
        format!("{:.0} requests a second: {failed} failed, p99 {}", report.offered, time(report.all.latency_us.p99))
    } else {
        "This run does not count".to_owned()
    };
    let mut to = page::begin(&title);
    let mood = match (counts, failed) {
        (false, _) => "wait",
        (true, 0) => "good",
        (true, _) => "bad",
    };
    to.raw("<header class=\"head ").raw(mood).raw("\"><h1>").text(&title).raw("</h1>");
    for reason in &report.does_not_count {
        to.raw("<p>").text(reason).raw("</p>");
    }
    to.raw("<p>").text(if report.closed {
        "Each connection sent its next request when it had the answer to the one before: latencies leave out what a client \
         would have waited."
    } else {
        "Requests were sent at their times whatever became of those before; latencies count from those times."
    });
    to.raw("</p></header><dl>");
    let mut fact = |name: &'static str, value: String| {
        to.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>");
    };
    fact("Sent to", report.target.clone());
    fact("Began", report.began.to_string());
    fact("Long", format!("{:.0} s", report.seconds));
    fact("Answered rightly", format!("{:.0} a second", report.answered));
    fact("The generator was late", format!("{} at p99", time(report.own.late_us.p99)));
    fact("It was busy", format!("{:.0} % of the time", report.own.busy * 100.0));
    fact("Connections made", report.own.connections.to_string());
    let machine = &report.machine;
    fact("Machine", format!("{}, {} processors, {} MiB", machine.processor, machine.processors, machine.memory_mib));
    fact("Its kernel, and load before", format!("{}, {:.2}", machine.kernel, machine.load));
    to.raw("</dl><h2>Second by second</h2><div class=\"plots\">");
    latencies(report, &mut to);
    rates(report, &mut to);
    to.raw("</div><h2>By kind of request</h2>");
    kinds(report, &mut to);
    page::end(to)
}

/// A line of the seconds.
fn over(report: &Report, class: &'static str, of: impl Fn(&Second) -> f64) -> Line {
    let points = report.each_second.iter().map(|second| (f64::from(second.at), of(second))).collect();
    Line { class, points, is_stepped: false }
}

fn end(report: &Report) -> f64 {
    report.each_second.last().map_or(1.0, |second| f64::from(second.at)).max(1.0)
}

fn latencies(report: &Report, to: &mut Markup) {
    to.raw("<figure><figcaption><h3>How long answers took</h3><p class=\"keys\"><span class=\"key new\"></span><span>p50</span>");
    to.raw("<span class=\"key old\"></span><span>p99</span><span class=\"key bad\"></span><span>longest</span></p></figcaption>");
    let most = report.each_second.iter().map(|s| s.latency_us.max).fold(LEAST_US * 100.0, f64::max);
    Plot {
        title: "Latency of each second: median, p99 and longest".to_owned(),
        lines: vec![
            over(report, "bad", |s| s.latency_us.max),
            over(report, "old", |s| s.latency_us.p99),
            over(report, "new", |s| s.latency_us.p50),
        ],
        rules: Vec::new(),
        scale: Scale::Factors(LEAST_US, most),
        label: &time,
        until: end(report),
        bottom: &|at| format!("{at:.0} s"),
        marks: &[],
    }
    .draw(to);
    to.raw("</figure>");
}

#[expect(clippy::cast_precision_loss, reason = "a plot")]
fn rates(report: &Report, to: &mut Markup) {
    to.raw("<figure><figcaption><h3>Requests a second</h3><p class=\"keys\"><span class=\"key new\"></span><span>sent</span>");
    to.raw("<span class=\"key bad\"></span><span>failed</span></p></figcaption>");
    let most = report.each_second.iter().map(|s| s.planned).max().unwrap_or(1);
    Plot {
        title: "Requests sent and failed in each second".to_owned(),
        lines: vec![over(report, "new", |s| s.planned as f64), over(report, "bad", |s| s.failed as f64)],
        rules: Vec::new(),
        scale: Scale::Even(most.max(1) as f64),
        label: &|at| format!("{at:.0}"),
        until: end(report),
        bottom: &|at| format!("{at:.0} s"),
        marks: &[],
    }
    .draw(to);
    to.raw("</figure>");
}

fn kinds(report: &Report, to: &mut Markup) {
    to.raw("<div class=\"scroll\"><table><thead><tr><th>Kind</th><th class=\"n\">Sent</th><th class=\"n\">p50</th>");
    to.raw("<th class=\"n\">p90</th><th class=\"n\">p99</th><th class=\"n\">p99.9</th><th class=\"n\">Longest</th>");
    to.raw("<th>Failed</th></tr></thead><tbody>");
    let mut row = |kind: &KindReport| {
        to.raw("<tr><th scope=\"row\">").text(&kind.name).raw("</th><td class=\"n\">").text(kind.planned).raw("</td>");
        let latency = kind.latency_us;
        for us in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
            to.raw("<td class=\"n\">").text(time(us)).raw("</td>");
        }
        to.raw("<td>").text(failures(kind)).raw("</td></tr>");
    };
    report.kinds.iter().for_each(&mut row);
    row(&report.all);
    to.raw("</tbody></table></div>");
}

#[cfg(test)]
mod tests;
