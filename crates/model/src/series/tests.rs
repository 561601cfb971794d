//! One meaning has one text, and what is no series is refused with what would be one.

use proptest::prelude::*;

use super::*;

fn series(text: &str) -> Series {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_series_has_one_text() {
    assert_eq!(series("orders_total").to_string(), "orders_total");
    let one = series(r#"orders_total{side="buy",currency="EUR"}"#);
    assert_eq!(one.to_string(), r#"orders_total{currency="EUR",side="buy"}"#);
    assert_eq!(one, series(r#"orders_total{currency="EUR",side="buy",}"#));
    assert_eq!(series("a:b_total{}"), series("a:b_total"));
    let odd = series(r#"odd{path="C:\\x\"\n"}"#);
    assert_eq!(odd.labels().next(), Some(("path", "C:\\x\"\n")));
    assert_eq!(series(&odd.to_string()), odd);
    assert_ne!(one.digest(), series("orders_total").digest());
}

#[test]
fn what_is_no_series_is_refused() {
    for text in [
        "",
        " a",
        "a b",
        "1a",
        "a{",
        "a}",
        "a{b}",
        "a{b=c}",
        "a{b=\"c}",
        "a{b=\"c\" }",
        "a{,}",
        "a{b=\"c\"}x",
        "a{b=\"\\q\"}",
        "a{b=\"c\"\"d\"}",
        "é",
        "a{b=\"\n\"}",
    ] {
        assert_eq!(text.parse::<Series>(), Err(SeriesError::Form(text.to_owned())));
    }
    assert_eq!("x".repeat(257).parse::<Series>(), Err(SeriesError::Long));
    let twice = "a{b=\"1\",b=\"2\"}".parse::<Series>().unwrap_err();
    assert_eq!(twice.to_string(), "`a{b=\"1\",b=\"2\"}` has the label `b` twice");
    let many: String = (0..9).map(|n| format!("l{n}=\"\",")).collect();
    assert!(matches!(format!("a{{{many}}}").parse::<Series>(), Err(SeriesError::Labels(_))));
    assert_eq!(
        "a{".parse::<Series>().unwrap_err().to_string(),
        "`a{` names no series: write a name and labels, as in `payments_total{result=\"rejected\"}`"
    );
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_the_same(text in r#"[a-z_:]{1,3}\{?([a-z]{1,2}="[^"]{0,4}",?){0,3}\}?"#) {
        if let Ok(read) = text.parse::<Series>() {
            let again = read.to_string().parse::<Series>();
            prop_assert_eq!(again, Ok(read));
        }
    }
}
