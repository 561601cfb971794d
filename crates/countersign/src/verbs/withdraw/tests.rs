use super::{Args, run};
use crate::{
    fault::Kind,
    verbs::{
        follow,
        world::{World, arguments, printed, ran},
    },
};

#[test]
fn a_withdrawn_key_takes_its_approval_with_it() {
    let world = World::new();
    let (_, proposal, _) = world.released(1, None, [None, None]);
    assert!(follow::decide(&world.view(), proposal).unwrap().is_granted());
    let from = (proposal + 1).to_string();
    let text =
        printed(|out| run(&arguments::<Args>(&["ben", "--void-from", &from, "--yes"]), &world.as_person("olga"), out));
    assert!(
        text.contains(&format!(
            " of ben is withdrawn from statement {from} on\n1 statement it signed since become void"
        )),
        "{text}"
    );
    assert!(text.contains("withdrawn by olga, in the log as "), "{text}");
    assert!(text.contains("into production is withdrawn with it; it runs"), "{text}");
    let decision = follow::decide(&world.view(), proposal).unwrap();
    assert!(
        follow::reasons(&decision).iter().any(|r| r.starts_with("quorum-has-approved: found approvals: 1")),
        "{decision:?}"
    );
}

#[test]
fn a_key_that_is_not_there_and_an_index_to_come_are_refused() {
    let world = World::new();
    let ask = |what: &[&str]| ran(|out| run(&arguments::<Args>(what), &world.as_person("olga"), out)).1.unwrap_err();
    let fault = ask(&["zoe", "--void-from", "0"]);
    assert_eq!(
        (fault.kind(), fault.message().as_str()),
        (Kind::Usage, "`zoe` is no key, and nobody of that name is in the charter")
    );
    let fault = ask(&["ben", "--void-from", "900"]);
    assert!(fault.message().contains("900 is beyond them"), "{fault}");
}

/// The form that `ssh-keygen -l` prints is the same key.
#[test]
fn a_fingerprint_names_a_key() {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
    let world = World::new();
    let (id, _) = world.members.keys().next().unwrap();
    let fingerprint = format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(id.digest().as_bytes()));
    assert_eq!(super::key(&world.members, &fingerprint).unwrap(), id);
    assert_eq!(super::key(&world.members, &id.to_string()).unwrap(), id);
}
