use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::{
    founding::Founding,
    verbs::world::{World, arguments, printed, ran},
};

const SMALLEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/layouts/smallest.toml");

fn args(given: &[&str]) -> Args {
    arguments(given)
}

fn nowhere() -> (tempfile::TempDir, Flags) {
    let dir = tempfile::tempdir().unwrap();
    let common = Flags { dir: dir.path().to_owned(), server: None, format: Format::Text, key: None };
    (dir, common)
}

fn smallest() -> Charter {
    Founding::parse(&std::fs::read_to_string(SMALLEST).unwrap()).unwrap().rehearsed(std::path::Path::new(".")).unwrap()
}

/// Whether a charter is accepted and no one person can.
fn holds(charter: &Charter) -> bool {
    gate::duties::check(charter).is_ok_and(|duties| duties.hold())
}

#[test]
fn the_smallest_layout_holds_and_says_so_last() {
    let (_dir, common) = nowhere();
    let text = printed(|out| run(&args(&["--charter", SMALLEST]), &common, out));
    assert!(text.ends_with("\n\"no one person can\" holds\n"), "{text}");
    assert!(text.contains("ben, cem (release-manager)\n"), "{text}");
    assert!(text.contains("release into production: 1 release-manager\n"), "{text}");
    assert!(text.contains("the robot builder, which is controlled: "), "{text}");
    assert!(!text.contains("NOT HELD") && !text.contains("where the promise fails"), "{text}");
}

#[test]
fn with_one_fewer_of_anything_it_does_not() {
    let whole = smallest();
    assert!(holds(&whole));
    assert_eq!((whole.members.len(), whole.hosts.len(), whole.witnesses.len()), (4, 2, 1));
    // One person fewer, whatever of the person's goes to whom of the others.
    for gone in &whole.members {
        let mut left = whole.clone();
        left.members.retain(|m| m.id != gone.id);
        let mut layouts = vec![left];
        for role in &gone.roles {
            layouts = each(layouts, |c, at| c.members[at].roles.push(role.clone()));
        }
        for robot in whole.robots.iter().filter(|r| r.controllers.contains(&gone.id)) {
            let at = whole.robots.iter().position(|r| r.id == robot.id).unwrap();
            layouts = each(layouts, |c, who| c.robots[at].controllers = vec![c.members[who].id.clone()]);
        }
        for host in whole.hosts.iter().filter(|h| h.administrators.contains(&gone.id)) {
            let at = whole.hosts.iter().position(|h| h.name == host.name).unwrap();
            layouts = each(layouts, |c, who| c.hosts[at].administrators = vec![c.members[who].id.clone()]);
        }
        for layout in &mut layouts {
            layout.members.iter_mut().for_each(|m| m.founder |= !m.roles.is_empty());
            assert!(!holds(layout), "without {} it holds: {layout:#?}", gone.id);
        }
    }
    // One machine fewer, whoever administers the other.
    for gone in &whole.hosts {
        let mut one = whole.clone();
        one.hosts.retain(|h| h.name != gone.name);
        let kept = one.hosts[0].name.clone();
        one.robots.iter_mut().for_each(|r| r.host = kept.clone());
        for layout in each(vec![one], |c, who| c.hosts[0].administrators = vec![c.members[who].id.clone()]) {
            assert!(!holds(&layout), "without {} it holds", gone.name);
        }
    }
    // One robot fewer, and so one key.
    for gone in &whole.robots {
        let mut layout = whole.clone();
        layout.robots.retain(|r| r.id != gone.id);
        assert!(!holds(&layout), "without {} it holds", gone.id);
    }
    let mut unwitnessed = whole.clone();
    (unwitnessed.witnesses, unwitnessed.witness_quorum) = (Vec::new(), 0);
    assert!(!holds(&unwitnessed));
    let mut own = whole;
    own.witnesses[0].operator = "pim".to_owned();
    assert!(!holds(&own), "whoever keeps the log runs the witness");
}

/// Each layout with a change for each of its members.
fn each(layouts: Vec<Charter>, change: impl Fn(&mut Charter, usize)) -> Vec<Charter> {
    let with = |layout: &Charter, at: usize| {
        let mut layout = layout.clone();
        change(&mut layout, at);
        layout
    };
    layouts.iter().flat_map(|l| (0..l.members.len()).map(|at| with(l, at)).collect::<Vec<_>>()).collect()
}

