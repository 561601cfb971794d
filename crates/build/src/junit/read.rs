//! Reading the XML of a report, event by event, with a stack of what is open.

use std::collections::{BTreeMap, BTreeSet};

use model::CaseId;
use quick_xml::{
    Reader, XmlVersion,
    events::{BytesDecl, BytesRef, BytesStart, Event},
};

use super::{
    ATTRIBUTES, CASES, Case, DEPTH, JunitError, JunitProblem, OUTPUT_BYTES, Outcome, Report,
    error::plain,
    frame::{CaseFrame, Frame, SuiteFrame, Tally},
    values,
};

/// Stands for the name of a case where a suite failed outside its cases.
const WHOLE_SUITE: &str = "(the suite itself)";

/// Reads one file. Its cases are in their order there, and ids may be there more than once.
pub(super) fn read(bytes: &[u8]) -> Result<Report, JunitError> {
    let at_start = |problem| JunitError { line: 1, problem };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(at_start(JunitProblem::Encoding(" but UTF-16".to_owned())));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = lines(bytes.get(..error.valid_up_to()).unwrap_or_default()) + 1;
        JunitError { line, problem: JunitProblem::Encoding(String::new()) }
    })?;
    Reading::new(text).run()
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b == b'\n').count()
}

struct Reading<'t> {
    text: &'t str,
    reader: Reader<&'t [u8]>,
    stack: Vec<(String, Frame)>,
    /// The lines up to a byte, so that each is counted once.
    counted: (usize, usize),
    finished: bool,
    cases: Vec<Case>,
    report: Report,
}

impl<'t> Reading<'t> {
    fn new(text: &'t str) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader.config_mut().allow_dangling_amp = false;
        Self {
            text,
            reader,
            stack: Vec::new(),
            counted: (0, 0),
            finished: false,
            cases: Vec::new(),
            report: Report { cases: Vec::new(), contradictions: Vec::new(), not_requirements: Vec::new() },
        }
    }

    /// The line of a byte. Bytes are asked for in their order.
    fn line(&mut self, position: u64) -> usize {
        let to = usize::try_from(position).unwrap_or(usize::MAX).min(self.text.len());
        let (from, counted) = self.counted;
        if let Some(between) = self.text.as_bytes().get(from..to) {
            self.counted = (to, counted + lines(between));
        }
        self.counted.1 + 1
    }

