use super::*;

#[test]
fn faults_cross_the_wire_with_their_kind_and_hint() {
    let trouble = Trouble { kind: "refused".to_owned(), error: "no".to_owned(), hint: Some("ask".to_owned()) };
    let answer = Answer { status: StatusCode::FORBIDDEN, body: serde_json::to_vec(&trouble).unwrap().into() };
    let fault = fault_of(&answer);
    assert_eq!((fault.kind(), fault.message().as_str(), fault.hint_text()), (Kind::Refused, "no", Some("ask")));
    let fault = fault_of(&Answer { status: StatusCode::BAD_GATEWAY, body: "<html>".into() });
    assert_eq!(fault.kind(), Kind::Unavailable);
}
