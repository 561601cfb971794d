use super::{Analysis, Margins, Slower};

fn analysis(margins: Margins) -> Analysis {
    Analysis {
        steps: vec![5, 50],
        step_s: 60,
        keep_percent: 5,
        undecided_s: 3_600,
        silence_s: 30,
        tick_ms: 1_000,
        identity: Vec::new(),
        cohort: None,
        margins,
        readings: None,
        reports_hold: Some(3),
    }
}

#[test]
fn a_new_version_does_not_loosen_what_it_is_put_to() {
    let strict = analysis(Margins::default());
    let slower = Slower { p50_percent: None, p90_percent: Some(100), p99_percent: Some(1), p999_percent: None };
    let loose = analysis(Margins {
        error_ratio_percent: 900,
        error_added_ppm: 1,
        promote_ratio_percent: 1_000,
        promote_added_ppm: 2,
        slower,
        false_rollback_ppm: 1,
    });
    let loose = Analysis { step_s: 1, undecided_s: 86_400, steps: vec![90], reports_hold: None, ..loose };
    let bound = loose.no_looser_than(&strict);
    assert_eq!(bound.steps, [90], "the steps are its own");
    assert_eq!((bound.step_s, bound.undecided_s), (60, 3_600));
    assert_eq!(bound.reports_hold, Some(3), "a change can not take away that reports hold it");
    assert_eq!((bound.margins.error_ratio_percent, bound.margins.error_added_ppm), (125, 1));
    assert_eq!((bound.margins.promote_ratio_percent, bound.margins.promote_added_ppm), (200, 2));
    assert_eq!(bound.margins.false_rollback_ppm, 10_000);
    let quantiles = bound.margins.slower;
    assert_eq!((quantiles.p50_percent, quantiles.p90_percent), (Some(5), Some(5)));
    assert_eq!((quantiles.p99_percent, quantiles.p999_percent), (Some(1), Some(25)));
    assert_eq!(strict.no_looser_than(&strict), strict);
}
