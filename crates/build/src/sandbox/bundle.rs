//! The OCI bundle of one sandbox: its root, made of the host's programs and almost nothing of its configuration,
//! and `config.json` (OCI runtime specification 1.0.2).
//!
//! The bundle is on a file system in memory that only the mount namespace of its maker sees.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{SandboxPlan, WORKSPACE, seccomp};

/// Parts of `/etc` that hold no secrets and that programs do not work without; what is missing is left out.
const ETC: [&str; 6] = ["alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl/certs", "pki/tls/certs"];
/// Folders of the host's programs. On merged systems all but `usr` are links into it.
const PROGRAMS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// The core file of a crash would be written to the workspace and hold its memory.
const CORE_LIMIT: u64 = 0;
/// One file; a limit that linkers of large programs stay below.
const FILE_LIMIT_BYTES: u64 = 16 << 30;
/// The period of the CPU share, the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// Where things are while one sandbox runs.
pub(super) struct Places {
    /// The bundle.
    pub(super) bundle: PathBuf,
    /// The workspace, mounted below the bundle so that nobody can exchange it any more.
    pub(super) workspace: PathBuf,
    /// The network namespace.
    pub(super) netns: PathBuf,
    /// The cgroup, from the root of the hierarchy.
    pub(super) cgroup: String,
    /// Whether the kernel counts swap.
    pub(super) counts_swap: bool,
    /// Variables that the network needs (proxies).
    pub(super) network: BTreeMap<String, String>,
}

/// Writes root and configuration.
pub(super) fn write(plan: &SandboxPlan, places: &Places) -> io::Result<()> {
    let root = places.bundle.join("rootfs");
    let mut mounts = Vec::new();
    for name in PROGRAMS {
        let host = Path::new("/").join(name);
        match fs::symlink_metadata(&host) {
            Ok(meta) if meta.is_symlink() => symlink(fs::read_link(&host)?, root.join(name))?,
            Ok(meta) if meta.is_dir() => mounts.push(bind(&host, &host, true)),
            _ => {}
        }
    }
    write_etc(plan, &root, &mut mounts)?;
    for name in ["proc", "dev", "tmp", "workspace"] {
        fs::create_dir(root.join(name))?;
    }
    // `runc` gives a file system in memory the mode of the folder under it, whatever its options say.
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    for mount in &plan.mounts {
        mounts.push(bind(&mount.source, &mount.target, true));
    }
    mounts.push(bind(&places.workspace, Path::new(WORKSPACE), false));
    let config = config(plan, places, mounts);
    write_new(&places.bundle.join("config.json"), &config.to_string())
}

fn write_etc(plan: &SandboxPlan, root: &Path, mounts: &mut Vec<Value>) -> io::Result<()> {
    let etc = root.join("etc");
    fs::create_dir(&etc)?;
    let (uid, gid) = (plan.uid, plan.gid);
    write_new(
        &etc.join("passwd"),
        &format!("root:x:0:0:root:/:/usr/sbin/nologin\nbuild:x:{uid}:{gid}:build:/tmp:/bin/sh\n"),
    )?;
    write_new(&etc.join("group"), &format!("root:x:0:\nbuild:x:{gid}:\n"))?;
    write_new(&etc.join("hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
    write_new(&etc.join("nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files\n")?;
    write_new(&etc.join("resolv.conf"), "")?;
    for name in ETC {
        let host = Path::new("/etc").join(name);
        if host.exists() {
            mounts.push(bind(&host, &host, true));
        }
    }
    Ok(())
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).create_new(true).open(path)?, content.as_bytes())
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    json!({ "destination": target, "source": source, "type": "bind", "options": ["bind", access, "nosuid", "nodev"] })
}

fn config(plan: &SandboxPlan, places: &Places, bound: Vec<Value>) -> Value {
    let limits = plan.limits;
    let memory = i64::from(limits.memory_mib) << 20;
    let mut resources = json!({
        "memory": { "limit": memory },
        "cpu": { "period": CPU_PERIOD_US, "quota": u64::from(limits.cpu_percent) * CPU_PERIOD_US / 100 },
        "pids": { "limit": limits.pids },
        "devices": [{ "allow": false, "access": "rwm" }],
    });
    if places.counts_swap
        && let Some(section) = resources.get_mut("memory").and_then(Value::as_object_mut)
    {
        section.insert("swap".to_owned(), json!(memory));
    }
    let tmpfs = |target: &str, options: &[&str]| json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options });
    let size = format!("size={}m", limits.tmp_mib);
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        tmpfs("/dev", &["nosuid", "noexec", "strictatime", "mode=755", "size=64k"]),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] }),
        tmpfs("/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]),
        tmpfs("/tmp", &["nosuid", "nodev", "mode=1777", &size]),
    ];
    mounts.extend(bound);
    let none: [&str; 0] = [];
    json!({
        "ociVersion": "1.0.2",
        "hostname": "countersign",
        "process": {
            "terminal": false,
            "user": { "uid": plan.uid, "gid": plan.gid, "umask": 0o022 },
            "args": plan.command,
            "env": environment(plan, places),
            "cwd": plan.directory,
            "capabilities": { "bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none },
            "rlimits": [
                { "type": "RLIMIT_CORE", "soft": CORE_LIMIT, "hard": CORE_LIMIT },
                { "type": "RLIMIT_FSIZE", "soft": FILE_LIMIT_BYTES, "hard": FILE_LIMIT_BYTES },
            ],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": mounts,
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "cgroup" },
                { "type": "network", "path": places.netns },
            ],
            "cgroupsPath": places.cgroup,
            "resources": resources,
            "seccomp": seccomp::profile(),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    })
}

/// The fixed variables, then those of the plan, then those of the network; the last one counts.
fn environment(plan: &SandboxPlan, places: &Places) -> Vec<String> {
    let mut all: BTreeMap<&str, &str> = BTreeMap::from([
        ("PATH", "/opt/toolchain/bin:/opt/tools:/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/tmp"),
        ("TMPDIR", "/tmp"),
        ("USER", "build"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
    ]);
    all.extend(plan.environment.iter().chain(&places.network).map(|(k, v)| (k.as_str(), v.as_str())));
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}
