//! Line plots as drawings in the page: small enough to be read on a telephone without turning it.
//!
//! It refuses to know what is plotted. Colours come from the page's style, so that they follow light, dark and paper.

use super::html::Markup;

/// The drawing, in points; the page scales it to its width.
const WIDE: f64 = 400.0;
const HIGH: f64 = 230.0;
/// Room for the numbers of the left axis, the labels at the top and at the bottom.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 34.0;
/// Points of a line: as many as a screen can tell apart.
const MOST_POINTS: usize = 200;

/// A line.
pub struct Line {
    /// Its style.
    pub class: &'static str,
    /// Places, from left to right.
    pub points: Vec<(f64, f64)>,
    /// Whether it stays where it is until it changes, as a share does.
    pub is_stepped: bool,
}

/// A line across, at which something is decided.
pub struct Rule {
    pub at: f64,
    pub class: &'static str,
    pub label: String,
}

/// How the left axis goes.
#[derive(Clone, Copy)]
pub enum Scale {
    /// By factors of ten, from a least to a most.
    Factors(f64, f64),
    /// From nothing to a most.
    Even(f64),
}

/// A plot.
pub struct Plot<'a> {
    /// What it shows, for whoever can not see it.
    pub title: String,
    pub lines: Vec<Line>,
    pub rules: Vec<Rule>,
    pub scale: Scale,
    /// What a place on the left axis is called.
    pub label: &'a dyn Fn(f64) -> String,
    /// Where the bottom axis ends, and what a place on it is called.
    pub until: f64,
    pub bottom: &'a dyn Fn(f64) -> String,
    /// Places on the bottom axis at which something was done, with a word.
    pub marks: &'a [(f64, String)],
}

impl Plot<'_> {
    fn x(&self, at: f64) -> f64 {
        LEFT + (WIDE - LEFT - RIGHT) * (at / self.until.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
    }

    fn y(&self, at: f64) -> f64 {
        let part = match self.scale {
            Scale::Factors(least, most) => (at.max(least).ln() - least.ln()) / (most.ln() - least.ln()),
            Scale::Even(most) => at / most.max(f64::MIN_POSITIVE),
        };
        HIGH - BOTTOM - (HIGH - BOTTOM - TOP) * part.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Factors(least, most) => {
                let (first, last) = (least.log10().ceil(), most.log10().floor());
                // At most six numbers, at even powers of ten.
                let every = ((last - first) / 5.0).ceil().max(1.0);
                let mut ticks = Vec::new();
                let mut power = first;
                while power <= last {
                    ticks.push(10.0_f64.powf(power));
                    power += every;
                }
                ticks
            }
            Scale::Even(most) => [0.0, 0.25, 0.5, 0.75, 1.0].iter().map(|part| part * most).collect(),
        }
    }

    /// Draws it.
    pub fn draw(&self, to: &mut Markup) {
        to.raw("<svg viewBox=\"0 0 400 230\" role=\"img\" aria-label=\"").text(&self.title).raw("\">");
        for tick in self.ticks() {
            let y = self.y(tick);
            to.raw("<line class=\"grid\" x1=\"").place(LEFT).raw("\" x2=\"").place(WIDE - RIGHT);
            to.raw("\" y1=\"").place(y).raw("\" y2=\"").place(y).raw("\"/>");
            to.raw("<text class=\"axis end\" x=\"").place(LEFT - 6.0).raw("\" y=\"").place(y + 4.0).raw("\">");
            to.text((self.label)(tick)).raw("</text>");
        }
        for (at, label) in self.marks {
            let x = self.x(*at);
            to.raw("<line class=\"mark\" x1=\"").place(x).raw("\" x2=\"").place(x);
            to.raw("\" y1=\"").place(TOP - 4.0).raw("\" y2=\"").place(HIGH - BOTTOM).raw("\"/>");
            to.raw("<text class=\"axis\" x=\"").place((x + 3.0).min(WIDE - 34.0)).raw("\" y=\"").place(TOP - 7.0);
            to.raw("\">").text(label).raw("</text>");
        }
        for part in [0.0, 0.5, 1.0] {
            let at = self.until * part;
            let side = if part == 0.0 {
                ""
            } else if part < 1.0 {
                " middle"
            } else {
                " end"
            };
            to.raw("<text class=\"axis").raw(side).raw("\" x=\"").place(self.x(at)).raw("\" y=\"").place(HIGH - 12.0);
            to.raw("\">").text((self.bottom)(at)).raw("</text>");
        }
        for rule in &self.rules {
            let y = self.y(rule.at);
            to.raw("<line class=\"rule ")
                .raw(rule.class)
                .raw("\" x1=\"")
                .place(LEFT)
                .raw("\" x2=\"")
                .place(WIDE - RIGHT);
            to.raw("\" y1=\"").place(y).raw("\" y2=\"").place(y).raw("\"/>");
            to.raw("<text class=\"rule-label ").raw(rule.class).raw("\" x=\"").place(LEFT + 4.0).raw("\" y=\"");
            to.place(y - 5.0).raw("\">").text(&rule.label).raw("</text>");
        }
        for line in &self.lines {
            self.line(line, to);
        }
        to.raw("</svg>");
    }

    fn line(&self, line: &Line, to: &mut Markup) {
        let points = thinned(&line.points);
        if let [(x, y)] = points.as_slice() {
            to.raw("<circle class=\"dot ").raw(line.class).raw("\" cx=\"").place(self.x(*x)).raw("\" cy=\"");
            to.place(self.y(*y)).raw("\" r=\"4\"/>");
            return;
        }
        if points.is_empty() {
            return;
        }
        to.raw("<polyline class=\"line ").raw(line.class).raw("\" points=\"");
        let mut before = None;
        for (x, y) in points {
            let (x, y) = (self.x(x), self.y(y));
            if let Some(before) = before.filter(|_| line.is_stepped) {
                to.place(x).raw(",").place(before).raw(" ");
            }
            to.place(x).raw(",").place(y).raw(" ");
            before = Some(y);
        }
        to.raw("\"/>");
    }
}

/// The highest of each stretch, so that no peak is lost, and the last.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(MOST_POINTS).max(1);
    let highest = |stretch: &[(f64, f64)]| stretch.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let mut thin: Vec<(f64, f64)> = points.chunks(every).filter_map(highest).collect();
    if every > 1 {
        thin.extend(points.last().copied());
    }
    thin
}
