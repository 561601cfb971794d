//! A log whose disk is read-only or full when it starts: it is read, it refuses what is said with the reason, and it takes
//! statements again by itself when the disk can be written.

use std::{fs, io::Write as _, path::Path};

use ledger::store::SqliteStore;

use crate::{
    installation::{Installation, SHORT},
    speaker::Speaker,
    wait::wait_for,
};

#[test]
fn root_a_log_whose_disk_is_read_only_or_full_at_its_start_is_read() {
    let mut it = Installation::make();
    let at = it.dir().join("log");
    it.mount_disk(&at);
    it.up();
    let speaker = Speaker::operator(&it);
    let before = speaker.halt("said before").index_at(&it.log_socket()).unwrap();
    it.is_read(before);

    it.ok(&["down"]);
    it.remount(&at, "ro");
    it.up();
    it.is_read(before);
    it.refuses(&speaker, "the disk of the log is read-only");
    it.remount(&at, "rw");
    it.takes_again(&speaker);
    it.is_read(before);

    // Full, once with the side files that a process leaves and once as whoever closes it last leaves it.
    for is_closed in [false, true] {
        it.ok(&["down"]);
        if is_closed {
            drop(SqliteStore::open(&at.join("log.sqlite3")).unwrap());
            assert!(!at.join("log.sqlite3-shm").exists(), "nothing is left to begin with");
        }
        let filler = at.join("filler");
        fill(&filler);
        it.up();
        it.is_read(before);
        it.refuses(&speaker, "the disk of the log is full");
        fs::remove_file(&filler).unwrap();
        it.takes_again(&speaker);
    }
    it.is_read(before);
    it.ok(&["audit"]);
}

/// Takes every byte that there is.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for piece in [1 << 16, 1 << 10, 1] {
        let full = std::iter::repeat_with(|| file.write_all(&vec![0; piece])).find_map(Result::err).unwrap();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Installation {
    /// A statement with its proof, and its body.
    fn is_read(&self, index: u64) {
        let show = ["log", "show", &index.to_string()];
        // Shown is what is cosigned.
        wait_for("it is cosigned", SHORT, || self.story(), || self.program(&show).status.success().then_some(()));
        let shown = self.ok(&show);
        assert!(shown.contains("said before") && shown.contains("receipt"), "{shown}");
        assert!(self.claims("halt").iter().any(|(found, _)| *found == index));
    }

    fn refuses(&self, speaker: &Speaker, reason: &str) {
        let size = self.statements().len();
        for halt in [speaker.halt("said in vain"), speaker.halt("said in vain").without_its_reason()] {
            let answer = halt.post(&self.log_socket()).unwrap();
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let says_why = text.contains(reason) || text.contains("the store of blobs is full");
            assert!(answer.status == 503 && says_why, "{} {text}", answer.status);
        }
        assert_eq!(self.statements().len(), size);
        wait_for(
            "its status says so",
            SHORT,
            || self.story(),
            || {
                let status = self.ok(&["status"]);
                (status.contains("TROUBLE") && status.contains(reason)).then_some(())
            },
        );
    }

    /// Nobody starts anything: the log finds out.
    fn takes_again(&self, speaker: &Speaker) {
        let said = speaker.halt("said again");
        wait_for("it takes statements again", SHORT, || self.story(), || said.index_at(&self.log_socket()));
    }
}
