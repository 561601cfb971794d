//! Robots only: what an ordinary user, and each process's own user, can reach on a running installation.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    installation::{Installation, both},
    refusals::{NOBODY, ROLES_GROUP},
};

/// Each process's user, by the number that files of installed systems carry.
const USERS: [(&str, u32); 8] = [
    ("log", 2_200_001),
    ("gate", 2_200_002),
    ("builder", 2_200_003),
    ("tester", 2_200_004),
    ("agent", 2_200_005),
    ("edge", 2_200_006),
    ("front", 2_200_007),
    ("watch", 2_200_009),
];

/// A component's user: the first one of production.
const COMPONENT: u32 = 2_210_000;

/// Who is tried: each role, an ordinary person, somebody in nobody's group, a component.
fn everybody() -> Vec<(&'static str, u32, u32)> {
    let roles = USERS.into_iter().map(|(name, uid)| (name, uid, ROLES_GROUP));
    roles
        .chain([("a person", NOBODY, NOBODY), ("another person", 1_000, 1_000), ("a component", COMPONENT, COMPONENT)])
        .collect()
}

/// What a user may try with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    Read,
    Write,
    Make,
    Connect,
}

/// Whether a user can do each of these, as the kernel says. What was made is removed again.
fn can(user: u32, group: u32, tries: &[(Try, PathBuf)]) -> Vec<bool> {
    let script = "import os, socket, sys\n\
                  def act(what, path):\n\
                  \x20   if what == 'Make':\n\
                  \x20       made = os.path.join(path, 'slipped-in')\n\
                  \x20       open(made, 'x').close()\n\
                  \x20       os.remove(made)\n\
                  \x20   elif what == 'Read':\n\
                  \x20       os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(1)\n\
                  \x20   elif what == 'Write':\n\
                  \x20       os.close(os.open(path, os.O_WRONLY))\n\
                  \x20   else:\n\
                  \x20       s = socket.socket(socket.AF_UNIX)\n\
                  \x20       s.settimeout(5)\n\
                  \x20       s.connect(path)\n\
                  for at in range(1, len(sys.argv), 2):\n\
                  \x20   try:\n\
                  \x20       act(sys.argv[at], sys.argv[at + 1])\n\
                  \x20       print(1)\n\
                  \x20   except OSError:\n\
                  \x20       print(0)\n";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script]).uid(user).gid(group);
    for (what, path) in tries {
        command.arg(format!("{what:?}")).arg(path);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", both(&output));
    let answers: Vec<bool> = String::from_utf8_lossy(&output.stdout).lines().map(|line| line == "1").collect();
    assert_eq!(answers.len(), tries.len());
    answers
}

/// What this user may do with what, by ARCHITECTURE.md. What is not told here nobody may.
fn tries(who: &str, is_role: bool) -> Vec<(Try, String, bool)> {
    let mut tries = Vec::new();
    for role in ["log", "gate", "builder", "tester", "agent", "watch"] {
        tries.push((Try::Read, format!("keys/{role}.key"), who == role));
        if who != role {
            tries.push((Try::Write, format!("keys/{role}.key"), false));
        }
    }
    for (role, _) in USERS {
        tries.push((Try::Read, role.to_owned(), who == role));
        tries.push((Try::Make, role.to_owned(), who == role));
        tries.push((Try::Make, format!("run/{role}"), who == role));
        tries.push((Try::Make, format!("status/{role}"), who == role));
    }
    for path in ["secrets", "test-secrets", "restore-points"] {
        tries.push((Try::Read, path.to_owned(), false));
    }
    for path in
        [".", "keys", "executor", "volumes", "secrets", "output", "status", "run", "executor/agent", "executor/tester"]
    {
        tries.push((Try::Make, path.to_owned(), false));
    }
    for path in ["images", "images/blobs/sha256"] {
        tries.push((Try::Make, path.to_owned(), who == "builder"));
    }
    for path in ["charter.jsonl", "settings.json", "up.lock"] {
        tries.push((Try::Write, path.to_owned(), false));
    }
    tries.push((Try::Read, "identities.json".to_owned(), who == "builder"));
    for (role, socket) in
        [("agent", "components"), ("tester", "components"), ("tester", "sandbox"), ("builder", "sandbox")]
    {
        tries.push((Try::Connect, format!("run/{role}/{socket}"), who == role));
    }
    for role in ["log", "edge", "agent"] {
        tries.push((Try::Connect, format!("run/{role}/socket"), is_role));
    }
    tries
}

/// People have no account here that could do any of this, and no role can do another's.
pub(super) fn nobody_reaches_what_is_a_robots(it: &Installation) {
    let volumes = below(&it.dir().join("volumes"));
    assert!(!volumes.is_empty(), "there is a volume");
    let mut found = Vec::new();
    for (who, user, group) in everybody() {
        let asked = tries(who, group == ROLES_GROUP);
        let mut asks: Vec<(Try, PathBuf)> = asked.iter().map(|(what, path, _)| (*what, it.dir().join(path))).collect();
        // A volume is its component's; no other user reads or writes what is in it.
        let whole: Vec<(Try, PathBuf)> = volumes
            .iter()
            .filter(|_| who != "a component")
            .flat_map(|path| {
                [(Try::Read, path.clone()), (if path.is_dir() { Try::Make } else { Try::Write }, path.clone())]
            })
            .collect();
        asks.extend(whole);
        let may = asked.iter().map(|(.., may)| *may).chain(std::iter::repeat(false));
        for (((what, path), is), may) in asks.iter().zip(can(user, group, &asks)).zip(may) {
            if is != may {
                found.push(format!("{who}: {what:?} `{}` is {is}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    people_can_not_run(it);
}

/// Everything below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

/// Without root nothing can be started that an executor would do, and what runs can not be touched.
fn people_can_not_run(it: &Installation) {
    let charter = it.charter().to_string();
    for (role, what) in
        [("agent", "components"), ("tester", "components"), ("builder", "sandbox"), ("tester", "sandbox")]
    {
        let mut command = Command::new(crate::installation::PROGRAM);
        command.args(["executor", role, what, "--charter", &charter, "--dir"]).arg(it.dir()).uid(NOBODY).gid(NOBODY);
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{role} {what}: {}", both(&output));
    }
    let container = it.process("process agent").unwrap();
    for words in [
        vec!["kill".to_owned(), "-9".to_owned(), container.to_string()],
        vec!["cat".to_owned(), format!("/proc/{container}/environ")],
    ] {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).uid(NOBODY).gid(NOBODY);
        assert!(!command.output().unwrap().status.success(), "{words:?}");
    }
}
