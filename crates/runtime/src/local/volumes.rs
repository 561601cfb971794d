//! Volumes, and the restore points of them.
//!
//! `<volumes>/<environment>/<system>/<component>/<volume>` and
//! `<restore>/<environment>/<system>/<component>/<serial>/{volumes,done.json}`. A restore point appears by one
//! rename when it is whole; a restore is one exchange of two names, so that no crash leaves a component
//! without its volumes.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use model::{ComponentName, EnvironmentName, Serial, SystemName, Timestamp};
use nix::{
    fcntl::{RenameFlags, renameat2},
    unistd::syncfs,
};
use rollout::instance::{InstanceSpec, RestorePoint};

use super::command::{self, BUILD_TIMEOUT, Tools};
use crate::{
    driver::{Doing as _, DriverError},
    durable,
};

/// Restore points of a component; a rollback goes one version back, so older ones are for people.
const RESTORE_POINTS_LIMIT: usize = 16;
/// States of a component that a restore has replaced.
const REPLACED_LIMIT: usize = 4;

/// The two folders.
#[derive(Clone, Debug)]
pub(crate) struct Volumes {
    pub(crate) folder: PathBuf,
    pub(crate) restore: PathBuf,
}

impl Volumes {
    fn system(&self, environment: &EnvironmentName, system: &SystemName) -> PathBuf {
        self.folder.join(environment.as_str()).join(system.as_str())
    }

    fn points(&self, environment: &EnvironmentName, system: &SystemName, component: &ComponentName) -> PathBuf {
        self.restore.join(environment.as_str()).join(system.as_str()).join(component.as_str())
    }

    /// Makes the volumes of an instance where they are missing; returns the path here by the path inside.
    pub(crate) fn ensure<'a>(
        &self,
        spec: &'a InstanceSpec,
        uid: u32,
    ) -> Result<BTreeMap<&'a str, PathBuf>, DriverError> {
        let folder = self.system(&spec.id.environment, spec.system()).join(spec.id.component.as_str());
        let mut places = BTreeMap::new();
        for volume in &spec.component.volumes {
            inside_is_sound(&volume.path)?;
            let what = || format!("the volume `{}` can not be made", volume.name);
            let path = folder.join(volume.name.as_str());
            if !path.exists() {
                durable::make_dir(&path).doing(what)?;
            }
            chown(&path, Some(uid), Some(uid)).doing(what)?;
            fs::set_permissions(&path, Permissions::from_mode(0o700)).doing(what)?;
            places.insert(volume.path.as_str(), path);
        }
        Ok(places)
    }

    /// Copies the volumes of a component; one that is there already stays as it is.
    pub(crate) fn save(
        &self,
        tools: &Tools,
        environment: &EnvironmentName,
        component: &ComponentName,
        before: &Serial,
        now: Timestamp,
    ) -> Result<(), DriverError> {
        let what = || format!("the restore point of `{component}` before `{before}` can not be made");
        let points = self.points(environment, before.system(), component);
        let target = points.join(before.to_string());
        let part = points.join(format!(".{before}.part"));
        let from = self.system(environment, before.system()).join(component.as_str());
        copy(tools, &from, &part.join("volumes"), &part).doing(what)?;
        let done = RestorePoint {
            environment: environment.clone(),
            component: component.clone(),
            before: before.clone(),
            at: now,
        };
        durable::write(&part.join("done.json"), &serde_json::to_vec(&done).doing(what)?, 0o600).doing(what)?;
        // A copy of an earlier attempt of the same version is of older data: going back to it would lose what was
        // written since. It is moved aside first; a crash in between leaves no point, and the step is done again.
        let old = points.join(format!(".{before}.old"));
        if target.exists() {
            if old.exists() {
                fs::remove_dir_all(&old).doing(what)?;
            }
            durable::replace(&target, &old).doing(what)?;
        }
        durable::replace(&part, &target).doing(what)?;
        if old.exists() {
            fs::remove_dir_all(&old).doing(what)?;
        }
        let mut all = read_points(&points).doing(what)?;
        all.sort_by_key(|point| point.at);
        for old in all.iter().rev().skip(RESTORE_POINTS_LIMIT) {
            fs::remove_dir_all(points.join(old.before.to_string())).doing(what)?;
        }
        Ok(())
    }

    /// Puts the volumes of a component back; what is there now is kept in `.replaced` beside it.
    pub(crate) fn restore(
        &self,
        tools: &Tools,
        environment: &EnvironmentName,
        component: &ComponentName,
        before: &Serial,
    ) -> Result<(), DriverError> {
        let what = || format!("the volumes of `{component}` can not be put back to before `{before}`");
        let point = self.points(environment, before.system(), component).join(before.to_string());
        if !point.join("done.json").is_file() {
            return Err(DriverError::Refused(format!(
                "there is no restore point of `{component}` in `{environment}` before `{before}`"
            )));
        }
        let system = self.system(environment, before.system());
        let replaced = system.join(".replaced");
        durable::make_dir(&replaced).doing(what)?;
        let part = replaced.join(format!(".{component}.part"));
        copy(tools, &point.join("volumes"), &part, &part).doing(what)?;
        let kept = numbered(&replaced, component).doing(what)?;
        let next = kept.last().map_or(1, |(number, _)| number + 1);
        let staged = replaced.join(format!("{component}.{next:06}"));
        durable::replace(&part, &staged).doing(what)?;
        let current = system.join(component.as_str());
        if !current.exists() {
            durable::make_dir(&current).doing(what)?;
        }
        let here = nix::fcntl::AT_FDCWD;
        renameat2(here, &staged, here, &current, RenameFlags::RENAME_EXCHANGE).doing(what)?;
        durable::sync(&replaced).doing(what)?;
        durable::sync(&system).doing(what)?;
        for (_, old) in kept.iter().rev().skip(REPLACED_LIMIT - 1) {
            fs::remove_dir_all(old).doing(what)?;
        }
        Ok(())
    }

    /// All restore points.
    pub(crate) fn restore_points(&self) -> Result<Vec<RestorePoint>, DriverError> {
        let what = || format!("the restore points in `{}` can not be read", self.restore.display());
        let mut all = Vec::new();
        for environment in folders(&self.restore).doing(what)? {
            for system in folders(&environment).doing(what)? {
                for component in folders(&system).doing(what)? {
                    all.extend(read_points(&component).doing(what)?);
                }
            }
        }
        all.sort_by(|a, b| (&a.environment, &a.before, &a.component).cmp(&(&b.environment, &b.before, &b.component)));
        Ok(all)
    }
}

