//! What a run sends: a scenario in TOML, with templates, data files and recorded traffic.
//!
//! All of it is read and checked before anything is sent: a run that could go wrong in its last minute for a reason that is in
//! the files does not begin. It refuses to know how requests travel.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use thiserror::Error;
use url::Url;

use crate::{
    arrivals::{Arrivals, Segment, Spacing},
    check::{Check, CheckError},
    template::{Template, TemplateError},
};

mod traffic;

/// More requests a second than one machine sends.
const MOST_RATE: f64 = 10_000_000.0;
/// A day.
const MOST_SECONDS: f64 = 86_400.0;
const MOST_CONNECTIONS: usize = 1_000_000;
const MOST_STEPS: u32 = 10_000;

/// A scenario, ready to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where to, if it says so.
    pub target: Option<Url>,
    /// How requests travel.
    pub protocol: Protocol,
    /// As many connections at a time as there may be, WebSocket sessions besides.
    pub connections: usize,
    /// How long an answer may take, from when its request was meant to be sent.
    pub timeout: Duration,
    /// What chance is made from: the same seed sends the same requests.
    pub seed: u64,
    /// Whose certificates are believed, with `https`: a file of PEM.
    pub ca: Option<PathBuf>,
    /// The part of requests that may fail.
    pub most_failed: f64,
    /// When.
    pub arrivals: Arrivals,
    /// The kinds of requests, by which they are counted.
    pub kinds: Vec<String>,
    /// The requests; recorded ones are sent in their order, others by weight.
    pub requests: Vec<Request>,
    /// Whether `requests` were recorded.
    pub recorded: bool,
    /// Rows of the data file.
    pub rows: Vec<Vec<String>>,
}

/// How requests travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// A request after the other on each connection.
    #[default]
    #[serde(rename = "http/1.1")]
    Http1,
    /// Many requests at a time on each connection.
    #[serde(rename = "http/2")]
    Http2,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its place in [`Scenario::kinds`].
    pub kind: usize,
    /// How often, relative to the others.
    pub weight: u32,
    /// GET and so on.
    pub method: String,
    /// With its query.
    pub path: Template,
    /// Besides `Host` and `Content-Length`.
    pub headers: Vec<(String, Template)>,
    /// What is sent; with `websocket`, the message.
    pub body: Template,
    /// What a right answer is.
    pub check: Check,
    /// Whether it gets a connection of its own, as a new client has.
    pub fresh: bool,
    /// Whether it is a message of a session, and its answer the next message.
    pub websocket: bool,
}

