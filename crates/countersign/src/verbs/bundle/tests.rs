use gate::bundle::Bundle;

use super::*;
use crate::verbs::{
    verify,
    world::{World, arguments, printed, ran},
};

/// Bundles what runs, and checks it from another folder with nothing but the file.
fn round(world: &World, given: &[&str]) -> (Bundle, String) {
    let path = world.path("a.bundle");
    let all = [given, &["--out", path.to_str().unwrap()]].concat();
    printed(|out| run(&arguments::<Args>(&all), &world.common, out));
    let bundle = Bundle::parse(&std::fs::read(&path).unwrap()).unwrap();
    let hash = world.view().facts().members().hash().to_string();
    let nowhere = Flags { dir: "/nonexistent".into(), server: None, ..world.common.clone() };
    let asked = [path.to_str().unwrap(), "--charter", &hash];
    let text = printed(|out| verify::run(&arguments::<verify::Args>(&asked), &nowhere, out));
    std::fs::remove_file(path).unwrap();
    (bundle, text)
}

#[test]
fn what_runs_is_proven_from_one_file() {
    let world = World::new();
    let (_, proposal, _) = world.released(1, None, [None, None]);
    let (bundle, text) = round(&world, &["paydesk/production"]);
    assert_eq!(bundle.form, Form::Whole);
    assert!(text.contains("paydesk-000001 into production: granted until "), "{text}");
    assert!(text.contains("approved by ben as release-manager, at "), "{text}");
    assert!(text.contains("cosigned by the witnesses of 1 operators; the charter asks for 1"), "{text}");
    let (bundle, text) = round(&world, &["paydesk-000001", "--selected"]);
    assert_eq!(bundle.form, Form::Selected);
    assert!(bundle.entries.iter().any(|e| e.index == proposal));
    assert!(text.contains("what is not here, such as a rejection or a halt, could speak against it"), "{text}");
}

#[test]
fn a_bundle_with_bodies_says_that_they_can_not_be_erased() {
    let world = World::new();
    world.released(1, None, [None, None]);
    let path = world.path("b.bundle");
    let given = ["paydesk/production", "--with-bodies", "--out", path.to_str().unwrap()];
    let text = printed(|out| run(&arguments::<Args>(&given), &world.common, out));
    assert!(text.contains("a bundle can not be erased: whoever has a copy keeps what is in it."), "{text}");
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(file.lines().nth(1).unwrap().starts_with("notice a bundle can not be erased"), "{file}");
    let (_, end) = ran(|out| run(&arguments::<Args>(&given), &world.common, out));
    let fault = end.unwrap_err();
    assert_eq!(fault.hint_text(), Some("name another file with `--out`; none is written over"));
}

#[test]
fn nothing_to_prove_is_said() {
    let world = World::new();
    let release = world.built(1, None);
    let proposal = world.proposed(&release);
    let ask = |given: &[&str]| ran(|out| run(&arguments::<Args>(given), &world.common, out)).1.unwrap_err();
    assert_eq!(ask(&["paydesk-000001"]).message(), format!("the gate has said nothing about proposal {proposal} yet"));
    assert_eq!(
        ask(&["paydesk-000001", "--verdict", "2"]).message(),
        format!("there is no verdict on proposal {proposal} at log index 2")
    );
}
