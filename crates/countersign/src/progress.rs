//! Progress of long work: one line that changes on a terminal, plain lines elsewhere.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the line on a terminal moves, so that one sees that it lives.
const BEAT: Duration = Duration::from_millis(120);

/// What is being waited for, shown on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    last: String,
}

impl Progress {
    /// Begins.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(BEAT);
            bar
        });
        Self { bar, last: String::new() }
    }

    /// Says what is going on, if it is news.
    pub fn say(&mut self, words: &str) {
        if words == self.last {
            return;
        }
        words.clone_into(&mut self.last);
        match &self.bar {
            Some(bar) => bar.set_message(words.to_owned()),
            None => tracing::info!("{words}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How far something long has come, by numbers: on a terminal a bar, elsewhere nothing.
pub struct Count {
    bar: Option<ProgressBar>,
}

impl Count {
    /// Begins, with this word for what is done; shows only if it is `wanted`.
    pub fn new(word: &'static str, wanted: bool) -> Self {
        let bar = (wanted && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::no_length();
            let shown =
                format!("{{spinner}} {word} {{human_pos}} of {{human_len}}, {{per_sec}}, {{eta}} left {{wide_bar}}");
            if let Ok(style) = ProgressStyle::with_template(&shown) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(BEAT);
            bar
        });
        Self { bar }
    }

    /// There are so many.
    pub fn of(&self, length: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(length);
        }
    }

    /// So many are done.
    pub fn at(&self, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