/// Why a scenario can not be run.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// A file.
    #[error("`{}` can not be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not these keys.
    #[error("the scenario does not hold up")]
    Toml(#[from] toml_edit::de::Error),
    /// A data file.
    #[error("`{}` is no CSV with a header", path.display())]
    Csv {
        /// Which.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// A line of recorded traffic.
    #[error("`{}`, {place}: {why}", path.display())]
    Traffic {
        /// Which.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// Why.
        why: String,
    },
    /// A request.
    #[error("request `{name}`: {why}")]
    Request {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// Another key.
    #[error("{0}")]
    Wrong(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    target: Option<String>,
    #[serde(default)]
    protocol: Protocol,
    #[serde(default = "usual_connections")]
    connections: usize,
    #[serde(default = "usual_timeout")]
    timeout_ms: u64,
    #[serde(default)]
    seed: u64,
    ca: Option<PathBuf>,
    data: Option<PathBuf>,
    traffic: Option<PathBuf>,
    #[serde(default = "usual_speed")]
    speed: f64,
    #[serde(default)]
    most_failed: f64,
    #[serde(default)]
    spacing: Spacing,
    #[serde(default)]
    arrivals: Vec<Stretch>,
    #[serde(default)]
    request: Vec<Sent>,
}

const fn usual_connections() -> usize {
    256
}

const fn usual_timeout() -> u64 {
    10_000
}

const fn usual_speed() -> f64 {
    1.0
}

const fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    rate: Option<f64>,
    from: Option<f64>,
    to: Option<f64>,
    steps: Option<u32>,
    seconds: Option<f64>,
    recorded: Option<PathBuf>,
    #[serde(default)]
    closed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    name: String,
    #[serde(default = "one")]
    weight: u32,
    method: Option<String>,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_file: Option<PathBuf>,
    #[serde(default)]
    fresh_connection: bool,
    #[serde(default)]
    websocket: bool,
    #[serde(default)]
    check: Check,
}

/// A request before its texts are read: of the scenario or of recorded traffic.
struct Raw {
    name: String,
    weight: u32,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    is_template: bool,
    fresh: bool,
    websocket: bool,
    check: Check,
}

impl Scenario {
    /// Reads a scenario; files that it names lie beside it.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = String::from_utf8(read(path)?)
            .map_err(|_| ScenarioError::Wrong(format!("`{}` is not UTF-8", path.display())))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// The same from its text; files that it names lie in `beside`.
    pub fn parse(text: &str, beside: &Path) -> Result<Self, ScenarioError> {
        let file: File = toml_edit::de::from_str(text)?;
        let wrong = |why: &str| Err(ScenarioError::Wrong(why.to_owned()));
        if !(1..=MOST_CONNECTIONS).contains(&file.connections) {
            return wrong("`connections` is 1 to 1 000 000");
        }
        if !(1..=3_600_000).contains(&file.timeout_ms) {
            return wrong("`timeout_ms` is 1 to 3 600 000");
        }
        if !(0.0..1.0).contains(&file.most_failed) {
            return wrong("`most_failed` is a part of all requests, from 0 to below 1");
        }
        if !(file.speed > 0.0 && file.speed <= 1_000.0) {
            return wrong("`speed` is above 0, and at most 1000");
        }
        let (columns, rows) = match &file.data {
            Some(data) => table(&beside.join(data))?,
            None => (Vec::new(), Vec::new()),
        };
        let (recorded, raw, at) = match (&file.traffic, file.request.is_empty()) {
            (Some(traffic), true) => {
                let (raw, at) = traffic::read(&beside.join(traffic), file.speed)?;
                (true, raw, Some(at))
            }
            (Some(_), false) => {
                return wrong("either `traffic` or `[[request]]`: recorded traffic has its own requests");
            }
            (None, true) => return wrong("nothing to send: name a `[[request]]`, or a file of recorded `traffic`"),
            (None, false) => (false, raws(file.request, beside)?, None),
        };
        let arrivals = match (at, file.arrivals.is_empty()) {
            (Some(at), true) => Arrivals::Recorded(at),
            (None, true) => return wrong("when? name `[[arrivals]]`, such as `rate = 2000` and `seconds = 60`"),
            (_, false) => arrivals(&file.arrivals, file.spacing, file.speed, beside)?,
        };
        let mut kinds: Vec<String> = Vec::new();
        let mut requests = Vec::with_capacity(raw.len());
        for one in raw {
            let kind = kinds.iter().position(|k| *k == one.name).unwrap_or(kinds.len());
            if kind == kinds.len() {
                kinds.push(one.name.clone());
            } else if !recorded {
                return Err(ScenarioError::Request { name: one.name, why: "there are two of the name".into() });
            }
            requests.push(request(one, kind, &columns, &rows)?);
        }
        if requests.iter().map(|r| u64::from(r.weight)).sum::<u64>() == 0 {
            return wrong("all weights are 0: nothing would be sent");
        }
        let target = file.target.as_deref().map(target).transpose()?;
        let ca = file.ca.map(|ca| beside.join(ca));
        if file.protocol == Protocol::Http2 && requests.iter().any(|r| r.fresh || r.websocket) {
            return wrong("`fresh_connection` and `websocket` are for http/1.1");
        }
        if matches!(arrivals, Arrivals::Closed { .. }) && requests.len() > 1 && requests.iter().any(|r| r.websocket) {
            return wrong("a closed loop sends requests, or one kind of message");
        }
        Ok(Self {
            target,
            protocol: file.protocol,
            connections: file.connections,
            timeout: Duration::from_millis(file.timeout_ms),
            seed: file.seed,
            ca,
            most_failed: file.most_failed,
            arrivals,
            kinds,
            requests,
            recorded,
            rows,
        })
    }
}

/// Reads where requests go: scheme, host and port, and nothing else.
pub fn target(text: &str) -> Result<Url, ScenarioError> {
    let wrong = |why: &str| ScenarioError::Wrong(format!("the target `{text}` {why}, such as `http://127.0.0.1:8080`"));
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error}); name one")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("is to be `http` or `https` with a host"));
    }
    if !matches!(url.path(), "" | "/")
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
    {
        return Err(wrong("is to be a host and a port; requests name their paths"));
    }
    Ok(url)
}

