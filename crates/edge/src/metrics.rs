//! The counts as OpenMetrics text (OpenMetrics 1.0, <https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::fmt::Write;

use model::route::{ClassCounts, ComponentCounts, EdgeCounts, Shed, SurgeCounts, VersionCounts};

/// The media type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One family of numbers: name, type, help, and the number of a row.
type Family<R> = (&'static str, &'static str, &'static str, fn(&R) -> u64);

/// A reason for which requests are refused, and how many were.
type Reason = (&'static str, fn(&Shed) -> u64);

const BY_VERSION: [Family<VersionCounts>; 5] = [
    ("requests", "counter", "Requests answered or failed.", |row| row.requests),
    ("errors", "counter", "Requests answered 5xx, or without a whole answer.", |row| row.errors),
    ("in_flight", "gauge", "Requests in flight.", |row| row.in_flight),
    ("clients", "gauge", "Different clients remembered.", |row| row.clients),
    ("held", "counter", "Requests that were held before they came to this version.", |row| row.held),
];

const BY_COMPONENT: [Family<ComponentCounts>; 7] = [
    ("received", "counter", "Requests whose head arrived.", |row| row.requests),
    ("turned_away", "counter", "Requests answered 503 by the edge itself.", |row| row.turned_away),
    ("rejected", "counter", "Requests refused as wrong.", |row| row.rejected),
    ("abandoned", "counter", "Requests whose client left while they were held.", |row| row.abandoned),
    ("shed", "counter", "Requests refused because more was asked than is allowed or can be taken.", |row| row.shed),
    ("retried", "counter", "Tries on another instance.", |row| row.retried),
    ("moved", "counter", "Requests that went on to another version.", |row| row.moved),
];

/// Renders the counts.
pub(crate) fn render(counts: &EdgeCounts) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _infallible = write(&mut text, counts);
    text
}

fn write(text: &mut String, counts: &EdgeCounts) -> std::fmt::Result {
    for (name, help, value) in [
        ("generation", "Generation of the route table in force.", counts.generation),
        ("revision", "Revision of the route table in force.", counts.revision),
        ("waiting", "Requests held now.", counts.held),
    ] {
        head(text, name, "gauge", help)?;
        writeln!(text, "countersign_edge_{name} {value}")?;
    }
    for (name, kind, help, value) in BY_VERSION {
        head(text, name, kind, help)?;
        for row in &counts.versions {
            let labels = format!("component=\"{}\",serial=\"{}\"", row.component, row.serial);
            writeln!(text, "countersign_edge_{name}{}{{{labels}}} {}", suffix(kind), value(row))?;
        }
    }
    for (name, kind, help, value) in BY_COMPONENT {
        head(text, name, kind, help)?;
        for row in &counts.components {
            writeln!(
                text,
                "countersign_edge_{name}{}{{component=\"{}\"}} {}",
                suffix(kind),
                row.component,
                value(row)
            )?;
        }
    }
    head(text, "cut_sessions", "counter", "Long sessions cut because their version took nothing new for too long.")?;
    for row in &counts.cut {
        let labels = format!("component=\"{}\",serial=\"{}\"", row.component, row.serial);
        writeln!(text, "countersign_edge_cut_sessions_total{{{labels}}} {}", row.sessions)?;
    }
    surges(text, counts)?;
    head(text, "answer_seconds", "histogram", "Time to the head of an answer.")?;
    for row in &counts.versions {
        histogram(text, row)?;
    }
    writeln!(text, "# EOF")
}

/// A surge: gauges of each component, and counters of each class and reason.
fn surges(text: &mut String, counts: &EdgeCounts) -> std::fmt::Result {
    const GAUGES: [Family<SurgeCounts>; 3] = [
        ("surge_limit", "gauge", "Requests that a component is given at once now.", |row| row.limit),
        ("surge_in_flight", "gauge", "Requests that it has and did not answer yet.", |row| row.in_flight),
        ("surge_connections_refused", "counter", "Connections beyond the limits.", |row| row.connections_refused),
    ];
    const BY_CLASS: [Family<ClassCounts>; 2] = [
        ("surge_admitted", "counter", "Requests let through.", |row| row.admitted),
        ("surge_waiting", "gauge", "Requests that wait for their turn.", |row| row.waiting),
    ];
    const REASONS: [Reason; 4] = [
        ("client", |shed| shed.client),
        ("total", |shed| shed.total),
        ("overload", |shed| shed.overload),
        ("late", |shed| shed.late),
    ];
    if counts.surges.is_empty() {
        return Ok(());
    }
    for (name, kind, help, value) in GAUGES {
        head(text, name, kind, help)?;
        for row in &counts.surges {
            let component = &row.component;
            writeln!(text, "countersign_edge_{name}{}{{component=\"{component}\"}} {}", suffix(kind), value(row))?;
        }
    }
    let classes = || counts.surges.iter().flat_map(|row| row.classes.iter().map(move |class| (&row.component, class)));
    for (name, kind, help, value) in BY_CLASS {
        head(text, name, kind, help)?;
        for (component, row) in classes() {
            let labels = format!("component=\"{component}\",class=\"{}\"", row.class);
            writeln!(text, "countersign_edge_{name}{}{{{labels}}} {}", suffix(kind), value(row))?;
        }
    }
    head(text, "surge_shed", "counter", "Requests refused because more was asked than is allowed or can be taken.")?;
    for (component, row) in classes() {
        for (reason, value) in REASONS {
            let labels = format!("component=\"{component}\",class=\"{}\",reason=\"{reason}\"", row.class);
            writeln!(text, "countersign_edge_surge_shed_total{{{labels}}} {}", value(&row.shed))?;
        }
    }
    Ok(())
}

/// Neither names nor label values need escapes: they are fixed, or letters, digits and hyphens.
fn head(text: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(text, "# TYPE countersign_edge_{name} {kind}\n# HELP countersign_edge_{name} {help}")
}

/// Samples of counters end in `_total`.
fn suffix(kind: &str) -> &'static str {
    if kind == "counter" { "_total" } else { "" }
}

fn histogram(text: &mut String, row: &VersionCounts) -> std::fmt::Result {
    let labels = format!("component=\"{}\",serial=\"{}\"", row.component, row.serial);
    let mut below = 0;
    for (bound_us, count) in &row.latency_us {
        below += count;
        let bound = if *bound_us == u64::MAX {
            "+Inf".to_owned()
        } else {
            format!("{}.{:06}", bound_us / 1_000_000, bound_us % 1_000_000)
        };
        writeln!(text, "countersign_edge_answer_seconds_bucket{{{labels},le=\"{bound}\"}} {below}")?;
    }
    writeln!(text, "countersign_edge_answer_seconds_count{{{labels}}} {below}")
}

#[cfg(test)]
mod tests;
