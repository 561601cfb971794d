//! Programs that do as they are told until their number comes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::fixture::{World, put};
use crate::local::{Tools, command};

/// What happens at the chosen program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails and does nothing.
    Lost,
    /// It does its work and fails.
    DoneButFailed,
    /// The executor is killed before it.
    KilledBefore,
    /// The executor is killed after it.
    KilledAfter,
}

/// Programs that count themselves, and do as the fault says when their number comes.
pub(crate) struct Faulty {
    folder: PathBuf,
}

impl Faulty {
    pub(crate) fn new(world: &World) -> Self {
        let folder = world.folder.path().join("faulty");
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// Tools of which the one that is run as number `at` has this fault.
    pub(crate) fn tools(&self, fault: Fault, at: u32) -> Tools {
        put(&self.folder.join("count"), b"0");
        let real = Tools::default();
        let wrap = |tool: &Path| {
            let (name, real) = (tool.to_str().unwrap(), command::found(tool).unwrap());
            let real = real.display();
            let deed = match fault {
                Fault::Lost => "echo 'injected' >&2; exit 1".to_owned(),
                Fault::DoneButFailed => format!("{real} \"$@\"; echo 'injected' >&2; exit 1"),
                Fault::KilledBefore => "kill -9 $(cat executor); exit 1".to_owned(),
                Fault::KilledAfter => format!("{real} \"$@\"; kill -9 $(cat executor); exit 0"),
            };
            let folder = self.folder.display();
            // runc in the foreground ends with its container; killed after it means after its beginning.
            let deed = if name == "runc" && fault == Fault::KilledAfter {
                format!(
                    "case \"$*\" in *' run '*) (while [ ! -s \"$OLDPWD/pid\" ]; do :; done; kill -9 $(cat executor)) & cd \"$OLDPWD\"; exec {real} \"$@\" ;; esac; {deed}"
                )
            } else if name == "runc" && fault == Fault::KilledBefore {
                // The container is being made while the executor is opened again.
                format!("kill -9 $(cat executor); cd \"$OLDPWD\"; exec {real} \"$@\"")
            } else if name == "runc" && fault == Fault::DoneButFailed {
                format!("cd \"$OLDPWD\"; {deed}")
            } else {
                deed
            };
            let text = format!(
                "#!/bin/sh\ncd {folder}\nn=$(($(cat count) + 1))\necho $n >count\nif [ $n -eq {at} ]; then {deed}; fi\ncd \"$OLDPWD\"\nexec {real} \"$@\"\n"
            );
            let path = self.folder.join(name);
            put(&path, text.as_bytes());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        Tools {
            runc: wrap(&real.runc),
            ip: wrap(&real.ip),
            nft: wrap(&real.nft),
            mkfs_erofs: wrap(&real.mkfs_erofs),
            mount: wrap(&real.mount),
            cp: wrap(&real.cp),
        }
    }

    /// How many programs were run.
    pub(crate) fn count(&self) -> u32 {
        fs::read_to_string(self.folder.join("count")).unwrap().trim().parse().unwrap()
    }
}