fn read(path: &Path) -> Result<Vec<u8>, ScenarioError> {
    std::fs::read(path).map_err(|source| ScenarioError::Read { path: path.to_owned(), source })
}

fn table(path: &Path) -> Result<(Vec<String>, Vec<Vec<String>>), ScenarioError> {
    let no = |source| ScenarioError::Csv { path: path.to_owned(), source };
    let bytes = read(path)?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let columns: Vec<String> = reader.headers().map_err(no)?.iter().map(str::to_owned).collect();
    let rows: Result<Vec<Vec<String>>, csv::Error> =
        reader.records().map(|row| Ok(row?.iter().map(str::to_owned).collect())).collect();
    let rows = rows.map_err(no)?;
    if rows.is_empty() {
        return Err(ScenarioError::Wrong(format!("`{}` has no row below its header", path.display())));
    }
    Ok((columns, rows))
}

fn raws(sent: Vec<Sent>, beside: &Path) -> Result<Vec<Raw>, ScenarioError> {
    let each = sent.into_iter().map(|one| {
        let no = |why: &str| Err(ScenarioError::Request { name: one.name.clone(), why: why.to_owned() });
        let body = match (&one.body, &one.body_file) {
            (Some(_), Some(_)) => return no("either `body` or `body_file`"),
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(file)) => read(&beside.join(file))?,
            (None, None) => Vec::new(),
        };
        if one.websocket && (one.method.is_some() || !one.check.status.is_empty()) {
            return no("a message of a session has no method and no status; its `body` is the message");
        }
        let method = one.method.clone().unwrap_or_else(|| if body.is_empty() { "GET" } else { "POST" }.to_owned());
        Ok(Raw {
            name: one.name,
            weight: one.weight,
            method,
            path: one.path,
            headers: one.headers.into_iter().collect(),
            body,
            is_template: true,
            fresh: one.fresh_connection,
            websocket: one.websocket,
            check: one.check,
        })
    });
    each.collect()
}

/// Reads the texts of a request, and looks whether every value that a row gives may stand where it goes.
fn request(raw: Raw, kind: usize, columns: &[String], rows: &[Vec<String>]) -> Result<Request, ScenarioError> {
    let no = |why: String| ScenarioError::Request { name: raw.name.clone(), why };
    let template = |text: &str| -> Result<Template, ScenarioError> {
        if raw.is_template {
            Template::parse(text, columns).map_err(|error: TemplateError| no(error.to_string()))
        } else {
            Ok(Template::fixed(text))
        }
    };
    let fits = |template: &Template, what: &str, may: &dyn Fn(u8) -> bool| -> Result<(), ScenarioError> {
        for column in template.columns() {
            let bad = |row: &Vec<String>| row.get(column).is_some_and(|value| !value.bytes().all(may));
            if let Some(row) = rows.iter().position(bad) {
                let name = columns.get(column).map_or("", String::as_str);
                return Err(no(format!(
                    "`{name}` in row {} of the data has a character that {what} can not hold",
                    row + 1
                )));
            }
        }
        Ok(())
    };
    let is_visible = |byte: u8| (0x21..0x7f).contains(&byte);
    let is_header = |byte: u8| byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
    if !raw.path.starts_with('/') || !raw.path.replace("{{ ", "{{").replace(" }}", "}}").bytes().all(is_visible) {
        return Err(no(format!("the path `{}` is to begin with `/`, without spaces; write others as %20", raw.path)));
    }
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    if !is_token(&raw.method) {
        return Err(no(format!("`{}` is no method", raw.method)));
    }
    raw.check.validate().map_err(|error: CheckError| no(error.to_string()))?;
    let path = template(&raw.path)?;
    fits(&path, "a path", &is_visible)?;
    let mut headers = Vec::new();
    for (name, value) in &raw.headers {
        if !is_token(name) || !value.bytes().all(is_header) {
            return Err(no(format!("the header `{name}` can not be sent")));
        }
        if ["content-length", "transfer-encoding", "connection", "upgrade"]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
        {
            return Err(no(format!("the header `{name}` follows from the request; leave it out")));
        }
        let value = template(value)?;
        fits(&value, "a header", &is_header)?;
        headers.push((name.to_ascii_lowercase(), value));
    }
    let body = match (raw.is_template, std::str::from_utf8(&raw.body)) {
        (true, Ok(text)) => template(text)?,
        // Bytes that are no text have no places.
        _ => Template::fixed(raw.body.clone()),
    };
    Ok(Request {
        kind,
        weight: raw.weight,
        method: raw.method,
        path,
        headers,
        body,
        check: raw.check,
        fresh: raw.fresh,
        websocket: raw.websocket,
    })
}

