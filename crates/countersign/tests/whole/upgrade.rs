//! Countersign's own program: what the charter does not list is refused by everybody else, and going from one program to
//! another loses nothing that runs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use model::Digest;

use crate::{
    installation::{Installation, LONG, PROGRAM, both},
    wait::wait_for,
};

/// The roles whose processes sign statements.
const SIGNING: [&str; 4] = ["gate", "builder", "tester", "agent"];

#[test]
fn root_a_program_that_the_charter_does_not_list_is_refused_and_loses_nothing() {
    let listed = Digest::of(&fs::read(PROGRAM).unwrap());
    let programs: String = SIGNING.iter().map(|role| format!("{role} = [\"{listed}\"]\n")).collect();
    let it = Installation::make_with(&format!("[programs]\n{programs}"));
    it.up();
    it.first_release();

    // The same program but for one byte behind its end: it runs, and is another.
    let other = it.path("countersign-other");
    let bytes = [fs::read(PROGRAM).unwrap(), vec![0]].concat();
    fs::write(&other, &bytes).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    assert_ne!(Digest::of(&bytes), listed);

    it.ok(&["down", "--leave-components"]);
    let components = components(&it);
    assert!(!components.is_empty(), "components run on while the processes are away");
    up_with(&it, &other);
    it.write("version", "2");
    it.push("Version 2");
    let output = it.dir().join("output/builder.log");
    wait_for(
        "what the builder says is refused",
        LONG,
        || it.story(),
        || {
            let said = fs::read_to_string(&output).unwrap_or_default();
            said.contains("does not list the program that signed for the role").then_some(())
        },
    );
    assert_eq!(it.claims("change").len(), 1, "no word of the other builder is in the log");
    // What runs goes on, under the very processes that ran before.
    assert_eq!(it.visit("visit-under-another"), ["visits-000001", "visits-000001"]);
    assert_eq!(self::components(&it), components);

    it.ok(&["down", "--leave-components"]);
    it.up();
    assert_eq!(it.visit("visit-back"), ["visits-000001", "visits-000001"]);
    it.approve("visits-000002");
    assert_eq!(it.wait_end("visits-000002"), "live", "{}", it.story());
    let kept = it.kept();
    assert!(["visit-first", "visit-under-another", "visit-back"].iter().all(|v| kept.get(*v) == Some(&1)), "{kept:?}");
    it.ok(&["audit"]);
}

/// Starts the processes with another program.
fn up_with(it: &Installation, program: &Path) {
    let mut command = Command::new(program);
    command.args(["up", "--detach", "--dir"]).arg(it.dir()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}\n{}", both(&output), it.story());
}

/// The process ids of what runs in containers of this installation.
fn components(it: &Installation) -> Vec<PathBuf> {
    let scope = it.scope();
    let mut found: Vec<PathBuf> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            fs::read_to_string(path.join("cgroup")).is_ok_and(|text| text.contains(scope) && text.contains("agent"))
        })
        .collect();
    found.sort();
    found
}
