//! The samples of some series in what a component exposes: the text format of OpenMetrics 1.0 or of Prometheus 0.0.4.
//!
//! It refuses to know what a sample means. Lines of other metrics are not looked at beyond their name, so that what nobody
//! asks for may be as it likes; a line of a metric that is asked for must be whole, or nothing is said of the metric.

use model::{
    Series,
    route::{MAX_READ_SAMPLES, SeriesAnswer},
    series::{Labels, sample_labels, sample_name},
};

/// The last line of OpenMetrics, without which a text is cut off.
const END: &str = "# EOF";

/// The samples of each series, in their order. `is_open_metrics` is whether the text says to be OpenMetrics.
///
/// # Errors
/// Words that say why the whole text can not be used.
pub(crate) fn read(text: &[u8], is_open_metrics: bool, series: &[Series]) -> Result<Vec<SeriesAnswer>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the metrics are not UTF-8".to_owned())?;
    if is_open_metrics && text.lines().next_back() != Some(END) {
        return Err(format!("the metrics do not end with `{END}`"));
    }
    let mut found: Vec<Result<Vec<f64>, String>> = vec![Ok(Vec::new()); series.len()];
    for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((name, rest)) = sample_name(line) else { continue };
        if series.iter().all(|s| s.name() != name) {
            continue;
        }
        let sample = sample(rest);
        for (asked, found) in series.iter().zip(&mut found).filter(|(asked, _)| asked.name() == name) {
            match &sample {
                Ok((labels, value)) if has(labels, asked) => add(found, value),
                Ok(_) => {}
                Err(why) => *found = Err((*why).to_owned()),
            }
        }
    }
    let answer = |found| match found {
        Ok(samples) if Vec::is_empty(&samples) => SeriesAnswer::Unreadable("is not there".to_owned()),
        Ok(samples) => SeriesAnswer::Samples(samples),
        Err(why) => SeriesAnswer::Unreadable(why),
    };
    Ok(found.into_iter().map(answer).collect())
}

/// Labels and value of a sample after its name. A time and an exemplar may follow.
fn sample(rest: &str) -> Result<(Labels, f64), &'static str> {
    const BROKEN: &str = "has a line that can not be read";
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(rest) => sample_labels(rest).ok_or(BROKEN)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next().filter(|_| rest.starts_with([' ', '\t'])).ok_or(BROKEN)?;
    Ok((labels, value.parse().map_err(|_| BROKEN)?))
}

fn has(labels: &Labels, asked: &Series) -> bool {
    asked.labels().all(|(name, value)| labels.iter().any(|(n, v)| n == name && v == value))
}

fn add(found: &mut Result<Vec<f64>, String>, value: &f64) {
    let Ok(samples) = found else { return };
    if !value.is_finite() {
        *found = Err(format!("is {value}"));
    } else if samples.len() >= MAX_READ_SAMPLES {
        *found = Err(format!("has more than {MAX_READ_SAMPLES} samples"));
    } else {
        samples.push(*value);
    }
}

#[cfg(test)]
mod tests;
