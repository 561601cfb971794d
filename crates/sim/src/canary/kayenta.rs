//! Kayenta's judge (MannWhitneyClassifier.scala, NetflixACAJudge.scala): a Mann-Whitney confidence interval of the difference
//! between two series, a point a minute, found with the root finder that it uses (BrentSolver.java of Commons Math).

use super::stream::Stream;

/// The quantile of the normal distribution for Kayenta's confidence of 0.98, two-sided.
const Z: f64 = 2.326_347_874_040_840_8;
/// What is called the same: this part of the estimated difference.
const TOLERANCE: f64 = 0.25;
/// The root finder's absolute accuracy, which is coarse for ratios of errors; it is Kayenta's.
const ACCURACY: f64 = 1e-4;
/// The root finder's iterations.
const ITERATIONS: u32 = 1000;
/// A point a minute.
const POINT_S: usize = 60;

/// Judged every `every` minutes from `first` on: after how many seconds the trial is judged to be high.
#[must_use]
pub fn judged(stream: &Stream, first: usize, every: usize) -> Option<usize> {
    let points = stream.rows.chunks(stream.slots * POINT_S).map(|rows| {
        let sum = rows.iter().fold(((0, 0), (0, 0)), |(trial, baseline), row| {
            let add = |sum: (u32, u32), failed, requests| (sum.0 + failed, sum.1 + requests);
            let trial = add(trial, row.trial.failed, row.trial.requests);
            (trial, add(baseline, row.baseline.failed, row.baseline.requests))
        });
        (ratio(sum.0), ratio(sum.1))
    });
    let points: Vec<_> = points.collect();
    (first..=points.len()).step_by(every).find_map(|minutes| {
        let seen = points.get(..minutes)?;
        let trial: Vec<f64> = seen.iter().filter_map(|point| point.0).collect();
        let baseline: Vec<f64> = seen.iter().filter_map(|point| point.1).collect();
        is_high(&trial, &baseline).then_some(minutes * POINT_S)
    })
}

fn ratio((failed, requests): (u32, u32)) -> Option<f64> {
    (requests > 0).then(|| f64::from(failed) / f64::from(requests))
}

/// Whether the first series is judged higher than the second.
#[must_use]
pub fn is_high(trial: &[f64], baseline: &[f64]) -> bool {
    let (Some(x), Some(y)) = (Spread::of(trial), Spread::of(baseline)) else { return false };
    if x.least == x.most && y.least == y.most && x.least == y.least {
        return false;
    }
    let mut sorted = (trial.to_vec(), baseline.to_vec());
    sorted.0.sort_by(f64::total_cmp);
    sorted.1.sort_by(f64::total_cmp);
    if sorted.0 == sorted.1 {
        return false;
    }
    let (from, to) = (x.least - y.most, x.most - y.least);
    let statistic = |shift: f64, z: f64| rank_statistic(trial, baseline, shift, z);
    let low = match (statistic(from, Z), statistic(to, Z)) {
        (at, _) if at <= 0.0 => from,
        (_, at) if at >= 0.0 => to,
        (at_from, at_to) => brent((from, at_from), (to, at_to), |shift| statistic(shift, Z)),
    };
    let estimate = brent((from, statistic(from, 0.0)), (to, statistic(to, 0.0)), |shift| statistic(shift, 0.0));
    let larger = x.mean == 0.0 || y.mean == 0.0 || x.mean / y.mean >= 1.0;
    !low.is_nan() && !estimate.is_nan() && low > TOLERANCE * estimate.abs() && larger
}

struct Spread {
    least: f64,
    most: f64,
    mean: f64,
}

impl Spread {
    #[expect(clippy::cast_precision_loss, reason = "at most sixty points")]
    fn of(series: &[f64]) -> Option<Self> {
        let least = series.iter().copied().reduce(f64::min)?;
        let most = series.iter().copied().reduce(f64::max)?;
        Some(Self { least, most, mean: series.iter().sum::<f64>() / series.len() as f64 })
    }
}

/// The Mann-Whitney statistic of the first series shifted down, with ties and continuity corrected, less `z`.
#[expect(clippy::cast_precision_loss, reason = "at most sixty points")]
fn rank_statistic(trial: &[f64], baseline: &[f64], shift: f64, z: f64) -> f64 {
    let mut all: Vec<(f64, bool)> =
        trial.iter().map(|x| (x - shift, true)).chain(baseline.iter().map(|y| (*y, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut ties, mut before) = (0.0, 0.0, 0.0);
    for equal in all.chunk_by(|a, b| a.0 == b.0) {
        let size = equal.len() as f64;
        ranks += equal.iter().filter(|point| point.1).count() as f64 * (before + (size + 1.0) / 2.0);
        ties += size * size * size - size;
        before += size;
    }
    let (nx, ny) = (trial.len() as f64, baseline.len() as f64);
    let n = nx + ny;
    let above = ranks - nx * (nx + 1.0) / 2.0 - nx * ny / 2.0;
    let correction = if above == 0.0 { 0.0 } else { 0.5 * above.signum() };
    let deviation = ((nx * ny / 12.0) * ((n + 1.0) - ties / (n * (n - 1.0)))).sqrt();
    if deviation == 0.0 { f64::NAN } else { (above - correction) / deviation - z }
}

/// The root finder, step by step as its source has it.
fn brent(from: (f64, f64), to: (f64, f64), f: impl Fn(f64) -> f64) -> f64 {
    let ((mut a, mut fa), (mut b, mut fb)) = (from, to);
    let (mut c, mut fc) = (a, fa);
    if fa == 0.0 {
        return a;
    }
    for _ in 0..ITERATIONS {
        if fb == 0.0 {
            return b;
        }
        let before = b - a;
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let tolerance = 2.0 * f64::EPSILON * b.abs() + ACCURACY / 2.0;
        let mut step = (c - b) / 2.0;
        if step.abs() <= tolerance || fb == 0.0 {
            return b;
        }
        if before.abs() >= tolerance && fa.abs() > fb.abs() {
            let cb = c - b;
            let (mut p, mut q) = if a == c {
                let t1 = fb / fa;
                (cb * t1, 1.0 - t1)
            } else {
                let (q, t1, t2) = (fa / fc, fb / fc, fb / fa);
                (t2 * (cb * q * (q - t1) - (b - a) * (t1 - 1.0)), (q - 1.0) * (t1 - 1.0) * (t2 - 1.0))
            };
            if p > 0.0 {
                q = -q;
            } else {
                p = -p;
            }
            if p < 0.75 * cb * q - (tolerance * q).abs() / 2.0 && p < (before * q / 2.0).abs() {
                step = p / q;
            }
        }
        if step.abs() < tolerance {
            step = if step > 0.0 { tolerance } else { -tolerance };
        }
        (a, fa) = (b, fb);
        b += step;
        fb = f(b);
        if (fb > 0.0 && fc > 0.0) || (fb < 0.0 && fc < 0.0) {
            (c, fc) = (a, fa);
        }
    }
    b
}
