//! Another host that joins the log of an installation: a folder with networks of its own, and the keys of its robot alone.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    fabric::Fabric,
    installation::{Installation, PROGRAM, both, charter_hash},
    left::left_behind,
};

/// The second host.
pub(crate) struct Host {
    dir: PathBuf,
    scope: String,
    #[expect(dead_code, reason = "its networks are let go of when this ends")]
    fabric: Fabric,
}

impl Host {
    /// As an administrator sets it up: the charter, settings, its robot's own key, and for an agent what the builder made.
    pub(crate) fn join(it: &Installation, role: &str) -> Self {
        let dir = it.path("e");
        fs::create_dir_all(dir.join("keys")).unwrap();
        let mut scope = model::Digest::of(dir.canonicalize().unwrap().to_string_lossy().as_bytes()).short();
        scope.truncate(8);
        let fabric = Fabric::take(u8::from_str_radix(&scope[..2], 16).unwrap());
        fs::copy(it.dir().join("charter.jsonl"), dir.join("charter.jsonl")).unwrap();
        fs::copy(it.path("second"), dir.join(format!("keys/{role}.key"))).unwrap();
        if role == "agent" {
            symlink(it.dir().join("images"), dir.join("images")).unwrap();
        }
        let mut settings: Value = serde_json::from_slice(&fs::read(it.dir().join("settings.json")).unwrap()).unwrap();
        settings["host"] = "second".into();
        settings["log"] = format!("http://{}", it.front).into();
        settings["fabric"] = serde_json::json!(fabric.prefix());
        fs::write(dir.join("settings.json"), settings.to_string()).unwrap();
        let host = Self { dir, scope, fabric };
        host.ok(&["up", "--detach"]);
        host
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = Command::new(PROGRAM).args(args).arg("--dir").arg(&self.dir).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", both(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The last lines of what its processes print.
    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for entry in fs::read_dir(self.dir.join("output")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(12)..] {
                story += &format!("second {}: {line}\n", entry.file_name().to_string_lossy());
            }
        }
        let status =
            |role: &str| fs::read_to_string(self.dir.join(format!("status/{role}/status.json"))).unwrap_or_default();
        story + &status("agent") + &status("builder")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
        let charter = charter_hash(&self.dir).unwrap();
        let steps: [&[&str]; 2] = [&["down"], &["executor", "agent", "components", "--purge", "--charter", &charter]];
        let mut troubles = Vec::new();
        for args in steps {
            let output = Command::new(PROGRAM).args(args).arg("--dir").arg(&self.dir).output().unwrap();
            if !output.status.success() {
                troubles.push(both(&output));
            }
        }
        troubles.extend(left_behind(&self.dir, &self.scope));
        if std::thread::panicking() {
            eprintln!("while cleaning: {troubles:#?}");
        } else {
            assert!(troubles.is_empty(), "{troubles:#?}");
        }
    }
}
