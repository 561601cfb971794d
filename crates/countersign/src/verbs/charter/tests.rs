use ledger::statement::v1::EnvironmentRule;

use super::*;
use crate::verbs::world::{World, arguments, printed, ran};

fn args(words: &[&str]) -> Args {
    arguments(words)
}

fn edited(world: &World, edit: impl FnOnce(&mut Charter)) -> String {
    let mut charter = world.view().facts().members().charter().clone();
    edit(&mut charter);
    let path = world.path("charter.toml");
    ledger::durable::write(&path, file::write(&charter).unwrap().as_bytes(), 0o644).unwrap();
    path.display().to_string()
}

#[test]
fn the_file_is_read_back_as_it_was_written() {
    let world = World::new();
    let text = printed(|out| run(&args(&["edit"]), &world.common, out));
    let charter = world.view().facts().members().charter().clone();
    assert_eq!(file::parse(&text).unwrap(), charter);
    assert!(text.contains("@id(\"nobody-rejected-it\")"), "the policy is readable\n{text}");
    let full = Charter {
        recovery: Some(ledger::statement::v1::Recovery { keys: Vec::new(), count: 2, delay_s: 9 }),
        programs: [("gate".parse().unwrap(), vec![Digest::of(b"p")])].into(),
        environments: vec![EnvironmentRule { emergency: None, ..charter.environments[0].clone() }],
        ..charter
    };
    assert_eq!(file::parse(&file::write(&full).unwrap()).unwrap(), full);
    let wrong = file::parse("policy = 3").unwrap_err();
    assert_eq!(wrong.kind(), Kind::Input);
    assert!(wrong.hint_text().unwrap().contains("charter edit"));
}

#[test]
fn an_amendment_goes_from_a_file_to_force_by_the_quorum_alone() {
    let world = World::new();
    let path = edited(&world, |c| {
        let ada = c.members.iter_mut().find(|m| m.id.as_str() == "ada").unwrap();
        ada.roles = vec!["operator".parse().unwrap()];
    });
    let diff = printed(|out| run(&args(&["diff", &path]), &world.common, out));
    assert!(diff.contains("it would newly allow:\n"), "{diff}");
    assert!(diff.contains("ada would hold the role operator"), "{diff}");
    assert!(diff.contains("ada could not say any more: proposal"), "{diff}");

    let text = printed(|out| run(&args(&["propose", &path, "--yes"]), &world.as_person("olga"), out));
    assert!(text.contains("0 of 2 persons have agreed; 2 more needed"), "{text}");
    let index = world.view().facts().charters().puts().next().unwrap().index.to_string();
    let own = ran(|out| run(&args(&["consent", &index, "--yes"]), &world.as_person("olga"), out)).1.unwrap_err();
    assert!(own.message().contains("olga holds no role that may say `consent`"), "{}", own.message());
    let text = printed(|out| run(&args(&["consent", &index, "--yes"]), &world.as_person("ben"), out));
    assert!(text.contains(diff.trim_end()), "what is shown is the same text\n{text}");
    assert!(text.contains("1 of 2 persons have agreed; 1 more needed"), "{text}");
    let again = ran(|out| run(&args(&["consent", &index, "--yes"]), &world.as_person("ben"), out)).1.unwrap_err();
    assert!(again.message().contains("ben has consented to it already"), "{}", again.message());
    // Nothing else may be said of it: an ordinary amendment is not one member's to cancel.
    let no = ran(|out| run(&args(&["cancel", &index, "--yes"]), &world.as_person("olga"), out)).1.unwrap_err();
    assert!(no.message().contains("was put up by a member"), "{}", no.message());
    let text = printed(|out| run(&args(&["consent", &index, "--yes"]), &world.as_person("cem"), out));
    assert!(text.contains("in force from"), "{text}");

    // Every process follows without a restart: the door lets ada say what she may now, and no more what she might.
    let shown = printed(|out| run(&args(&["show"]), &world.common, out));
    assert!(shown.contains("ada              operator"), "{shown}");
    assert!(!shown.contains("other words"), "{shown}");
    let before = printed(|out| run(&args(&["show", "--at", &index]), &world.common, out));
    assert!(before.contains("ada              developer"), "{before}");
    world.say("ada", "operator", Claim::Halt(ledger::statement::v1::Halt { environment: None, reason: None }), false);
    let late = ran(|out| run(&args(&["propose", &path, "--yes"]), &world.as_person("olga"), out)).1.unwrap_err();
    assert!(late.message().contains("says what is in force already"), "{}", late.message());
}

