//! What the demo prints: numbered steps, what is done, what was seen, how long it took.
//!
//! Plain lines, the same on a terminal and in a file. It decides nothing.

use std::{
    fmt::Display,
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    fault::{Fault, Kind},
    verbs::line,
};

use super::stage::Stage;

/// How many lines of each process's output are shown when a step fails.
const LAST_LINES: usize = 12;
/// Longer lines are cut.
const LINE_CHARACTERS: usize = 300;

/// Prints.
pub struct Teller<'a> {
    out: &'a mut dyn Write,
    interrupted: Arc<AtomicBool>,
    began: Instant,
    step: Option<(String, Instant)>,
    took: Vec<(String, Duration)>,
    proved: Vec<String>,
}

/// Somebody pressed Ctrl-C.
pub fn interrupted() -> Fault {
    Fault::new(Kind::Unavailable, "interrupted; everything that was started is being removed")
}

impl<'a> Teller<'a> {
    /// Begins to count the time.
    pub fn new(out: &'a mut dyn Write, interrupted: Arc<AtomicBool>) -> Self {
        Self { out, interrupted, began: Instant::now(), step: None, took: Vec::new(), proved: Vec::new() }
    }

    /// When the demo began.
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// Fails once somebody wants the demo to end.
    pub fn go_on(&self) -> Result<(), Fault> {
        if self.interrupted.load(Ordering::SeqCst) { Err(interrupted()) } else { Ok(()) }
    }

    /// A new step.
    pub fn step(&mut self, title: &str) -> Result<(), Fault> {
        self.close()?;
        self.step = Some((title.to_owned(), Instant::now()));
        self.print(format!("\n{title}"))
    }

    /// What is done now.
    pub fn does(&mut self, words: impl Display) -> Result<(), Fault> {
        let s = self.began.elapsed().as_secs();
        self.print(format!("  {s:>4} s  {words}"))
    }

    /// What was seen, and is as it should be.
    pub fn saw(&mut self, words: impl Display) -> Result<(), Fault> {
        self.print(format!("       ✓  {words}"))
    }

    /// What a program printed.
    pub fn quote(&mut self, text: &str) -> Result<(), Fault> {
        for words in text.lines().filter(|l| !l.trim().is_empty()) {
            self.print(format!("          | {}", cut(words)))?;
        }
        Ok(())
    }

    /// What this step has proved, for the end.
    pub fn proves(&mut self, words: impl Into<String>) {
        self.proved.push(words.into());
    }

    /// The step that is being played failed.
    pub fn failed(&mut self, fault: &Fault, outputs: &[PathBuf]) -> Result<(), Fault> {
        let step = self.step.take().map_or_else(|| "the demo".to_owned(), |(title, _)| title);
        if self.interrupted.load(Ordering::SeqCst) {
            return self.print(format!("\ninterrupted in: {step}"));
        }
        self.print(format!("\nNOT AS IT SHOULD BE: {step}\n{}", fault.message()))?;
        for path in outputs {
            let text = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            if lines.is_empty() {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.print(format!("the last lines of {name}:"))?;
            for words in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
                self.print(format!("  | {}", cut(words)))?;
            }
        }
        Ok(())
    }

    /// The end: what was proved, where the time went, how to look further.
    pub fn ended(&mut self, stage: &Stage, stays: bool) -> Result<(), Fault> {
        self.close()?;
        self.print("\nWhat was proved")?;
        for words in std::mem::take(&mut self.proved) {
            self.print(format!("  - {words}"))?;
        }
        self.print("\nWhere the time went")?;
        for (title, took) in std::mem::take(&mut self.took) {
            self.print(format!("  {:>6.1} s  {title}", took.as_secs_f64()))?;
        }
        self.print(format!("  {:>6.1} s  in all", self.began.elapsed().as_secs_f64()))?;
        self.print("\nHow to look further")?;
        for words in stage.how_to_look(stays) {
            self.print(format!("  {words}"))?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        if let Some((title, began)) = self.step.take() {
            let took = began.elapsed();
            self.print(format!("          took {:.1} s", took.as_secs_f64()))?;
            self.took.push((title, took));
        }
        Ok(())
    }

    fn print(&mut self, words: impl Display) -> Result<(), Fault> {
        use crate::fault::Because as _;
        line(self.out, words)?;
        self.out.flush().because(Kind::Unavailable, "the output is closed")
    }
}

fn cut(words: &str) -> String {
    let mut shown: String = words.chars().take(LINE_CHARACTERS).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    shown
}
