//! Submissions: what anybody posts to the log, through `front` or a socket.

/// The file of `countersign` that reads and writes them; all of the program would bring everything else.
#[path = "../../crates/countersign/src/submission.rs"]
pub mod form;

use ledger::bodies::Subject;

/// What is read is written in one form, which says the same; subjects have one spelling.
pub fn run(data: &[u8]) {
    let Ok(read) = form::read(data) else { return };
    assert_eq!(form::statement_of(data).expect("the whole was read"), read.envelope);
    let written = form::write(&read.envelope, &read.bodies).expect("what was read is written");
    let again = form::read(&written).expect("what is written is read");
    assert_eq!(again, read, "writing changes nothing");
    assert_eq!(form::write(&again.envelope, &again.bodies).expect("as before"), written, "one form");
    for body in &read.bodies {
        assert_eq!(body.subject.to_string().parse::<Subject>().expect("it was one"), body.subject);
    }
}
