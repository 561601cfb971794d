use super::*;

fn written(as_json: bool, text: &str) -> String {
    let mut out = Vec::new();
    let mut spoken = Spoken::new(&mut out, as_json);
    for piece in text.as_bytes().chunks(3) {
        spoken.write_all(piece).unwrap();
    }
    drop(spoken);
    String::from_utf8(out).unwrap()
}

#[test]
fn people_get_lines_and_programs_a_document_a_line() {
    assert_eq!(written(false, "one\n\n\"two\"\ncut"), "one\n\n\"two\"\ncut");
    assert_eq!(
        written(true, "one\n\n\"two\"\ncut"),
        "{\"said\":\"one\"}\n{\"said\":\"\\\"two\\\"\"}\n{\"said\":\"cut\"}\n"
    );
}