fn arrivals(stretches: &[Stretch], spacing: Spacing, speed: f64, beside: &Path) -> Result<Arrivals, ScenarioError> {
    let wrong = |why: String| Err(ScenarioError::Wrong(format!("`[[arrivals]]`: {why}")));
    if let [
        Stretch { recorded: Some(file), rate: None, from: None, to: None, steps: None, seconds: None, closed: false },
    ] = stretches
    {
        return recorded(&beside.join(file), speed);
    }
    if let [
        Stretch { closed: true, seconds: Some(seconds), rate: None, from: None, to: None, steps: None, recorded: None },
    ] = stretches
    {
        if !(*seconds > 0.0 && *seconds <= MOST_SECONDS) {
            return wrong("`seconds` is above 0, and at most a day".into());
        }
        return Ok(Arrivals::Closed { seconds: *seconds });
    }
    let mut segments = Vec::new();
    for stretch in stretches {
        if stretch.closed || stretch.recorded.is_some() {
            return wrong("`closed = true` with `seconds`, and `recorded`, stand alone".into());
        }
        let Some(seconds) = stretch.seconds.filter(|s| *s > 0.0 && *s <= MOST_SECONDS) else {
            return wrong("`seconds` is above 0, and at most a day".into());
        };
        let (from, to, steps) = match (stretch.rate, stretch.from, stretch.to, stretch.steps) {
            (Some(rate), None, None, None) => (rate, rate, 1),
            (None, Some(from), Some(to), None) => (from, to, 0),
            (None, Some(from), Some(to), Some(steps)) if (2..=MOST_STEPS).contains(&steps) => (from, to, steps),
            (None, Some(_), Some(_), Some(_)) => return wrong(format!("`steps` is 2 to {MOST_STEPS}")),
            _ => return wrong("`rate`, or `from` and `to`, or these and `steps`".into()),
        };
        if [from, to].iter().any(|rate| !(0.0..=MOST_RATE).contains(rate)) || from + to <= 0.0 {
            return wrong(format!("a rate is 0 to {MOST_RATE} a second, and not 0 all the time"));
        }
        if steps == 0 {
            segments.push(Segment { from, to, seconds });
        } else {
            for step in 0..steps {
                let part = if steps == 1 { 0.0 } else { f64::from(step) / f64::from(steps - 1) };
                let rate = (to - from).mul_add(part, from);
                segments.push(Segment { from: rate, to: rate, seconds: seconds / f64::from(steps) });
            }
        }
    }
    Ok(Arrivals::Rates { segments, spacing })
}

/// Times in milliseconds, a line each.
fn recorded(path: &Path, speed: f64) -> Result<Arrivals, ScenarioError> {
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut times: Vec<u64> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let no = |why: &str| ScenarioError::Traffic {
            path: path.to_owned(),
            place: format!("line {}", number + 1),
            why: why.to_owned(),
        };
        let ms: f64 = line.trim().parse().map_err(|_| no("not a time in milliseconds"))?;
        let time = traffic::scaled(ms, speed).ok_or_else(|| no("a time is 0 to a day"))?;
        if times.last().is_some_and(|before| *before > time) {
            return Err(no("earlier than the line before"));
        }
        times.push(time);
    }
    if times.is_empty() {
        return Err(ScenarioError::Wrong(format!("`{}` has no time", path.display())));
    }
    Ok(Arrivals::Recorded(times))
}

#[cfg(test)]
mod tests;