#[test]
fn the_charter_of_the_log_is_told_with_its_counter_example() {
    let world = World::new();
    let text = printed(|out| run(&args(&[]), &world.common, out));
    let story = "\"no one person can\" does not hold: olga administers main; main keeps the keys of builder and outside; so \
                 olga alone can make a build and its evidence\n";
    assert!(text.ends_with(story), "{text}");
    assert!(text.starts_with("the charter in force after "), "{text}");
    assert!(text.contains("robot gate (gate)\n  alone     "), "{text}");
    assert!(text.contains("  the robot tester, whose key is on main: make evidence\n"), "{text}");
    let json = printed(|out| run(&args(&[]), &World::json(&world.common), out));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["holds"], false);
    assert_eq!(json["fails"][0]["person"], "olga");
    assert_eq!(json["fails"][0]["steps"][0], "olga administers main");
    let people: BTreeSet<&str> = json["people"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|p| p["persons"].as_array().unwrap())
        .map(|p| p.as_str().unwrap())
        .collect();
    assert_eq!(people, world.members.charter().members.iter().map(|m| m.id.as_str()).collect());
}

#[test]
fn one_person_is_told_alone_and_nobody_is_an_error() {
    let (_dir, common) = nowhere();
    let text = printed(|out| run(&args(&["--charter", SMALLEST, "--person", "pim"]), &common, out));
    assert!(text.contains("\npim (no role)\n") && !text.contains("ben"), "{text}");
    assert!(text.ends_with("\"no one person can\" holds\n"), "{text}");
    let (_, end) = ran(|out| run(&args(&["--charter", SMALLEST, "--person", "eve"]), &common, out));
    let fault = end.unwrap_err();
    assert_eq!(fault.message(), "the charter has no member `eve`");
    assert_eq!(fault.hint_text(), Some("it has ben, cem, olga, pim"));
}

#[test]
fn a_key_of_two_people_in_a_founding_file_is_found() {
    let (dir, common) = nowhere();
    let path = dir.path().join("founding.toml");
    let text = std::fs::read_to_string(SMALLEST).unwrap();
    let write = |text: String| ledger::durable::write(&path, text.as_bytes(), 0o644).unwrap();
    write(text.replace("\"ssh-ed25519 AAAA…\"", "\"same.pub\""));
    let (_, end) = ran(|out| run(&args(&["--charter", path.to_str().unwrap()]), &common, out));
    let message = end.unwrap_err().message();
    assert!(message.starts_with("the charter is refused: the key ") && message.contains("two holders"), "{message}");
    write("nonsense".to_owned());
    let (_, end) = ran(|out| run(&args(&["--charter", path.to_str().unwrap()]), &common, out));
    assert!(end.unwrap_err().message().starts_with("the founding file does not hold up"));
}

#[test]
fn a_draft_and_the_founders_envelopes_are_read() {
    let world = World::new();
    let (_dir, common) = nowhere();
    for file in ["charter.jsonl", "charter.draft"] {
        let path = world.path(file);
        let path = if path.exists() { path } else { world.common.layout().charter_draft() };
        let text = printed(|out| run(&args(&["--charter", path.to_str().unwrap()]), &common, out));
        assert!(text.contains("so olga alone can make a build and its evidence"), "{file}: {text}");
    }
}

#[test]
fn the_passage_of_a_release_is_told() {
    let world = World::new();
    let (_, proposal, _) = world.released(1, None, [None, None]);
    let text = printed(|out| run(&args(&["--release", "paydesk-000001"]), &world.common, out));
    assert!(
        text.starts_with(&format!("paydesk-000001 into production: proposal {proposal}, from its first change at ")),
        "{text}"
    );
    assert!(text.contains("charters in force meanwhile: from 0\n"), "{text}");
    assert!(text.contains("ada (in reach: developer)\n") && text.contains(" wrote some of it\n"), "{text}");
    assert!(text.contains(" approved it as release-manager\n"), "{text}");
    // One administrator for all robots: she reached both sides meanwhile.
    assert!(text.lines().last().unwrap().starts_with("olga stood on both sides: reached "), "{text}");
    let json = printed(|out| run(&args(&["--release", "paydesk-000001"]), &World::json(&world.common), out));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json[0]["holds"].clone(), json[0]["live"].clone()), (Value::Bool(false), Value::Bool(true)));
}
