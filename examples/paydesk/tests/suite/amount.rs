use paydesk_money::{Amount, decimal};

fn cents(text: &str) -> Option<i64> {
    text.parse::<Amount>().ok().map(Amount::cents)
}

#[test]
fn whole_amounts_and_two_decimals() {
    assert_eq!(cents("12"), Some(1200));
    assert_eq!(cents("12.50"), Some(1250));
    assert_eq!(cents("0.01"), Some(1));
}

#[test]
fn one_decimal_is_tens_of_cents() {
    assert_eq!(cents("12.5"), Some(1250));
    assert_eq!(cents("0.1"), Some(10));
}

#[test]
fn nothing_and_more_than_a_million_are_refused() {
    assert_eq!(cents("0"), None);
    assert_eq!(cents("0.00"), None);
    assert_eq!(cents("1000000.00"), Some(100_000_000));
    assert_eq!(cents("1000000.01"), None);
    assert_eq!(cents("99999999999999999999"), None);
}

#[test]
fn other_texts_are_refused() {
    for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1.234", "1 000", "0x10", "١"] {
        assert_eq!(cents(text), None, "{text}");
    }
}

#[test]
fn amounts_are_shown_as_they_are_read() {
    for text in ["0.01", "0.10", "12.50", "1000000.00"] {
        assert_eq!(text.parse::<Amount>().map(|a| a.to_string()), Ok(text.to_owned()));
    }
    assert_eq!(decimal(-5), "-0.05");
}
