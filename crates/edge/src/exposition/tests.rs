//! What components expose, and what they expose when they are broken.

use super::*;

fn of(text: &str, series: &str) -> SeriesAnswer {
    read(text.as_bytes(), false, &[series.parse().unwrap()]).unwrap().remove(0)
}

fn samples(values: &[f64]) -> SeriesAnswer {
    SeriesAnswer::Samples(values.to_vec())
}

fn unreadable(why: &str) -> SeriesAnswer {
    SeriesAnswer::Unreadable(why.to_owned())
}

/// After the examples of the OpenMetrics specification.
const TEXT: &str = "# TYPE payments counter\n# HELP payments Of \"all\" {kinds}\n\
    payments_total{result=\"rejected\",currency=\"EUR\"} 3 1520879607.789\n\
    payments_total{currency=\"USD\",result=\"rejected\"} 4.0 # {trace_id=\"a b\"} 0.67 1520879607\n\
    payments_total{result=\"accepted, \\\"all\\\" } 9\",currency=\"EUR\"} 1e2\n\
    payments_created{result=\"rejected\"} NaN\n\
    imbalance_cents 0\nfoo{bar=\"\n\
    # EOF\n";

#[test]
fn samples_are_found_by_name_and_labels() {
    assert_eq!(of(TEXT, "payments_total{result=\"rejected\"}"), samples(&[3.0, 4.0]));
    assert_eq!(of(TEXT, "payments_total"), samples(&[3.0, 4.0, 100.0]));
    assert_eq!(of(TEXT, "imbalance_cents"), samples(&[0.0]));
    assert_eq!(of("a -0.5\r\na\t7\r\n", "a"), samples(&[-0.5, 7.0]));
    assert!(read(TEXT.as_bytes(), true, &[]).is_ok());
}

#[test]
fn what_is_missing_or_no_number_is_unreadable() {
    assert_eq!(of(TEXT, "payments"), unreadable("is not there"));
    assert_eq!(of(TEXT, "payments_total{result=\"lost\"}"), unreadable("is not there"));
    assert_eq!(of(TEXT, "payments_created"), unreadable("is NaN"));
    for value in ["+Inf", "-Inf"] {
        assert!(matches!(of(&format!("a {value}\n"), "a"), SeriesAnswer::Unreadable(_)), "{value}");
    }
    for line in ["a", "a ", "a{", "a{b=\"c\" 1", "a{b=\"c\"}1", "a x", "a{b=c} 1", "a0 1\na 1 \na{} ,"] {
        let said = of(&format!("{line}\n"), "a");
        assert_eq!(said, unreadable("has a line that can not be read"), "{line}");
    }
    assert_eq!(of("a 1\na{\n", "a"), unreadable("has a line that can not be read"), "also after a good one");
    assert_eq!(of(&"a 1\n".repeat(1_025), "a"), unreadable("has more than 1024 samples"));
    assert_eq!(read(b"a \xff", false, &[]).unwrap_err(), "the metrics are not UTF-8");
    let cut = TEXT.strip_suffix("# EOF\n").unwrap();
    assert_eq!(read(cut.as_bytes(), true, &[]).unwrap_err(), "the metrics do not end with `# EOF`");
    assert_eq!(read(b"", true, &[]).unwrap_err(), "the metrics do not end with `# EOF`");
}

#[test]
fn whatever_is_exposed_is_read_to_its_end() {
    // Each text that begins or ends anywhere in a good one, and one with each byte another.
    let series: Vec<Series> = ["payments_total", "imbalance_cents", "foo"].map(|s| s.parse().unwrap()).to_vec();
    for at in 0..TEXT.len() {
        let mut changed = TEXT.as_bytes().to_vec();
        changed[at] ^= 0x15;
        for text in [&TEXT.as_bytes()[at..], &TEXT.as_bytes()[..at], &changed] {
            if let Ok(read) = read(text, false, &series) {
                let is_finite = |s: &SeriesAnswer| match s {
                    SeriesAnswer::Samples(samples) => !samples.is_empty() && samples.iter().all(|v| v.is_finite()),
                    SeriesAnswer::Unreadable(why) => !why.is_empty(),
                };
                assert!(read.len() == 3 && read.iter().all(is_finite));
            }
        }
    }
}
