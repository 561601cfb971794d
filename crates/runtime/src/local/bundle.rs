//! The OCI bundle of an instance: everything that runc is told (OCI runtime-spec 1.0).
//!
//! Pure: from the plan and the places prepared for it to one document. Refuses to know files and processes.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path};

use model::release::Component;
use oci_spec::runtime::Spec;
use rollout::instance::InstanceSpec;
use serde_json::{Value, json};

use super::{
    command::PATH,
    image::Image,
    root::{SECRETS_PATH, VALUES_PATH},
    seccomp,
};
use crate::driver::{Doing as _, DriverError};

/// The scheduler's period in microseconds; the kernel's own default (Linux `Documentation/scheduler/sched-bwc.rst`).
pub(crate) const CPU_PERIOD_US: u64 = 100_000;
/// Open files of one process; servers with many connections ask for this much, and few hosts allow more.
pub(crate) const OPEN_FILES_LIMIT: u64 = 65_536;
/// Bytes in a MiB.
pub(crate) const MIB: u64 = 1 << 20;

/// The places that were prepared for an instance.
pub(crate) struct Places<'a> {
    /// Where its root is mounted.
    pub(crate) root: &'a Path,
    /// Its network namespace.
    pub(crate) network: &'a Path,
    /// Its cgroup, from the top of each hierarchy.
    pub(crate) cgroup: &'a str,
    /// Its uid and gid.
    pub(crate) uid: u32,
    /// Its secrets in memory, if it has any.
    pub(crate) secrets: Option<&'a Path>,
    /// Its guarded values in memory, if it has any.
    pub(crate) values: Option<&'a Path>,
    /// Its volumes: the path on the host by the path inside.
    pub(crate) volumes: BTreeMap<&'a str, &'a Path>,
    /// The hard limit of open files here, which nobody without privileges can raise.
    pub(crate) open_files: u64,
    /// Whether the kernel counts swap, so that it can be refused.
    pub(crate) counts_swap: bool,
}

/// The bundle's `config.json`.
pub(crate) fn spec(spec: &InstanceSpec, image: &Image, places: &Places<'_>) -> Result<Spec, DriverError> {
    let value = document(spec, image, places)?;
    serde_json::from_value(value).doing(|| "the bundle does not fit the OCI runtime specification".to_owned())
}

pub(crate) fn document(spec: &InstanceSpec, image: &Image, places: &Places<'_>) -> Result<Value, DriverError> {
    let component = &spec.component;
    let seccomp = seccomp::profile().ok_or_else(|| DriverError::Host {
        what: format!("there is no system call profile for `{}`", std::env::consts::ARCH),
        hint: "run components on x86_64, aarch64 or riscv64".to_owned(),
    })?;
    let command = if component.command.is_empty() { &image.command } else { &component.command };
    if command.is_empty() {
        return Err(DriverError::Refused(format!(
            "the image of `{}` has no entry point: give the component a `command` in the manifest",
            component.name
        )));
    }
    let files = places.open_files.min(OPEN_FILES_LIMIT);
    let memory = memory_bytes(component);
    let mut memory_section = json!({ "limit": memory });
    if places.counts_swap
        && let Some(section) = memory_section.as_object_mut()
    {
        section.insert("swap".to_owned(), json!(memory));
    }
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": places.uid, "gid": places.uid, "umask": 0o077 },
            "args": command,
            "env": environment(spec, image),
            "cwd": image.folder.as_deref().unwrap_or("/"),
            "capabilities": { "bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": [] },
            "rlimits": [
                { "type": "RLIMIT_NOFILE", "hard": files, "soft": files },
                { "type": "RLIMIT_CORE", "hard": 0, "soft": 0 },
            ],
            "noNewPrivileges": true,
        },
        "root": { "path": places.root, "readonly": true },
        "hostname": component.name.as_str(),
        "mounts": mounts(component, places),
        "linux": {
            "cgroupsPath": places.cgroup,
            "namespaces": [
                { "type": "pid" },
                { "type": "mount" },
                { "type": "uts" },
                { "type": "ipc" },
                { "type": "cgroup" },
                { "type": "network", "path": places.network },
            ],
            "resources": {
                "devices": [{ "allow": false, "access": "rwm" }],
                "memory": memory_section,
                "cpu": { "period": CPU_PERIOD_US, "quota": cpu_quota_us(component) },
                "pids": { "limit": component.limits.pids },
            },
            "seccomp": seccomp,
            "rootfsPropagation": "private",
            // What Moby masks: kernel interfaces that tell or change things about the host.
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/selinux", "/sys/dev/block",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }))
}

/// The most memory, in bytes.
pub(crate) fn memory_bytes(component: &Component) -> u64 {
    u64::from(component.limits.memory_mib) * MIB
}

/// The share of the scheduler's period, in microseconds; the kernel takes no less than 1,000.
pub(crate) fn cpu_quota_us(component: &Component) -> u64 {
    (u64::from(component.limits.cpu_percent) * CPU_PERIOD_US / 100).max(1_000)
}

fn mounts(component: &Component, places: &Places<'_>) -> Vec<Value> {
    let tmp = component.limits.tmp_mib;
    let hard = ["nosuid", "nodev", "noexec"];
    let tmpfs = |path: &str, size: String| json!({ "destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec", "mode=1777", size] });
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": hard }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "nodev", "noexec", "ro"] }),
        // Device nodes and nothing else: only root, which nobody is, may write here.
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=64k"] }),
        tmpfs("/dev/shm", format!("size={tmp}m")),
        tmpfs("/tmp", format!("size={tmp}m")),
    ];
    for (path, source) in [(SECRETS_PATH, places.secrets), (VALUES_PATH, places.values)] {
        let Some(source) = source else { continue };
        mounts.push(json!({ "destination": path, "type": "bind", "source": source, "options": ["bind", "ro", "nosuid", "nodev", "noexec"] }));
    }
    for (inside, outside) in &places.volumes {
        mounts.push(json!({ "destination": inside, "type": "bind", "source": outside, "options": ["bind", "rw", "nosuid", "nodev", "noexec"] }));
    }
    mounts
}

/// The image's variables, then the component's, then ours, each over the one before.
fn environment(spec: &InstanceSpec, image: &Image) -> Vec<String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    all.insert("PATH".to_owned(), PATH.to_owned());
    all.extend(
        image.environment.iter().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    all.extend(spec.component.environment.clone());
    for (variable, addresses) in &spec.peers {
        let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        all.insert(variable.clone(), list.join(","));
    }
    for (variable, secret) in &spec.component.secrets {
        all.insert(variable.clone(), format!("{SECRETS_PATH}/{secret}"));
    }
    all.insert("COUNTERSIGN_SERIAL".to_owned(), spec.id.serial.to_string());
    all.insert("COUNTERSIGN_COMPONENT".to_owned(), spec.id.component.to_string());
    all.insert("COUNTERSIGN_ENVIRONMENT".to_owned(), spec.id.environment.to_string());
    all.insert("PORT".to_owned(), spec.component.port.to_string());
    all.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}
