use super::*;
use crate::verbs::{
    bundle,
    world::{World, arguments, ran},
};

#[test]
fn each_answer_has_its_exit_code() {
    let world = World::new();
    let release = world.built(1, None);
    let proposal = world.proposed(&release);
    world.tick();
    world.decided(proposal);
    let path = world.path("refused.bundle");
    let file = path.to_str().unwrap();
    let said =
        ran(|out| bundle::run(&arguments::<bundle::Args>(&["paydesk-000001", "--out", file]), &world.common, out));
    assert!(said.0.contains("the verdict is a refusal, and that is what the bundle proves\n"), "{}", said.0);
    said.1.unwrap();
    let hash = world.view().facts().members().hash().to_string();
    let check = |file: &str, hash: &str| {
        let (text, end) = ran(|out| run(&arguments::<Args>(&[file, "--charter", hash]), &world.common, out));
        let fault = end.unwrap_err();
        (fault.kind(), fault.message(), text)
    };
    let (kind, message, text) = check(file, &hash);
    assert_eq!((kind, message.as_str()), (Kind::Refused, "the bundle holds up, and what it proves is a refusal"));
    assert!(text.contains(": refused ("), "{text}");
    let other = Digest::of(b"another").to_string();
    let (kind, message, _) = check(file, &other);
    assert_eq!(kind, Kind::Untrue);
    let words = format!("the bundle is of the charter {hash}, and it was to be checked against {other}");
    assert_eq!(message, format!("`{file}` proves nothing: {words}"));
    let text = std::fs::read_to_string(&path).unwrap();
    ledger::durable::write(&path, text.replacen("bundle/v1", "bundle/v2", 1).as_bytes(), 0o600).unwrap();
    assert_eq!(check(file, &hash).0, Kind::Input);
    assert_eq!(check("/nonexistent", &hash).0, Kind::Usage);
}
