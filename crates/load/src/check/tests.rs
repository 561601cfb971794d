use serde_json::json;

use super::*;

#[test]
fn without_words_a_status_below_400_is_right() {
    let check = Check::default();
    assert_eq!(check.judge(Some(200), b""), None);
    assert_eq!(check.judge(Some(302), b""), None);
    assert_eq!(check.judge(Some(404), b""), Some(Wrong::Status));
    assert_eq!(check.judge(Some(503), b""), Some(Wrong::Status));
    assert_eq!(check.judge(None, b"a message"), None);
}

#[test]
fn named_statuses_are_the_only_right_ones() {
    let check = Check { status: vec![404], ..Check::default() };
    assert_eq!(check.judge(Some(404), b""), None);
    assert_eq!(check.judge(Some(200), b""), Some(Wrong::Status));
}

#[test]
fn words_and_values_are_looked_for() {
    let check = Check {
        contains: Some("paid".into()),
        lacks: Some("error".into()),
        json: [("/order/state".to_owned(), json!("paid"))].into(),
        ..Check::default()
    };
    assert_eq!(check.judge(Some(200), br#"{"order":{"state":"paid"}}"#), None);
    assert_eq!(check.judge(Some(200), br#"{"order":{"state":"open"},"paid":1}"#), Some(Wrong::Body));
    assert_eq!(check.judge(Some(200), br#"{"order":{"state":"paid"},"error":1}"#), Some(Wrong::Body));
    assert_eq!(check.judge(Some(200), b"paid"), Some(Wrong::Body));
    assert_eq!(check.judge(Some(200), b""), Some(Wrong::Body));
}

#[test]
fn a_check_that_can_not_fail_is_refused() {
    assert_eq!(Check { contains: Some(String::new()), ..Check::default() }.validate(), Err(CheckError::Empty));
    assert_eq!(Check { status: vec![42], ..Check::default() }.validate(), Err(CheckError::Status(42)));
    let json = [("order".to_owned(), json!(1))].into();
    assert_eq!(Check { json, ..Check::default() }.validate(), Err(CheckError::Pointer("order".into())));
}
