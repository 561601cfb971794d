//! The wire form of an empty progress; `sim` has that of one on its way.

use super::*;

fn nothing() -> Progress {
    Progress::nothing("production".parse().expect("an environment"), "paydesk".parse().expect("a system"))
}

const GOLDEN: &str = concat!(
    r#"{"form":1,"environment":"production","system":"paydesk","state":{"idle":{"current":null,"predecessor":null,"last":null}},"#,
    r#""issued":{"generation":0,"revision":0,"routes":[]},"restarts":[],"told":[],"failing":{},"outbox":{"next":0,"waiting":[]}}"#
);

#[test]
fn the_form_is_frozen() {
    assert_eq!(String::from_utf8(nothing().to_bytes().expect("bytes")).expect("UTF-8"), GOLDEN);
    assert_eq!(Progress::from_bytes(GOLDEN.as_bytes()).expect("a progress"), nothing());
}

#[test]
fn anything_else_is_refused_with_the_reason() {
    let refused = |text: &str| Progress::from_bytes(text.as_bytes()).expect_err("refused").to_string();
    assert_eq!(
        refused(&GOLDEN.replace("\"form\":1", "\"form\":2")),
        "the stored progress of a rollout has form 2, which this version does not know"
    );
    for wrong in [
        "",
        "{}",
        &GOLDEN[..GOLDEN.len() - 1],
        &GOLDEN.replace("{\"form\"", "{\"more\":1,\"form\""),
        &format!("{GOLDEN} "),
    ] {
        assert_eq!(refused(wrong), "the stored progress of a rollout can not be read", "{wrong}");
    }
}
