use std::{path::Path, process::Command};

use super::{Args, hook, run};
use crate::{
    fault::Kind,
    verbs::{
        Flags, Format,
        world::{MANIFEST, arguments, printed, ran},
    },
};

fn common(format: Format) -> Flags {
    Flags { dir: "/nonexistent".into(), server: None, format, key: None }
}

fn written(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("countersign.toml");
    ledger::durable::write(&path, text.as_bytes(), 0o644).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

#[test]
fn a_good_manifest_is_told_in_one_line_without_a_server() {
    let (_dir, path) = written(MANIFEST);
    let text = printed(|out| run(&arguments::<Args>(&[&path]), &common(Format::Text), out));
    assert!(
        text.contains(&format!("{path}: paydesk with 1 component, 2 suites, 1 environment: no errors, ")),
        "{text}"
    );
}

#[test]
fn mistakes_are_shown_with_their_place_and_the_code_says_input() {
    let (_dir, path) = written(&MANIFEST.replace("port = 8080", "port = 808080"));
    let (text, end) = ran(|out| run(&arguments::<Args>(&[&path]), &common(Format::Text), out));
    let fault = end.unwrap_err();
    assert_eq!((fault.kind(), fault.kind().exit_code()), (Kind::Input, 3));
    assert_eq!(fault.message(), format!("`{path}` does not hold up: the manifest has 1 error"));
    assert!(text.contains("--> ") && text.contains("components.web.port") && text.contains("^^^^^^"), "{text}");
    let (json, end) = ran(|out| run(&arguments::<Args>(&[&path]), &common(Format::Json), out));
    assert!(end.is_err());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["ok"].as_bool(), json["findings"][0]["key"].as_str()), (Some(false), Some("components.web.port")));
    let fault = ran(|out| run(&arguments::<Args>(&["/nonexistent/x.toml"]), &common(Format::Text), out)).1.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.hint_text()),
        (Kind::Usage, Some("run this where `countersign.toml` is, or name the file"))
    );
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "--quiet", "--initial-branch=main"]);
    dir
}

#[test]
fn each_commit_that_is_pushed_is_looked_at() {
    let dir = repository();
    let key = dir.path().join("key");
    let ada = ledger::keys::PrivateKey::from_seed(ledger::keys::Scheme::SshSig, &[1; 32]).unwrap();
    ada.write_new(&key, "ada").unwrap();
    git(dir.path(), &["commit", "--quiet", "--allow-empty", "-m", "First"]);
    let first = git(dir.path(), &["rev-parse", "HEAD"]);
    git(dir.path(), &["commit", "--quiet", "--allow-empty", "-m", "Second\n\nRequirement: not one"]);
    let signing = format!("user.signingkey={}", key.display());
    git(
        dir.path(),
        &[
            "-c",
            "gpg.format=ssh",
            "-c",
            &signing,
            "commit",
            "--quiet",
            "--allow-empty",
            "-S",
            "-m",
            "Third\n\nRequirement: PAY-3",
        ],
    );
    let head = git(dir.path(), &["rev-parse", "HEAD"]);
    let zero = "0".repeat(40);
    let pushed = |remote: &str| {
        let told = format!("refs/heads/main {head} refs/heads/main {remote}\n");
        hook::pushed(dir.path(), &mut told.as_bytes()).unwrap()
    };
    let all = pushed(&zero);
    let problems: Vec<(&str, Vec<&str>)> =
        all.iter().map(|c| (c.subject.as_str(), c.problems.iter().map(String::as_str).collect())).collect();
    assert_eq!(
        problems,
        [
            ("First", vec!["it is not signed", "it links no requirement"]),
            (
                "Second",
                vec![
                    "it is not signed",
                    "it links no requirement",
                    "the trailer `Requirement: not one` can not be read"
                ]
            ),
            ("Third", vec![]),
        ]
    );
    assert_eq!(pushed(&first).len(), 2, "what the remote has is not looked at again");
    // A branch that is deleted pushes nothing; a line that git does not write is refused.
    let deleted = format!("(delete) {zero} refs/heads/old {first}\n");
    assert!(hook::pushed(dir.path(), &mut deleted.as_bytes()).unwrap().is_empty());
    assert!(hook::pushed(dir.path(), &mut "nonsense\n".as_bytes()).is_err());
    assert_eq!(hook::range(dir.path(), &format!("{first}..")).unwrap().len(), 2);
    assert_eq!(hook::range(dir.path(), "--output=x").unwrap_err().kind(), Kind::Usage);
}

#[test]
fn the_hook_is_written_once_and_never_over_anothers() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = repository();
    let path = hook::install(dir.path()).unwrap();
    assert!(path.ends_with(".git/hooks/pre-push"), "{}", path.display());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("' check --hook\n"));
    hook::install(dir.path()).unwrap();
    ledger::durable::write(&path, b"#!/bin/sh\nexit 0\n", 0o755).unwrap();
    let fault = hook::install(dir.path()).unwrap_err();
    assert_eq!(fault.kind(), Kind::Refused);
    assert!(fault.message().ends_with("is somebody else's hook"), "{fault}");
    assert_eq!(std::fs::read(&path).unwrap(), b"#!/bin/sh\nexit 0\n");
}
