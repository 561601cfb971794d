//! Bad components, a damaged image, a full disk, a log that was set back: each says so and loses nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use model::Timestamp;

use crate::{
    installation::{Installation, LONG, PROGRAM, SHORT},
    request::get,
    wait::wait_for,
};

#[test]
fn root_bad_components_and_damaged_images_go_back_and_the_rest_runs_on() {
    let it = Installation::start();
    it.replace(
        "countersign.toml",
        "command = [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"8081\", \"-h\", \"/www\"]",
        "command = [\"/bin/busybox\", \"sh\", \"-c\", \"trap : TERM; /bin/busybox httpd -f -p 8081 -h /www & while :; do wait; done\"]",
    );
    // It has ten seconds to end before it is ended; a hand-over must hold its requests for longer than that.
    it.replace("countersign.toml", "hold_ms = 10000", "hold_ms = 20000");
    it.first_release();

    // One that eats memory and one that forks without end hurt nobody but themselves, and not for long.
    for greedy in ["hog", "forks"] {
        drop(get(it.exposed, &format!("/cgi-bin/greedy?{greedy}")));
        wait_for(
            &format!("served after {greedy}"),
            SHORT,
            || it.story(),
            || get(it.exposed, &format!("/cgi-bin/visit?visit-{greedy}")).ok().filter(|a| a.status == 200),
        );
    }

    // One that is well in its tests and never on what production holds goes back, and the old one, which does not end
    // when it is asked to, keeps what it had.
    it.replace("well.sh", "exec", "if /bin/busybox grep -q visit-first /data/visits; then exit 1; fi\nexec");
    it.push("Not on my data");
    it.approve("visits-000002");
    let end = it.wait_end("visits-000002");
    assert!(end.starts_with("went-back"), "{end}\n{}", it.story());
    assert_eq!(it.visit("visit-after"), ["visits-000001", "visits-000001"]);
    assert_eq!(it.kept().get("visit-first"), Some(&1));

    // An image that is not what was approved any more is not started.
    it.replace("well.sh", "if /bin/busybox grep -q visit-first /data/visits; then exit 1; fi\nexec", "exec");
    it.write("version", "3");
    it.push("Version 3");
    let proposal = it.proposal("visits-000003");
    let claim = it.claims("proposal").into_iter().find(|(index, _)| *index == proposal).unwrap().1;
    let image = claim["images"][1]["image"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let blob = it.dir().join("images/blobs/sha256").join(image);
    let whole = fs::read(&blob).unwrap();
    fs::write(&blob, [whole.as_slice(), b" "].concat()).unwrap();
    it.approve("visits-000003");
    wait_for(
        "the damage is noticed",
        LONG,
        || it.story(),
        || {
            let milestones = it.milestones("visits-000003");
            assert!(!milestones.iter().any(|m| m == "switched" || m == "live"), "{milestones:?}");
            milestones.iter().any(|m| m.starts_with("went-back")).then_some(())
        },
    );
    assert_eq!(it.visit("visit-damaged"), ["visits-000001", "visits-000001"]);

    it.write("version", "4");
    it.push("Version 4");
    it.approve("visits-000004");
    assert_eq!(it.wait_end("visits-000004"), "live", "{}", it.story());
    let kept = it.kept();
    assert!(["visit-first", "visit-after", "visit-damaged"].iter().all(|v| kept.get(*v) == Some(&1)), "{kept:?}");
}

#[test]
fn root_a_full_disk_and_a_log_that_was_set_back_lose_nothing() {
    let mut it = Installation::make();
    it.mount_tmpfs(&it.dir().join("log"), "8m");
    it.up();
    it.first_release();

    // One `up` a folder.
    let said = it.refused(4, &["up"]);
    assert!(said.contains("is in use by another `countersign up`"), "{said}");

    // A key that others may read is not used.
    it.write("version", "2");
    it.push("Version 2");
    let proposal = it.proposal("visits-000002").to_string();
    fs::set_permissions(it.key("cora"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = it.refused_as("cora", 2, &["approve", &proposal, "--yes"]);
    assert!(said.contains("can not be used"), "{said}");
    fs::set_permissions(it.key("cora"), fs::Permissions::from_mode(0o600)).unwrap();

    // No room: nothing is taken, everything can be read, and it goes on when there is room.
    let filler = it.dir().join("log/filler");
    let mut zeros = std::io::repeat(0);
    let full = std::io::copy(&mut zeros, &mut fs::File::create(&filler).unwrap()).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let ends = next_month();
    let said = wait_for(
        "the log refuses",
        SHORT,
        || it.story(),
        || {
            // Not a stop, which the agent would take: one person's exception, which counts for nothing.
            let key = it.key("cora").to_string_lossy().into_owned();
            let case = ["except", "source", "visits › first", "--owner", "dan", "--ends", &ends];
            let output = it.program(&[&case[..], &["--key", &key]].concat());
            (!output.status.success()).then(|| crate::installation::both(&output))
        },
    );
    assert!(said.contains("could not be stored") || said.contains("has stopped writing"), "{said}");
    assert!(!it.statements().is_empty(), "the log can not be read");
    assert_eq!(it.visit("visit-full"), ["visits-000001", "visits-000001"]);
    fs::remove_file(&filler).unwrap();
    it.approve_at_last("visits-000002");
    assert_eq!(it.wait_end("visits-000002"), "live", "{}", it.story());

    // The log of an hour ago.
    let size = it.statements().len();
    it.ok(&["down", "--leave-components"]);
    let (log, new, old) = (it.dir().join("log"), it.path("new"), it.path("old"));
    copy(&log, &old);
    it.up();
    it.write("version", "3");
    it.push("Version 3");
    it.approve("visits-000003");
    assert_eq!(it.wait_end("visits-000003"), "live", "{}", it.story());
    it.ok(&["down", "--leave-components"]);
    copy(&log, &new);
    copy(&old, &log);
    let mut up = in_the_foreground(&it);
    wait_for(
        "the agent does not believe the log",
        SHORT,
        || it.story(),
        || {
            let output = fs::read_to_string(it.dir().join("output/agent.log")).ok()?;
            output.contains("the log is not believed any more").then_some(())
        },
    );
    // What the agent had accepted before is the evidence: it is not replaced by the smaller one.
    let kept = fs::read_to_string(it.dir().join("agent/checkpoint")).unwrap();
    let remembered: usize = kept.lines().nth(1).unwrap().parse().unwrap();
    assert!(remembered > size, "{kept}");
    assert_eq!(it.visit("visit-set-back"), ["visits-000003", "visits-000003"]);
    it.ok(&["down", "--leave-components"]);
    up.wait().unwrap();

    copy(&new, &log);
    it.up();
    assert!(it.statements().len() > size);
    assert_eq!(it.visit("visit-last"), ["visits-000003", "visits-000003"]);
    it.ok(&["audit"]);
}

/// The date thirty days from now.
fn next_month() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_unix(now + 30 * 86_400).to_string().chars().take("2027-09-01".len()).collect()
}

/// `up` as it is run by hand: whoever asks is not told that it is ready.
pub(crate) fn in_the_foreground(it: &Installation) -> Child {
    Command::new(PROGRAM)
        .args(["up", "--dir"])
        .arg(it.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Copies what is in a folder with its owners, in place of what is there.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(to).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let done = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).output().unwrap();
    assert!(done.status.success(), "{}", crate::installation::both(&done));
}
