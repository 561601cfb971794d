//! The system under test: every component started from the proposed images, in the tester's own fabric.
//!
//! Nothing of it is kept: volumes begin empty and are removed. Components find each other as they do in production,
//! but for exclusive ones, which are reached directly: there is no hand-over here.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use ledger::statement::v1::{Build, Image};
use model::{Digest, EnvironmentName, release::Release};
use rollout::{
    instance::{GivenValue, InstanceId, InstanceSpec, InstanceState, ObservedInstance, peer_variable},
    order::{is_behind_edge, start_order, targets},
    step::Step,
};
use runtime::{
    Driver as _,
    local::Keep,
    protocol::{Executor as _, ExecutorClient},
};

use super::Tester;
use crate::fault::{Because as _, Fault, Kind};

/// How often the tester looks whether a component is well.
const LOOK: Duration = Duration::from_millis(100);

/// On top of a component's own deadline, for starting its container.
const START_ALLOWANCE: Duration = Duration::from_secs(20);

/// A system that runs, as a suite sees it.
pub(super) struct SystemUp {
    /// The namespace to run the suite in: it reaches what clients reach, and nothing else.
    pub(super) netns: PathBuf,
    /// `COUNTERSIGN_URL_<COMPONENT>` for everything behind the edge.
    pub(super) environment: BTreeMap<String, String>,
}

impl Tester {
    fn executor(&self) -> Result<ExecutorClient, Fault> {
        let stream = UnixStream::connect(&self.executor_socket)
            .because(Kind::Unavailable, "the tester's executor does not answer")?;
        ExecutorClient::new(stream).because(Kind::Unavailable, "the tester's executor does not answer")
    }

    fn release(&self, digest: Digest) -> Result<Release, Fault> {
        let path = self.images.join("blobs/sha256").join(digest.hex());
        let bytes = std::fs::read(&path).because(Kind::Unavailable, "the release document can not be read")?;
        if Digest::of(&bytes) != digest {
            return Err(Fault::new(Kind::Untrue, "the release document is another one"));
        }
        Release::from_bytes(&bytes).because(Kind::Untrue, "the release document does not hold up")
    }

    /// Starts everything, targets of flows first, and waits until it is well.
    pub(super) fn start_system(&self, build: &Build, name: &str) -> Result<SystemUp, Fault> {
        let release = self.release(build.release)?;
        let environment = release
            .environments
            .first()
            .map(|e| e.name.clone())
            .ok_or_else(|| Fault::new(Kind::Input, "the release names no environment"))?;
        let mut executor = self.executor()?;
        executor.purge(Keep::Nothing).map_err(driver)?;
        executor.prepare().map_err(driver)?;
        let order = start_order(&release).map_err(|circle| {
            let names: Vec<&str> = circle.iter().map(|c| c.name.as_str()).collect();
            Fault::new(Kind::Input, format!("the flows of {} form a circle", names.join(", ")))
        })?;
        let mut addresses: BTreeMap<&model::ComponentName, Vec<SocketAddr>> = BTreeMap::new();
        for component in order {
            let peers = targets(&release, component)
                .map(|t| (peer_variable(&t.name), addresses.get(&t.name).cloned().unwrap_or_default()))
                .collect();
            for number in 1..=component.replicas {
                let id = instance(&environment, build, component, number);
                let spec = InstanceSpec {
                    id,
                    release: build.release,
                    component: component.clone(),
                    peers: BTreeMap::clone(&peers),
                    from_edge: is_behind_edge(&release, component),
                    values: self.example_values(&release, component)?,
                };
                executor.execute(&Step::Start(Box::new(spec))).map_err(driver)?;
            }
            let well =
                wait_until_well(&mut executor, &component.name, component.replicas, component.health.deadline_ms)?;
            addresses.insert(&component.name, well);
        }
        let open: Vec<_> = release.components.iter().filter(|c| is_open_to_clients(&release, c)).collect();
        let reach: Vec<SocketAddr> =
            open.iter().flat_map(|c| addresses.get(&c.name).into_iter().flatten().copied()).collect();
        let netns = executor.client_netns(name, &reach).map_err(driver)?;
        let mut variables: BTreeMap<String, String> = BTreeMap::new();
        variables.insert("COUNTERSIGN_SERIAL".to_owned(), build.serial.to_string());
        for component in open {
            if let Some(first) = addresses.get(&component.name).and_then(|a| a.first()) {
                let suffix = component.name.as_str().replace('-', "_").to_ascii_uppercase();
                variables.insert(format!("COUNTERSIGN_URL_{suffix}"), format!("http://{first}"));
            }
        }
        Ok(SystemUp { netns, environment: variables })
    }

