//! Roots: images made into erofs file systems, which nobody can write to even after a remount.
//!
//! A root is made once for an image and its mount points and kept by the digest of both. A crash while one is
//! made leaves a file in the work folder, which the next opening throws away.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::{linux::fs::MetadataExt as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use model::Digest;
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    command::{self, BUILD_TIMEOUT, COMMAND_TIMEOUT, Tools},
    image::{Blobs, Image},
    layer::Tree,
};
use crate::{
    driver::{Doing as _, DriverError, failed},
    durable,
};

/// One file system id for all: it is part of the bytes, and the bytes are to depend on the image alone.
const FIXED_UUID: &str = "c0de51a1-0000-4000-8000-000000000001";
/// Goes into the key of a root, so that a change of how roots are made never meets an old one.
const FORMAT: &str = "countersign-root-1";
/// Roots that nothing uses are kept for a rollback; more than this many of the oldest go.
const UNUSED_LIMIT: usize = 16;
/// Folders that every root has, because a read-only root can not get them later.
const MOUNT_POINTS: [(&str, u32); 5] =
    [("/proc", 0o555), ("/sys", 0o555), ("/dev", 0o755), ("/tmp", 0o1777), (SECRETS_PATH, 0o755)];
/// Where a component finds its secrets.
pub(crate) const SECRETS_PATH: &str = "/run/secrets";
/// Where a component finds its guarded values, each a file by its name.
pub(crate) const VALUES_PATH: &str = "/run/countersign/values";

/// What a root must be, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal {
    /// Image and mount points.
    pub(crate) key: Digest,
    /// The image that it was made of.
    pub(crate) image: Digest,
    /// The digest of the file.
    pub(crate) content: Digest,
    /// As it was when it was last hashed; any change asks for another hash.
    pub(crate) stamp: Stamp,
}

/// What changes when a file is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stamp {
    inode: u64,
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
    changed_s: i64,
    changed_ns: i64,
}

/// The folder of roots.
#[derive(Debug)]
pub(crate) struct Roots {
    folder: PathBuf,
    work: PathBuf,
}

