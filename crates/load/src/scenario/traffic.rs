//! Recorded traffic: JSON Lines, `{"at_ms": 12.5, "method": "POST", "path": "/orders", "headers": {}, "body": "..."}` with an
//! optional `name`, or a HAR 1.2 file as browsers and proxies write it.
//!
//! Recorded texts are sent as they are: `{{` in them is no place. Headers that belong to the connection of then are left out.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{Check, Raw, ScenarioError};

/// A day in milliseconds.
const MOST_MS: f64 = 86_400_000.0;
/// Headers of the connection over which the traffic was recorded.
const OF_THE_CONNECTION: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "keep-alive",
    "te",
    "trailer",
    "proxy-connection",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at_ms: f64,
    name: Option<String>,
    #[serde(default = "get")]
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

fn get() -> String {
    "GET".to_owned()
}

// HAR 1.2: only what is sent again is read.
#[derive(Deserialize)]
struct Har {
    log: HarLog,
}

#[derive(Deserialize)]
struct HarLog {
    entries: Vec<HarEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarEntry {
    started_date_time: String,
    request: HarRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<HarHeader>,
    post_data: Option<HarBody>,
}

#[derive(Deserialize)]
struct HarHeader {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct HarBody {
    #[serde(default)]
    text: String,
}

/// Milliseconds of then as nanoseconds of a run at another speed. None if it is no time of a run.
pub(super) fn scaled(ms: f64, speed: f64) -> Option<u64> {
    let at = ms / speed;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to a day in nanoseconds")]
    if (0.0..=MOST_MS).contains(&at) { Some((at * 1e6) as u64) } else { None }
}

/// The requests with the milliseconds of when each was sent.
fn requests(path: &Path) -> Result<Vec<(f64, Raw)>, ScenarioError> {
    let bytes = super::read(path)?;
    let no = |place: String, why: String| ScenarioError::Traffic { path: path.to_owned(), place, why };
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("har")) {
        let har: Har = serde_json::from_slice(&bytes).map_err(|e| no("not HAR 1.2".into(), e.to_string()))?;
        let each = har.log.entries.into_iter().enumerate().map(|(number, entry)| {
            let no = |why: &str| no(format!("entry {number}"), why.to_owned());
            let at: jiff::Timestamp =
                entry.started_date_time.parse().map_err(|_| no("`startedDateTime` is no ISO 8601 time"))?;
            let url = url::Url::parse(&entry.request.url).map_err(|_| no("`url` is no URL"))?;
            let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
            let headers = entry.request.headers.into_iter().map(|h| (h.name, h.value));
            let body = entry.request.post_data.map(|data| data.text).unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "microseconds of our century fit")]
            let ms = at.as_microsecond() as f64 / 1e3;
            Ok((ms, raw(None, entry.request.method, path, headers, body)))
        });
        return each.collect();
    }
    let text = String::from_utf8(bytes).map_err(|_| no("all".into(), "not UTF-8".into()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let each = lines.map(|(number, line)| {
        let line: Line = serde_json::from_str(line).map_err(|e| no(format!("line {}", number + 1), e.to_string()))?;
        Ok((line.at_ms, raw(line.name, line.method, line.path, line.headers.into_iter(), line.body)))
    });
    each.collect()
}

/// The requests in their order, and when each is to be sent, in nanoseconds from the first.
pub(super) fn read(path: &Path, speed: f64) -> Result<(Vec<Raw>, Vec<u64>), ScenarioError> {
    let mut all = requests(path)?;
    if all.is_empty() {
        return Err(ScenarioError::Wrong(format!("`{}` has no request", path.display())));
    }
    if let Some((at, _)) = all.iter().find(|(at, _)| !at.is_finite()) {
        return Err(ScenarioError::Wrong(format!("`{}`: {at} is no time", path.display())));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let first = all.first().map_or(0.0, |(at, _)| *at);
    let (mut raws, mut times) = (Vec::new(), Vec::new());
    for (at, raw) in all {
        let time = scaled(at - first, speed)
            .ok_or_else(|| ScenarioError::Wrong(format!("`{}` is longer than a day", path.display())))?;
        raws.push(raw);
        times.push(time);
    }
    Ok((raws, times))
}

fn raw(
    name: Option<String>,
    method: String,
    path: String,
    headers: impl Iterator<Item = (String, String)>,
    body: String,
) -> Raw {
    Raw {
        name: name.unwrap_or_else(|| method.clone()),
        weight: 1,
        method,
        path,
        // HTTP/2 writes names of its own with a colon.
        headers: headers
            .filter(|(name, _)| {
                !name.starts_with(':') && !OF_THE_CONNECTION.iter().any(|own| name.eq_ignore_ascii_case(own))
            })
            .collect(),
        body: body.into_bytes(),
        is_template: false,
        fresh: false,
        websocket: false,
        check: Check::default(),
    }
}