    /// Guarded values for a system under test: the examples of their formats' standards. It never sees those in force.
    fn example_values(
        &self,
        release: &Release,
        component: &model::release::Component,
    ) -> Result<Vec<GivenValue>, Fault> {
        let rules = &self.view.reader().members().charter().values;
        let given = component.values.iter().map(|name| {
            let rule = rules.iter().find(|r| &r.name == name && r.system == release.system).ok_or_else(|| {
                Fault::new(Kind::Input, format!("the charter has no guarded value `{name}` of {}", release.system))
            })?;
            let (text, salt) = (rule.format.example().to_owned(), [0; 32]);
            let commitment = Digest::of(&[salt.as_slice(), text.as_bytes()].concat());
            Ok(GivenValue { name: name.clone(), commitment, salt, text })
        });
        given.collect()
    }

    /// Whether what was started still runs, from the images that are proposed, after the suite is done with it.
    pub(super) fn still_runs(&self, build: &Build) -> Result<(), Fault> {
        let observed = self.executor()?.observe().map_err(driver)?;
        for Image { component, image } in &build.images {
            let mut of = observed.instances.iter().filter(|i| &i.id.component == component).peekable();
            if of.peek().is_none() {
                return Err(Fault::new(Kind::Input, format!("{component} was not started")));
            }
            if let Some(other) = of.find(|i| i.image != *image || !matches!(i.state, InstanceState::Healthy { .. })) {
                return Err(Fault::new(
                    Kind::Input,
                    format!("{} did not last through the suite: {:?}", other.id, other.state),
                ));
            }
        }
        Ok(())
    }

    /// Ends everything and removes what it wrote.
    pub(super) fn stop_system(&self) -> Result<(), Fault> {
        self.executor()?.purge(Keep::Nothing).map_err(driver)
    }
}

fn instance(
    environment: &EnvironmentName,
    build: &Build,
    component: &model::release::Component,
    number: u32,
) -> InstanceId {
    InstanceId {
        environment: environment.clone(),
        serial: build.serial.clone(),
        component: component.name.clone(),
        number,
    }
}

/// Whether clients outside may reach it through the edge; an exclusive component's hand-over route is not for them.
fn is_open_to_clients(release: &Release, component: &model::release::Component) -> bool {
    use model::release::Origin;
    release.flows.iter().any(|f| f.from == Origin::Edge && f.to == component.name)
        || release.environments.iter().any(|e| e.expose.contains_key(&component.name))
}

fn wait_until_well(
    executor: &mut ExecutorClient,
    component: &model::ComponentName,
    replicas: u32,
    deadline_ms: u32,
) -> Result<Vec<SocketAddr>, Fault> {
    let deadline = Instant::now() + Duration::from_millis(u64::from(deadline_ms)) + START_ALLOWANCE;
    loop {
        let observed = executor.observe().map_err(driver)?;
        let of: Vec<&ObservedInstance> = observed.instances.iter().filter(|i| &i.id.component == component).collect();
        let well = |i: &&&ObservedInstance| matches!(i.state, InstanceState::Healthy { .. });
        if of.iter().filter(well).count() == replicas as usize {
            return Ok(of.iter().map(|i| i.address).collect());
        }
        let ended = of.iter().find(|i| {
            matches!(
                i.state,
                InstanceState::Exited { .. } | InstanceState::Unhealthy { .. } | InstanceState::Drifted { .. }
            )
        });
        if let Some(ended) = ended {
            return Err(Fault::new(Kind::Input, format!("{} did not become well: {:?}", ended.id, ended.state)));
        }
        if Instant::now() > deadline {
            return Err(Fault::new(Kind::Input, format!("{component} did not become well within {deadline_ms} ms")));
        }
        std::thread::sleep(LOOK);
    }
}

fn driver(error: runtime::DriverError) -> Fault {
    Fault::new(Kind::Unavailable, error.chain())
}