    fn run(mut self) -> Result<Report, JunitError> {
        loop {
            let before = self.reader.buffer_position();
            let line = self.line(before);
            let event = match self.reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    let place = self.reader.error_position();
                    let line = self.line(place);
                    return Err(JunitError { line, problem: self.explain(&error) });
                }
            };
            match self.take(event, line) {
                Ok(true) => {}
                Ok(false) => return Ok(self.finish()),
                Err(problem) => return Err(JunitError { line, problem }),
            }
        }
    }

    /// Markup that the end of the text leaves open is a file that was cut off.
    fn explain(&self, error: &quick_xml::Error) -> JunitProblem {
        let at_end = usize::try_from(self.reader.buffer_position()).is_ok_and(|at| at >= self.text.len());
        match (self.stack.last(), error) {
            (Some((open, _)), quick_xml::Error::Syntax(_)) if at_end => JunitProblem::CutOff(plain(open)),
            _ => xml(error),
        }
    }

    /// Takes one event in. `false` at the end.
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<bool, JunitProblem> {
        match event {
            Event::Start(start) => self.open(&start, line)?,
            Event::End(_) => self.close()?,
            Event::Text(text) => self.characters(&text)?,
            Event::CData(text) => self.characters(&text)?,
            Event::GeneralRef(reference) => self.reference(&reference)?,
            Event::Decl(declaration) => self.check_encoding(&declaration)?,
            Event::DocType(_) => return Err(JunitProblem::Doctype),
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => {
                if let Some((open, _)) = self.stack.last() {
                    return Err(JunitProblem::CutOff(plain(open)));
                }
                return if self.finished { Ok(false) } else { Err(JunitProblem::Empty) };
            }
        }
        Ok(true)
    }

    /// Only UTF-8 is read; another declaration does no harm where all bytes are ASCII and it is a superset of that.
    fn check_encoding(&self, declaration: &BytesDecl<'_>) -> Result<(), JunitProblem> {
        let Some(declared) = declaration.encoding() else { return Ok(()) };
        let declared = declared.map_err(|e| JunitProblem::Xml(plain(&e.to_string())))?.to_ascii_lowercase();
        let superset = ["iso-8859-", "windows-125", "latin"].iter().any(|prefix| declared.starts_with(prefix));
        match declared.as_str() {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => Ok(()),
            _ if superset && self.text.is_ascii() => Ok(()),
            _ => Err(JunitProblem::Encoding(format!(" but `{}`", plain(&declared)))),
        }
    }

    fn open(&mut self, start: &BytesStart<'_>, line: usize) -> Result<(), JunitProblem> {
        let element = start.local_name().as_ref().to_owned();
        if self.finished {
            return Err(JunitProblem::Trailing);
        }
        if self.stack.len() >= DEPTH {
            return Err(JunitProblem::TooMany { what: "elements within each other", limit: DEPTH });
        }
        let attributes = attributes(start)?;
        let get = |name: &str| attributes.get(name).map(String::as_str).unwrap_or_default();
        let inside = self.stack.last_mut();
        let misplaced = |inside: &str| JunitProblem::Misplaced { element: plain(&element), inside: plain(inside) };
        let frame = match (element.as_str(), inside) {
            ("testsuites" | "testsuite", None | Some((_, Frame::Suite(_)))) => Frame::Suite(SuiteFrame {
                line,
                name: get("name").to_owned(),
                tests: values::count(get("tests")),
                failures: values::count(get("failures")),
                errors: values::count(get("errors")),
                skipped: values::count(get("skipped")),
                ..SuiteFrame::default()
            }),
            (_, None) => return Err(JunitProblem::Root(plain(&element))),
            ("testcase", Some((_, Frame::Suite(_)))) => {
                if self.cases.len() >= CASES {
                    return Err(JunitProblem::TooMany { what: "cases", limit: CASES });
                }
                let mut status = Outcome::Passed;
                for text in [get("status"), get("result")] {
                    status = status.max(values::status(text).ok_or_else(|| JunitProblem::Status(plain(text)))?);
                }
                Frame::Case(Box::new(CaseFrame {
                    class: attributes.get("classname").or_else(|| attributes.get("class")).cloned().unwrap_or_default(),
                    name: get("name").to_owned(),
                    status: Some(status),
                    time_ms: values::time_ms(get("time")),
                    ..CaseFrame::default()
                }))
            }
            ("failure" | "error", Some((_, Frame::Suite(suite)))) => {
                suite.take(Tally::whole_suite_failed(), true);
                let outcome = if element == "error" { Outcome::Error } else { Outcome::Failed };
                let id = values::case_id(&suite.name, WHOLE_SUITE).map_err(|_| JunitProblem::Unnamed)?;
                self.cases.push(Case { id, outcome, time_ms: None, requirements: BTreeSet::new() });
                Frame::Other
            }
            (name, Some((_, Frame::Case(case)))) => match name {
                "failure" => {
                    case.failed = true;
                    Frame::Other
                }
                "error" => {
                    case.broken = true;
                    Frame::Other
                }
                "skipped" | "disabled" | "ignored" => {
                    case.skipped = true;
                    Frame::Other
                }
                "flakyFailure" | "flakyError" => {
                    case.flaky = true;
                    Frame::Other
                }
                "rerunFailure" | "rerunError" => {
                    case.rerun = true;
                    Frame::Other
                }
                "properties" => Frame::Properties,
                "property" => property(get("name"), get("value")),
                "system-out" | "system-err" => Frame::Output(String::new()),
                "testcase" | "testsuite" | "testsuites" => return Err(misplaced("testcase")),
                _ => Frame::Other,
            },
            ("property", Some((_, Frame::Properties))) => property(get("name"), get("value")),
            // A case or suite inside something that is not read would be passed over without a word.
            ("testcase" | "testsuite" | "testsuites", Some((inside, _))) => return Err(misplaced(inside)),
            _ => Frame::Other,
        };
        self.stack.push((element, frame));
        Ok(())
    }

    fn close(&mut self) -> Result<(), JunitProblem> {
        let Some((_, frame)) = self.stack.pop() else { return Err(JunitProblem::Trailing) };
        match frame {
            Frame::Suite(suite) => {
                self.report.contradictions.extend(suite.contradictions());
                match self.stack.last_mut() {
                    Some((_, Frame::Suite(parent))) => parent.take(suite.all, false),
                    _ => self.finished = true,
                }
            }
            Frame::Case(case) => {
                let Some((_, Frame::Suite(suite))) = self.stack.last_mut() else { return Err(JunitProblem::Trailing) };
                let read = case.close(&suite.name)?;
                suite.take(Tally::of(read.case.outcome, read.retried), true);
                self.report.not_requirements.extend(read.not_requirements);
                self.cases.push(read.case);
            }
            Frame::Output(text) => {
                if let Some((_, Frame::Case(case))) = self.stack.last_mut() {
                    case.output.push_str(&text);
                    case.output.push('\n');
                }
            }
            Frame::Property { name, value } => {
                if let Some(case) =
                    self.stack.iter_mut().rev().find_map(|(_, f)| if let Frame::Case(c) = f { Some(c) } else { None })
                {
                    case.properties.push((name, value));
                }
            }
            Frame::Properties | Frame::Other => {}
        }
        Ok(())
    }

    fn characters(&mut self, text: &str) -> Result<(), JunitProblem> {
        match self.stack.last_mut() {
            None if text.trim().is_empty() => {}
            None if self.finished => return Err(JunitProblem::Trailing),
            None => return Err(JunitProblem::Xml("text in front of the first element".to_owned())),
            Some((_, Frame::Output(gathered) | Frame::Property { value: gathered, .. })) => {
                if gathered.len().saturating_add(text.len()) <= OUTPUT_BYTES {
                    gathered.push_str(text);
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// XML's own five entities and characters by number; any other could only come from a document type.
    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), JunitProblem> {
        if reference.is_char_ref() {
            let c = reference.resolve_char_ref().map_err(|e| xml(&e))?.unwrap_or('\u{fffd}');
            return self.characters(c.encode_utf8(&mut [0; 4]));
        }
        match quick_xml::escape::resolve_xml_entity(reference) {
            Some(text) => self.characters(text),
            None => Err(JunitProblem::Entity(plain(reference))),
        }
    }

    fn finish(mut self) -> Report {
        self.report.cases = self.cases;
        self.report
    }
}

fn property(name: &str, value: &str) -> Frame {
    Frame::Property { name: name.to_owned(), value: value.to_owned() }
}

fn xml(error: &quick_xml::Error) -> JunitProblem {
    JunitProblem::Xml(plain(&error.to_string()))
}

/// The attributes that are read; the others (messages of failures, mostly) are only checked for their form.
const READ: &[&str] =
    &["name", "classname", "class", "time", "tests", "failures", "errors", "skipped", "status", "result", "value"];

fn attributes(start: &BytesStart<'_>) -> Result<BTreeMap<&'static str, String>, JunitProblem> {
    let mut found = BTreeMap::new();
    for (number, attribute) in start.attributes().enumerate() {
        if number >= ATTRIBUTES {
            return Err(JunitProblem::TooMany { what: "attributes of one element", limit: ATTRIBUTES });
        }
        let attribute = attribute.map_err(|e| JunitProblem::Xml(plain(&e.to_string())))?;
        let name = attribute.key.local_name();
        if let Some(known) = READ.iter().find(|known| **known == name.as_ref()) {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| xml(&e))?;
            found.insert(*known, value.into_owned());
        }
    }
    Ok(found)
}

/// Gives cases of one id different ids, whatever order they were written in.
pub(super) fn told_apart(mut cases: Vec<Case>) -> Vec<Case> {
    cases.sort_by(|a, b| {
        (&a.id, a.outcome, &a.requirements, a.time_ms).cmp(&(&b.id, b.outcome, &b.requirements, b.time_ms))
    });
    let mut taken: BTreeSet<CaseId> = cases.iter().map(|c| c.id.clone()).collect();
    let mut last: Option<CaseId> = None;
    let mut number = 1_u64;
    for case in &mut cases {
        if last.as_ref() != Some(&case.id) {
            last = Some(case.id.clone());
            number = 1;
            continue;
        }
        loop {
            number += 1;
            // An id has at most 415 bytes here, so the number always fits; if it did not, the id would stay.
            let Ok(id) = format!("{} #{number}", case.id).parse::<CaseId>() else { break };
            if taken.insert(id.clone()) {
                case.id = id;
                break;
            }
        }
    }
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    cases
}
