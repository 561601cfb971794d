//! Every patch of the history applies where it says, and every commit is whose it says.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use super::*;

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn key(folder: &Path, name: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(folder.join(name))
        .status();
    assert!(made.unwrap().success());
}

#[test]
fn every_patch_applies_on_top_of_the_step_that_it_names() {
    let history = History::read(&examples()).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let keys = temp.path().join("keys");
    fs::create_dir(&keys).unwrap();
    let people: std::collections::BTreeSet<&str> =
        history.steps.iter().flat_map(|s| [s.author.as_str(), s.signer.as_str()]).collect();
    people.iter().for_each(|p| key(&keys, p));
    let remote = temp.path().join("remote.git");
    let repository = Repository::new(&temp.path().join("work"), &remote, &keys).unwrap();
    let replace = [("127.0.0.1:8790".to_owned(), "127.0.0.1:40001".to_owned())];
    repository.begin(&history.example, &replace).unwrap();
    let manifest = fs::read_to_string(temp.path().join("work/countersign.toml")).unwrap();
    assert!(manifest.contains("127.0.0.1:40001") && !manifest.contains(":8790"));

    let mut commits: BTreeMap<String, Commit> = BTreeMap::new();
    for step in &history.steps {
        if let Some(after) = &step.after {
            repository.reset(commits[after]).unwrap();
        }
        repository.apply(&history, step).unwrap_or_else(|e| panic!("{}: {e}", step.name));
        commits.insert(step.name.clone(), repository.commit(step).unwrap());
        assert_eq!(
            repository.git(&["log", "-1", "--format=%ae %ce"], None).unwrap().trim(),
            format!("{0}@{MAIL} {0}@{MAIL}", step.author)
        );
        assert!(repository.git(&["cat-file", "commit", "HEAD"], None).unwrap().contains("BEGIN SSH SIGNATURE"));
        assert!(step.message.trim().lines().last().unwrap().starts_with("Requirement: PAY-"));
        repository.push(true).unwrap();
    }
    assert_eq!(commits.len(), 7);
    assert!(history.steps.iter().filter(|s| s.author != s.signer).map(|s| s.name.as_str()).eq(["forged"]));
}

#[test]
fn a_folder_without_the_example_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let error = History::read(temp.path()).unwrap_err();
    assert!(error.message().contains("the example is not at"), "{}", error.message());
    assert!(error.hint_text().unwrap().contains("--examples"));
}