impl Roots {
    /// Opens the folder, and throws away what was not finished.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let roots = Self { folder: state.join("roots"), work: state.join("work") };
        if roots.work.exists() {
            fs::remove_dir_all(&roots.work)?;
        }
        durable::make_dir(&roots.folder)?;
        durable::make_dir(&roots.work)?;
        Ok(roots)
    }

    /// The root of this image with these mount points of volumes and values; made if it is not there, or not as it was made.
    pub(crate) fn ensure(
        &self,
        tools: &Tools,
        blobs: &Blobs,
        image: &Image,
        manifest: Digest,
        points: &[&str],
    ) -> Result<Seal, DriverError> {
        let mut text = format!("{FORMAT}\n{manifest}\n");
        for path in points {
            text.push_str(path);
            text.push('\n');
        }
        let key = Digest::of(text.as_bytes());
        if let Some(seal) = self.read(key) {
            match self.check(&seal, true) {
                Ok(_) => return Ok(seal),
                Err(why) => {
                    tracing::warn!(root = %key.short(), error = %why, "a root is not as it was made; making it again")
                }
            }
        }
        self.make(tools, blobs, image, manifest, key, points)
    }

    fn make(
        &self,
        tools: &Tools,
        blobs: &Blobs,
        image: &Image,
        manifest: Digest,
        key: Digest,
        points: &[&str],
    ) -> Result<Seal, DriverError> {
        let what = || format!("the image `{manifest}` can not be unpacked");
        let folder = tempfile::tempdir_in(&self.work).doing(what)?;
        let tree_path = folder.path().join("tree");
        durable::make_dir(&tree_path).doing(what)?;
        fs::set_permissions(&tree_path, fs::Permissions::from_mode(0o755)).doing(what)?;
        let mut tree = Tree::new(&tree_path).doing(what)?;
        for layer in &image.layers {
            tree.apply(blobs, layer).doing(what)?;
        }
        for (path, mode) in MOUNT_POINTS {
            tree.mount_point(path, mode).doing(what)?;
        }
        for path in points {
            tree.mount_point(path, 0o755).doing(what)?;
        }
        // Without it `localhost` is no name in many libraries, and other names are nobody's business.
        tree.default_file("/etc/hosts", b"127.0.0.1 localhost\n").doing(what)?;
        let file = folder.path().join("root.erofs");
        let what = || format!("the root of `{manifest}` can not be made");
        let arguments: [&std::ffi::OsStr; 7] = [
            "--quiet".as_ref(),
            "-T0".as_ref(),
            "-U".as_ref(),
            FIXED_UUID.as_ref(),
            "--all-root".as_ref(),
            file.as_os_str(),
            tree_path.as_os_str(),
        ];
        command::run(&tools.mkfs_erofs, &arguments, b"", BUILD_TIMEOUT).map_err(DriverError::from)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).doing(what)?;
        durable::sync(&file).doing(what)?;
        let target = self.file(key);
        durable::replace(&file, &target).doing(what)?;
        let (content, stamp) = hashed(&target).doing(what)?;
        let seal = Seal { key, image: manifest, content, stamp };
        let text = serde_json::to_vec(&seal).doing(what)?;
        durable::write(&self.note(key), &text, 0o600).doing(what)?;
        Ok(seal)
    }

    fn read(&self, key: Digest) -> Option<Seal> {
        let text = fs::read(self.note(key)).ok()?;
        serde_json::from_slice(&text).ok().filter(|seal: &Seal| seal.key == key)
    }

    /// Whether the file is what it was when it was made: by its stamp, and by its content if the stamp
    /// differs or `deep` asks for it. Returns the stamp that it has now.
    pub(crate) fn check(&self, seal: &Seal, deep: bool) -> Result<Stamp, DriverError> {
        let what = || "the file of the root can not be read".to_owned();
        let path = self.file(seal.key);
        let stamp = stamp(&fs::symlink_metadata(&path).doing(what)?);
        if !deep && stamp == seal.stamp {
            return Ok(stamp);
        }
        let (content, stamp) = hashed(&path).doing(what)?;
        if content == seal.content {
            Ok(stamp)
        } else {
            Err(failed(
                "the root has been changed",
                format!("its file has the digest `{content}` instead of `{}`", seal.content),
            ))
        }
    }

    /// Mounts a root read-only.
    pub(crate) fn mount(&self, tools: &Tools, seal: &Seal, target: &Path) -> Result<(), DriverError> {
        let what = || format!("the root can not be mounted at `{}`", target.display());
        unmount(target).doing(what)?;
        durable::make_dir(target).doing(what)?;
        let file = self.file(seal.key);
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        match mount(Some(&file), target, Some("erofs"), flags, None::<&str>) {
            Ok(()) => Ok(()),
            // Before Linux 6.12 a file must be made a block device first.
            Err(Errno::ENOTBLK) => self.mount_by_loop(tools, seal, target),
            Err(Errno::ENODEV) => Err(DriverError::Host {
                what: "this kernel does not know erofs".to_owned(),
                hint: "load the module (`modprobe erofs`) or install a kernel that has it (Linux 5.4 or newer)"
                    .to_owned(),
            }),
            Err(error) => Err(error).doing(what),
        }
    }

    /// Mounts a root by a loop device, which goes when it is unmounted.
    pub(crate) fn mount_by_loop(&self, tools: &Tools, seal: &Seal, target: &Path) -> Result<(), DriverError> {
        let file = self.file(seal.key);
        let options = "ro,nodev,nosuid,loop";
        let arguments: [&std::ffi::OsStr; 6] =
            ["-t".as_ref(), "erofs".as_ref(), "-o".as_ref(), options.as_ref(), file.as_os_str(), target.as_os_str()];
        command::run(&tools.mount, &arguments, b"", COMMAND_TIMEOUT)?;
        Ok(())
    }

    /// Removes the oldest roots that nothing uses, beyond those kept for a rollback.
    pub(crate) fn tidy(&self, used: impl Fn(Digest) -> bool) -> io::Result<()> {
        let mut unused = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(key) = name.strip_suffix(".erofs").and_then(|hex| Digest::from_hex(hex).ok())
                && !used(key)
            {
                unused.push((entry.metadata()?.st_mtime(), key));
            }
        }
        unused.sort_unstable();
        let surplus = unused.len().saturating_sub(UNUSED_LIMIT);
        for (_, key) in unused.into_iter().take(surplus) {
            durable::remove(&self.note(key))?;
            durable::remove(&self.file(key))?;
        }
        Ok(())
    }

    fn file(&self, key: Digest) -> PathBuf {
        self.folder.join(format!("{}.erofs", key.hex()))
    }

    fn note(&self, key: Digest) -> PathBuf {
        self.folder.join(format!("{}.json", key.hex()))
    }
}

/// Takes away every mount at this path; none is fine.
pub(crate) fn unmount(target: &Path) -> Result<(), Errno> {
    /// A crash between two mounts at one place is repeated by nobody this often.
    const STACKED_LIMIT: usize = 16;
    for _ in 0..STACKED_LIMIT {
        let gone = match umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
            // Somebody looks at it: it goes when they have finished, and nobody new gets in.
            Err(Errno::EBUSY) => umount2(target, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH),
            other => other,
        };
        match gone {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EBUSY)
}

fn stamp(found: &fs::Metadata) -> Stamp {
    Stamp {
        inode: found.st_ino(),
        bytes: found.st_size(),
        modified_s: found.st_mtime(),
        modified_ns: found.st_mtime_nsec(),
        changed_s: found.st_ctime(),
        changed_ns: found.st_ctime_nsec(),
    }
}

fn hashed(path: &Path) -> io::Result<(Digest, Stamp)> {
    /// Bytes hashed at a time.
    const CHUNK: usize = 256 << 10;
    let mut file = File::open(path)?;
    let before = stamp(&file.metadata()?);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            return Ok((Digest::from_bytes(hash.finalize().into()), before));
        }
        hash.update(chunk.get(..length).unwrap_or_default());
    }
}
