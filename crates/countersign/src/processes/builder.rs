//! The `builder` process: notices pushes, says what changed, builds images, and proposes what was tested.
//!
//! Where the charter asks for several builders, one on a host that follows the log of another only makes what the first one
//! noticed, and proposes nothing.
//!
//! It can not test, approve or deploy. Everything that it builds runs in a sandbox that a separate executor makes.
//! A crash loses a build that is not in the log, which is made again and is byte for byte the same.

mod authorship;
mod change;
mod make;
mod propose;

pub(crate) use make::{ecosystem, manifest_of};

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use build::{git::Mirror, image::ImageStore};
use ledger::{
    keys::Signer,
    statement::v1::{GuardedValue, SystemRule},
};
use model::{Clock as _, Digest, PersonId, RoleName};

use super::{Start, setback::Setback, workshop::Workshop};
use crate::{
    addresses::Addresses,
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    say::Speaker,
    status::StatusFile,
    view::View,
};

/// Runs the process until it is ended.
pub fn run(start: Start) -> Result<(), Fault> {
    let signer: Arc<dyn Signer> = Arc::new(start.key()?);
    let members = start.charter.members.clone();
    let role: RoleName = start.role.name().parse().because(Kind::Internal, "the role's name does not parse")?;
    let key = signer.key().id();
    let speaker = Speaker::new(signer, members.hash(), role);
    let joined = start.settings.joined()?;
    let addresses_at = start.layout.identities();
    // Who wrote what is said by the builder that notices changes.
    let addresses = if joined.is_some() { Addresses::none() } else { Addresses::read(&addresses_at)? };
    let systems = members.charter().systems.clone();
    let mut status = start.confine(Workshop::confinement(&start, &systems))?;
    let mut workshop = Workshop::open(&start)?;
    let store = ImageStore::open(&start.layout.images()).because(Kind::Unavailable, "the images can not be opened")?;
    let mut mirrors = Vec::new();
    for system in systems {
        let mirror = workshop.mirror(&system)?;
        mirrors.push((system, mirror));
    }
    let mut builder = Builder {
        view: View::new(start.settings.log_client(&start.layout)?, members)?,
        speaker,
        name: format!("countersign:key/{key}"),
        addresses,
        store,
        images: start.layout.images(),
        failed: BTreeMap::new(),
        proposed: BTreeSet::new(),
        makes_only: joined.is_some(),
    };
    let pause = Duration::from_millis(start.settings.fetch_interval_ms);
    loop {
        // Confined as it is, it can not open another file; it is started again by who started it, and can.
        if !builder.makes_only && builder.addresses.is_old(&addresses_at) {
            return Err(Fault::new(Kind::Unavailable, "there are other identities by now: they are read at the start"));
        }
        let mut waits = Vec::new();
        let mut troubles = Vec::new();
        if let Some(fault) = builder.unknown_members().filter(|_| !builder.makes_only) {
            troubles.push(fault.message());
        }
        for (system, mirror) in &mirrors {
            match builder.round(system, mirror, &mut workshop, &mut status) {
                Ok(wait) => waits.push(wait),
                Err(fault) => troubles.push(format!("{}: {}", system.name, fault.message())),
            }
        }
        status.say("looking for pushes", waits);
        if !troubles.is_empty() {
            status.trouble(troubles.join("; "));
        }
        // Whether the log grew in the meantime is seen in the next round.
        if builder.view.wait(pause).is_err() {
            std::thread::sleep(pause);
        }
    }
}

/// What the rounds share.
pub(crate) struct Builder {
    view: View,
    speaker: Speaker,
    /// A URI for this builder: its key.
    name: String,
    addresses: Addresses,
    store: ImageStore,
    images: PathBuf,
    failed: BTreeMap<u64, Setback>,
    /// What was proposed in this run: environment, release, what it replaces, and its guarded values.
    proposed: BTreeSet<(String, Digest, Option<Digest>, Vec<GuardedValue>)>,
    /// Another builder notices changes and proposes.
    makes_only: bool,
}

impl Builder {
    /// Members of the charter in force whose addresses this host does not have.
    fn unknown_members(&self) -> Option<Fault> {
        let missing = self.addresses.missing(self.view.facts().members().charter());
        let names: Vec<&str> = missing.iter().map(PersonId::as_str).collect();
        (!names.is_empty()).then(|| {
            Fault::new(
                Kind::Unavailable,
                format!("the addresses of {} that the charter commits to are not on this host", names.join(", ")),
            )
            .hint("take them in with `countersign charter identities FILE`, here and as root")
        })
    }

    /// One look at a system: its branch, its newest change, its newest build. Returns what it waits for.
    fn round(
        &mut self,
        system: &SystemRule,
        mirror: &Mirror,
        workshop: &mut Workshop,
        status: &mut StatusFile,
    ) -> Result<String, Fault> {
        self.view.refresh()?;
        if self.view.facts().size() == 0 {
            return Ok("the log's first cosigned checkpoint".to_owned());
        }
        let head = mirror.fetch().because(Kind::Unavailable, "the remote can not be fetched")?;
        if !self.makes_only {
            self.notice(system, mirror, head.commit)?;
        }
        let Some(newest) = self.view.facts().changes(&system.name).rfind(|c| c.claim.is_accepted()).cloned() else {
            return Ok(format!("{}: a push that can be accepted", system.name));
        };
        // Where the charter asks for several builders, each makes it itself.
        let facts = self.view.facts();
        let is_one_of_several = facts.members().charter().environments.iter().any(|e| e.builders > 1);
        let own = self.speaker.signer().key().id();
        let is_built = facts.builds_of(newest.index).any(|b| !is_one_of_several || b.key == own);
        let is_due = self.failed.get(&newest.index).is_none_or(|f| f.is_due(SystemClock.now()));
        if !is_built && is_due {
            match self.make(system, mirror, &newest, workshop, status) {
                Ok(()) => {
                    self.failed.remove(&newest.index);
                }
                Err(fault) => {
                    let failed = Setback::after(self.failed.get(&newest.index), &fault, SystemClock.now());
                    self.failed.insert(newest.index, failed);
                }
            }
        }
        if let Some(failed) = self.failed.get(&newest.index) {
            return Err(failed.fault(&format!("the build of change {}", newest.claim.ordinal)));
        }
        if self.makes_only {
            return Ok(format!("{}: a change after {}", system.name, newest.claim.ordinal));
        }
        self.propose(system, mirror, &newest)
    }
}