/// A volume must not hide what every component has, nor lie outside.
fn inside_is_sound(path: &str) -> Result<(), DriverError> {
    /// Mounted by us, or the way to it.
    const TAKEN: [&str; 7] = ["/proc", "/sys", "/dev", "/tmp", "/run", super::root::SECRETS_PATH, "/run/countersign"];
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let plain = path.starts_with('/') && parts.iter().all(|part| !matches!(*part, "" | "." | ".."));
    let taken =
        TAKEN.iter().any(|taken| path == *taken || (*taken != "/run" && path.starts_with(&format!("{taken}/"))));
    if plain && !taken {
        return Ok(());
    }
    Err(DriverError::Refused(format!(
        "a volume can not be at `{path}`: give an absolute path without `..`, outside of /proc, /sys, /dev, /tmp, /run/secrets and /run/countersign"
    )))
}

/// Copies a folder with owners, modes and times, sharing blocks where the file system can; then syncs it.
fn copy(tools: &Tools, from: &Path, to: &Path, part: &Path) -> Result<(), DriverError> {
    let what = || format!("`{}` can not be copied", from.display());
    if part.exists() {
        fs::remove_dir_all(part).doing(what)?;
    }
    durable::make_dir(to).doing(what)?;
    if from.exists() {
        let source = from.join(".");
        let arguments = ["-a".as_ref(), "--reflink=auto".as_ref(), "--".as_ref(), source.as_os_str(), to.as_os_str()];
        command::run(&tools.cp, &arguments, b"", BUILD_TIMEOUT)?;
    }
    syncfs(File::open(to).doing(what)?).doing(what)
}

fn folders(above: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(above) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in listed {
        let entry = entry?;
        if entry.file_type()?.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            all.push(entry.path());
        }
    }
    Ok(all)
}

fn read_points(component: &Path) -> io::Result<Vec<RestorePoint>> {
    let mut all = Vec::new();
    for point in folders(component)? {
        let text = fs::read(point.join("done.json"))?;
        all.push(serde_json::from_slice(&text)?);
    }
    Ok(all)
}

/// The replaced states of a component, oldest first.
fn numbered(replaced: &Path, component: &ComponentName) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut all: Vec<(u32, PathBuf)> = folders(replaced)?
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            let number = name.strip_prefix(component.as_str())?.strip_prefix('.')?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    all.sort_unstable();
    Ok(all)
}