#[test]
fn what_could_not_be_in_force_is_refused_before_it_is_signed() {
    let world = World::new();
    let size = world.view().facts().size();
    let path = edited(&world, |c| c.members.retain(|m| m.id.as_str() != "ben"));
    let fault = ran(|out| run(&args(&["propose", &path, "--yes"]), &world.as_person("olga"), out)).1.unwrap_err();
    assert!(
        fault.message().contains("the quorum of amendments asks for 2 persons, and 1 could give it"),
        "{}",
        fault.message()
    );
    let path = edited(&world, |c| c.policy = "nonsense".to_owned());
    let fault = ran(|out| run(&args(&["propose", &path, "--yes"]), &world.as_person("olga"), out)).1.unwrap_err();
    assert!(fault.message().contains("the charter's policy is not valid"), "{}", fault.message());
    let path = edited(&world, |c| c.log.origin.push('x'));
    let fault = ran(|out| run(&args(&["propose", &path, "--yes"]), &world.as_person("olga"), out)).1.unwrap_err();
    assert!(fault.message().contains("that would be another log"), "{}", fault.message());
    assert_eq!(world.view().facts().size(), size, "nothing was said");
}

#[test]
fn a_person_is_brought_by_what_the_verbs_print_alone() {
    let world = World::new();
    let path = edited(&world, |_| {});
    let zoe = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl zoe@desk\n";
    ledger::durable::write(&world.path("zoe.pub"), zoe.as_bytes(), 0o644).unwrap();
    let key = world.path("zoe.pub").display().to_string();
    let add = |name: &str, more: &[&str]| {
        let words = ["add-person", &path, name, "--public-key", &key, "--email", "Zoe@Example.org"];
        ran(|out| run(&args(&[&words, more].concat()), &world.common, out))
    };
    let fault = add("zoe", &["--role", "janitor"]).1.unwrap_err();
    assert!(fault.message().contains("the charter has no role `janitor`"), "{}", fault.message());
    let fault = add("ben", &[]).1.unwrap_err();
    assert!(fault.message().contains("has a member `ben`"), "{}", fault.message());
    let (said, done) = add("zoe", &["--role", "developer"]);
    done.unwrap();
    assert!(said.contains("countersign charter identities zoe.identity.json"), "{said}");
    assert!(add("zoe", &["--role", "developer"]).1.is_err(), "twice");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.to_lowercase().contains("zoe@"), "no address in what goes into the log\n{text}");

    let take_in = || {
        let beside = world.path("zoe.identity.json").display().to_string();
        ran(|out| run(&args(&["identities", &beside]), &world.common, out))
    };
    let fault = take_in().1.unwrap_err();
    assert!(fault.message().contains("the charter in force has no `zoe`"), "{}", fault.message());
    printed(|out| run(&args(&["propose", &path, "--yes"]), &world.as_person("olga"), out));
    let index = world.view().facts().charters().puts().next().unwrap().index.to_string();
    for person in ["ben", "cem"] {
        printed(|out| run(&args(&["consent", &index, "--yes"]), &world.as_person(person), out));
    }
    let (said, done) = take_in();
    done.unwrap();
    assert!(said.contains("the builder knows zoe"), "{said}");
    let known = crate::addresses::Addresses::read(&world.common.layout().identities()).unwrap();
    let by = known.by(world.view().facts().members().charter());
    assert_eq!(by[&"zoe".parse().unwrap()].emails, ["zoe@example.org"]);
}

#[test]
fn who_consented_to_other_words_is_told() {
    let world = World::new();
    let path = edited(&world, |c| c.key_delay_s += 1);
    printed(|out| run(&args(&["propose", &path, "--yes"]), &world.as_person("olga"), out));
    let put = world.view().facts().charters().puts().next().unwrap().clone();
    let claim = Consent { amendment: put.index, becomes: put.amendment.becomes, shown: Digest::of(b"other words") };
    world.say("ben", "release-manager", Claim::Consent(claim), false);
    let shown = printed(|out| run(&args(&["show"]), &world.common, out));
    assert!(shown.contains("ben consented at") && shown.contains("to other words than are shown here"), "{shown}");
}
