#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use super::*;
use crate::git::commit::CommitFacts;

struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap() };
        repository.git(&["init", "-q", "-b", "main", "work"]);
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn work(&self) -> PathBuf {
        self.path("work")
    }

    fn git(&self, args: &[&str]) -> String {
        let cwd = if self.work().exists() { self.work() } else { self.dir.path().to_path_buf() };
        let mut command = Command::new("git");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.dir.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1").current_dir(cwd);
        command.envs([("GIT_AUTHOR_DATE", "1700000000 +0100"), ("GIT_COMMITTER_DATE", "1700000060 +0000")]);
        command.args(["-c", "user.name=Ada", "-c", "user.email=ada@paydesk.example", "-c", "gpg.format=ssh"]);
        let out = command.args(args).output().unwrap();
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// An SSH key pair; returns the path of the private half and the public key in wire form.
    fn key(&self, name: &str, kind: &str) -> (PathBuf, Option<Vec<u8>>) {
        let path = self.path(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-C", "test", "-f"]).arg(&path).status();
        assert!(made.unwrap().success());
        let public = fs::read_to_string(path.with_extension("pub")).unwrap();
        (path, ledger::keys::PublicKey::of_person(&public).ok().map(|k| k.wire()))
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn commit(&self, message: &str, key: Option<&Path>) -> Commit {
        self.git(&["add", "-A"]);
        match key {
            Some(key) => {
                let signing = format!("user.signingkey={}", key.display());
                self.git(&["-c", &signing, "commit", "-q", "--allow-empty", "-S", "-m", message]);
            }
            None => drop(self.git(&["commit", "-q", "--allow-empty", "-m", message])),
        }
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    fn mirror(&self) -> Mirror {
        let remote = self.work().to_str().unwrap().parse().unwrap();
        Mirror::open(&self.path("mirror"), remote, "main".parse().unwrap()).unwrap()
    }

    /// The commit object as git stores it.
    fn object(&self, commit: Commit) -> Vec<u8> {
        let out =
            Command::new("git").args(["cat-file", "commit", &commit.to_string()]).current_dir(self.work()).output();
        out.unwrap().stdout
    }
}

#[test]
fn a_signed_commit_names_its_signer_and_its_requirements() {
    let repository = Repository::new();
    let (key, public) = repository.key("ada", "ed25519");
    repository.write("a", "1");
    let message = "Book a payment once\n\nWhy.\n\nRequirement: PAY-142\nrequirement: PAY-7\nRequirement: nonsense\nCo-authored-by: Bob <bob@paydesk.example>\n";
    let commit = repository.commit(message, Some(&key));
    let mirror = repository.mirror();
    let head = mirror.fetch().unwrap();
    assert_eq!(head, Head { commit, committed_at: Timestamp::from_unix(1_700_000_060) });
    let facts = mirror.facts(commit).unwrap();
    assert_eq!(facts.signature, CommitSignature::Signed { key: public.unwrap() });
    assert_eq!(facts.author_email, "ada@paydesk.example");
    assert_eq!(facts.committer_email, "ada@paydesk.example");
    assert_eq!(facts.co_author_emails, ["bob@paydesk.example"]);
    assert_eq!(facts.requirements.iter().map(|r| r.as_str()).collect::<Vec<_>>(), ["PAY-142", "PAY-7"]);
    assert_eq!(facts.unreadable_trailers, ["Requirement: nonsense"]);
    assert_eq!(facts.subject, "Book a payment once");
}

#[test]
fn signatures_that_prove_nothing_are_told_apart() {
    let repository = Repository::new();
    let (ed25519, _) = repository.key("ada", "ed25519");
    let (ecdsa, _) = repository.key("old", "ecdsa");
    let unsigned = repository.commit("plain", None);
    let signed = repository.commit("signed", Some(&ed25519));
    let by_ecdsa = repository.commit("by another kind of key", Some(&ecdsa));
    let mirror = repository.mirror();
    mirror.fetch().unwrap();
    assert_eq!(mirror.facts(unsigned).unwrap().signature, CommitSignature::Unsigned);
    assert_eq!(mirror.facts(by_ecdsa).unwrap().signature, CommitSignature::UnsupportedKey);

    let judge = |object: &str| CommitFacts::parse(signed, object.as_bytes()).unwrap().signature;
    let object = String::from_utf8(repository.object(signed)).unwrap();
    assert!(matches!(judge(&object), CommitSignature::Signed { .. }));
    for (what, changed) in [
        ("the author", object.replace("author Ada <ada@", "author Eve <eve@")),
        ("the message", object.replace("\nsigned", "\nsigned off")),
        ("a second signature", object.replacen("gpgsig ", "gpgsig x\ngpgsig ", 1)),
        ("a header beside it", object.replacen("gpgsig ", "gpgsig-sha256 x\ngpgsig ", 1)),
        ("the armour", object.replacen("\n U1NIU0lH", "\n U1NIU0lX", 1)),
    ] {
        assert_ne!(changed, object, "{what} was not changed");
        assert_eq!(judge(&changed), CommitSignature::BadSignature, "{what}");
    }
    let pgp = object.replace("SSH SIGNATURE", "PGP SIGNATURE");
    assert_eq!(judge(&pgp), CommitSignature::NotSsh);
}

#[test]
fn a_signature_for_another_purpose_does_not_count() {
    let repository = Repository::new();
    let (key, _) = repository.key("ada", "ed25519");
    let unsigned = repository.commit("plain", None);
    let object = repository.object(unsigned);
    let payload = repository.path("payload");
    fs::write(&payload, &object).unwrap();
    for (namespace, good) in [("git", true), ("file", false), ("countersign", false)] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(&key)
            .arg(&payload)
            .status();
        assert!(made.unwrap().success());
        let armour = fs::read_to_string(repository.path("payload.sig")).unwrap();
        fs::remove_file(repository.path("payload.sig")).unwrap();
        let text = String::from_utf8(object.clone()).unwrap();
        let header = format!("\ngpgsig {}\n\n", armour.trim_end().replace('\n', "\n "));
        let signed = text.replacen("\n\n", &header, 1);
        let signature = CommitFacts::parse(unsigned, signed.as_bytes()).unwrap().signature;
        assert_eq!(matches!(signature, CommitSignature::Signed { .. }), good, "{namespace}: {signature:?}");
    }
}

#[test]
fn a_message_without_a_paragraph_of_trailers_has_none() {
    let repository = Repository::new();
    let mirror = repository.mirror();
    for message in [
        "Requirement: PAY-1",
        "subject\n\nRequirement: PAY-1\n\nThe end.",
        "subject\n\nRequirement: PAY-1\nand more prose",
    ] {
        let commit = repository.commit(message, None);
        mirror.fetch().unwrap();
        assert!(mirror.facts(commit).unwrap().requirements.is_empty(), "{message}");
    }
}

#[test]
fn malformed_commits_are_refused_with_the_reason() {
    let commit: Commit = "1111111111111111111111111111111111111111".parse().unwrap();
    let tree = "tree 2222222222222222222222222222222222222222\n";
    let who = "author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n";
    for (object, why) in [
        (String::new(), "no empty line ends the headers"),
        (format!("{tree}{who}"), "no empty line ends the headers"),
        (format!("{who}\nm"), "not exactly one tree"),
        (format!("{tree}{tree}{who}\nm"), "not exactly one tree"),
        (format!("{tree}{who}author B <b@b> 1 +0000\n\nm"), "not exactly one author"),
        (format!("{tree}parent x\n{who}\nm"), "a parent has no id"),
        (
            format!("{tree}author A a@b 1 +0000\ncommitter A <a@b> 1 +0000\n\nm"),
            "an identity is not `name <address> time zone`",
        ),
        (
            format!("{tree}author A <x> <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nm"),
            "an identity is not `name <address> time zone`",
        ),
    ] {
        assert_eq!(CommitFacts::parse(commit, object.as_bytes()), Err(MalformedCommit { commit, why }), "{object}");
    }
}

#[test]
fn a_force_push_is_seen_and_old_commits_stay() {
    let repository = Repository::new();
    let mirror = repository.mirror();
    let first = repository.commit("first", None);
    let second = repository.commit("second", None);
    mirror.fetch().unwrap();
    assert!(mirror.is_fast_forward(first, second).unwrap());
    assert!(mirror.is_fast_forward(second, second).unwrap());
    repository.git(&["reset", "-q", "--hard", &first.to_string()]);
    let other = repository.commit("other", None);
    assert_eq!(mirror.fetch().unwrap().commit, other);
    assert!(!mirror.is_fast_forward(second, other).unwrap());
    let listed = mirror.commits(Some(first), other).unwrap();
    assert_eq!(listed.iter().map(|c| c.commit).collect::<Vec<_>>(), [other]);
    let all = mirror.commits(None, other).unwrap();
    assert_eq!(all.iter().map(|c| c.commit).collect::<Vec<_>>(), [first, other]);
    let unknown = "1111111111111111111111111111111111111111".parse().unwrap();
    assert!(matches!(mirror.facts(unknown), Err(GitError::Missing(_))));
}

#[test]
fn a_missing_branch_says_what_to_do() {
    let repository = Repository::new();
    repository.commit("first", None);
    let remote = repository.work().to_str().unwrap().parse().unwrap();
    let mirror = Mirror::open(&repository.path("mirror"), remote, "production".parse().unwrap()).unwrap();
    let error = mirror.fetch().unwrap_err();
    assert!(error.to_string().contains("has no branch `production`: push it"), "{error}");
}

#[test]
fn the_tree_is_written_as_it_is_in_git() {
    let repository = Repository::new();
    repository.write(".gitattributes", "*.txt text eol=crlf ident export-subst\nhidden export-ignore\n");
    repository.write("a.txt", "one\n$Id$ $Format:%H$\n");
    repository.write("hidden", "here");
    repository.write("deep/er/run.sh", "#!/bin/sh\n");
    repository.git(&["update-index", "--add", "--chmod=+x", "deep/er/run.sh"]);
    symlink("../a.txt", repository.work().join("deep/link")).unwrap();
    repository.git(&["config", "core.fileMode", "false"]);
    let commit = repository.commit("tree", None);
    let mirror = repository.mirror();
    mirror.fetch().unwrap();
    let out = repository.path("out");
    mirror.checkout(commit, &out).unwrap();
    assert_eq!(fs::read_to_string(out.join("a.txt")).unwrap(), "one\n$Id$ $Format:%H$\n");
    assert_eq!(fs::read_to_string(out.join("deep/link")).unwrap(), "one\n$Id$ $Format:%H$\n");
    assert!(out.join("hidden").exists() && !out.join(".git").exists());
    for path in ["a.txt", "deep", "deep/er/run.sh", "deep/link", "."] {
        let meta = out.join(path).symlink_metadata().unwrap();
        let time = meta.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(time.as_secs(), 1_700_000_060, "{path}");
    }
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(out.join("deep/er/run.sh").metadata().unwrap().permissions().mode() & 0o111, 0o111);
    assert!(matches!(mirror.checkout(commit, &out), Err(CheckoutError::NotEmpty(_))));
}

#[test]
fn links_that_leave_the_tree_are_refused() {
    for (links, good) in [
        (vec![("a", "b")], true),
        (vec![("deep/a", "../b")], true),
        (vec![("a", "../b")], false),
        (vec![("a", "/etc/passwd")], false),
        (vec![("deep/a", "../../b")], false),
        // The kernel takes `d/..` as the parent of what `d` leads to.
        (vec![("d", "."), ("e", "d/../x")], false),
        (vec![("d", "p/q"), ("e", "d/../x")], true),
        (vec![("a", "b"), ("b", "a")], false),
    ] {
        let repository = Repository::new();
        for (path, target) in &links {
            let path = repository.work().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
        let commit = repository.commit("links", None);
        let mirror = repository.mirror();
        mirror.fetch().unwrap();
        let result = mirror.checkout(commit, &repository.path("out"));
        match result {
            Ok(()) => assert!(good, "{links:?}"),
            Err(CheckoutError::LinkLeaves { .. }) => assert!(!good, "{links:?}"),
            Err(e) => panic!("{links:?}: {e}"),
        }
    }
}

#[test]
fn what_no_signature_covers_is_refused() {
    let repository = Repository::new();
    repository.write("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    let lfs = repository.commit("lfs", None);
    repository.git(&["rm", "-q", "big.bin"]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{lfs},sub")]);
    repository.git(&["commit", "-q", "-m", "submodule"]);
    let submodule = repository.git(&["rev-parse", "HEAD"]).parse().unwrap();
    repository.git(&["rm", "-q", "--cached", "sub"]);
    repository.write(".countersign/x", "");
    let own = repository.commit("own folder", None);
    let mirror = repository.mirror();
    mirror.fetch().unwrap();
    let refuse = |commit, name: &str| mirror.checkout(commit, &repository.path(name)).unwrap_err();
    assert!(matches!(refuse(lfs, "o1"), CheckoutError::LfsPointer(p) if p == "big.bin"));
    assert!(matches!(refuse(submodule, "o2"), CheckoutError::Submodule(p) if p == "sub"));
    assert!(matches!(refuse(own, "o3"), CheckoutError::Path { .. }));
}

#[test]
fn the_digest_of_paths_changes_with_their_files_only() {
    let repository = Repository::new();
    repository.write("tests/a", "1");
    repository.write("tests-more/b", "1");
    repository.write("src/c", "1");
    let first = repository.commit("first", None);
    repository.write("src/c", "2");
    repository.write("tests-more/b", "2");
    let second = repository.commit("second", None);
    repository.git(&["rm", "-q", "tests/a"]);
    let third = repository.commit("third", None);
    let mirror = repository.mirror();
    mirror.fetch().unwrap();
    let digest = |commit, paths: &[&str]| {
        mirror.tree_digest(commit, &paths.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(digest(first, &["tests"]), digest(second, &["tests/"]));
    assert_ne!(digest(second, &["tests"]), digest(third, &["tests"]));
    assert_ne!(digest(first, &[]), digest(second, &[]));
    assert_eq!(mirror.read(first, "src/c", 10).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(mirror.read(first, "src", 10).unwrap(), None);
    assert!(matches!(mirror.read(first, "src/c", 0), Err(GitError::TooLarge { .. })));
}

#[test]
fn remotes_and_branches_that_could_be_something_else_are_refused() {
    for good in
        ["/srv/git/paydesk.git", "file:///srv/git", "https://git.example/paydesk", "ssh://git@git.example/paydesk"]
    {
        assert!(good.parse::<Remote>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "relative",
        "-upload-pack=x",
        "ext::sh -c x",
        "http://git.example/x",
        "git@host:x",
        "https://",
        "ssh://-oProxyCommand=x/",
        "/a b",
    ] {
        assert!(matches!(bad.parse::<Remote>(), Err(RemoteError::Remote(_))), "{bad}");
    }
    let secret = "https://ada:secret@git.example/x".parse::<Remote>().unwrap_err();
    assert!(!secret.to_string().contains("secret"), "{secret}");
    for bad in ["", "-x", "a..b", "a b", "a/.b", "a.lock", "a//b", "@", "a@{1}", "a:b"] {
        assert!(bad.parse::<Branch>().is_err(), "{bad}");
    }
}

#[test]
fn a_git_that_does_not_end_is_ended_with_all_that_it_started() {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 & sleep 1000"]).process_group(0);
    let started = std::time::Instant::now();
    let error = command::finish(command, "fetch", std::time::Duration::from_millis(50), None).unwrap_err();
    assert_eq!(error.to_string(), "git fetch did not end within 0 s");
    assert!(started.elapsed().as_secs() < 20);

    let mut command = Command::new("sh");
    command.args(["-c", "head -c 300000000 /dev/zero"]).process_group(0);
    let error = command::finish(command, "ls-tree", std::time::Duration::from_secs(60), None).unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
}
