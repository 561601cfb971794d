//! The route table that belongs to each state of a rollout.
//!
//! Public routes are those of the version that clients are on; the edge also stands in, inside the fabric, for every
//! exclusive component of the versions that are there, so that its hand-over can hold requests. A version that no
//! longer takes requests stays in the table with weight 0 until its set is removed.

use std::{collections::BTreeMap, net::SocketAddr};

use model::{
    ComponentName,
    release::Component,
    route::{Backend, Identity, Named, Names, Protocol, Route, RouteState, RouteTable},
};

use crate::{
    beside::{self, Standing},
    comparison::{Comparison, Phase},
    intent::Version,
    progress::{Back, Forward, Issued, Left, Progress, State, Transition},
    scene::Scene,
};

/// Who gets the requests of a component.
#[derive(Clone, Copy)]
enum Serve<'a> {
    /// A version; another may still finish what it has.
    Open { to: &'a Version, finishing: Option<&'a Version> },
    /// Two versions, between which clients are divided.
    Compared { transition: &'a Transition, comparison: &'a Comparison, phase: Phase },
    /// Nobody just now.
    Hold { limit_ms: u32 },
}

/// The routes that belong to a state.
pub(crate) fn wanted(scene: &Scene<'_>, progress: &Progress) -> Vec<Route> {
    let state = &progress.state;
    let named = named(progress);
    let (front, present) = match state {
        State::Idle { current, .. } => (current.as_deref(), vec![current.as_deref()]),
        State::Stuck { transition, .. } => (Some(&transition.to), vec![transition.from.as_ref(), Some(&transition.to)]),
        State::Forward { transition, stage } => match stage {
            Forward::StartingNew | Forward::HandingOver { .. } => {
                (transition.from.as_ref(), vec![transition.from.as_ref(), Some(&transition.to)])
            }
            Forward::Switching { .. }
            | Forward::Comparing { .. }
            | Forward::Watching { .. }
            | Forward::Draining { .. } => (Some(&transition.to), vec![transition.from.as_ref(), Some(&transition.to)]),
            Forward::Retiring { .. } => (Some(&transition.to), vec![Some(&transition.to)]),
        },
        State::Back { transition, stage: Back::Removing, .. } => {
            (transition.from.as_ref(), vec![transition.from.as_ref()])
        }
        State::Back { transition, .. } => {
            (transition.from.as_ref(), vec![transition.from.as_ref(), Some(&transition.to)])
        }
    };
    let mut routes = BTreeMap::new();
    for version in present.into_iter().flatten() {
        for component in version.release.components.iter().filter(|c| c.is_exclusive()) {
            let listen = scene.edge_listener(component);
            if let Some(serve) = serve(scene, state, &component.name) {
                routes.insert(listen, route(scene, listen, &component.name, serve, false));
            }
        }
    }
    let expose = front.and_then(|v| v.environment(&scene.place().environment)).map(|e| &e.expose);
    for (name, listen) in expose.into_iter().flatten() {
        if let Some(serve) = serve(scene, state, name) {
            let mut route = route(scene, *listen, name, serve, true);
            add_named(scene, progress, &named, &mut route);
            routes.insert(*listen, route);
        }
    }
    // A version that stays is reached where its clients know it, also where the latest one is not.
    for (version, _) in named.iter().filter(|(v, _)| progress.beside.iter().any(|b| b.version.digest == v.digest)) {
        for (name, listen) in version.environment(&progress.environment).into_iter().flat_map(|e| &e.expose) {
            routes.entry(*listen).or_insert_with(|| {
                let mut route = route(scene, *listen, name, Serve::Open { to: version, finishing: None }, true);
                route.backends.iter_mut().for_each(|b| b.weight = 0);
                route.state = RouteState::Open;
                add_named(scene, progress, &named, &mut route);
                route
            });
        }
    }
    routes.into_values().collect()
}

/// The versions that are reached by name, and whether each is about to go: those beside, and of a rollout those that go on
/// or that clients can have.
fn named(progress: &Progress) -> Vec<(&Version, bool)> {
    let mut named: Vec<(&Version, bool)> = match &progress.state {
        State::Idle { current, .. } => current.iter().map(|v| (&**v, false)).collect(),
        State::Stuck { transition, .. } => {
            [Some(&transition.to), transition.from.as_ref()].into_iter().flatten().map(|v| (v, false)).collect()
        }
        State::Forward { transition, stage } => {
            let opened = !matches!(stage, Forward::StartingNew | Forward::HandingOver { .. });
            let to = (opened || transition.was_beside.is_some()).then_some(&transition.to);
            let from = transition.from.as_ref().filter(|_| !opened || beside::stays(&progress.environment, transition));
            to.into_iter().chain(from).map(|v| (v, false)).collect()
        }
        State::Back { transition, .. } => {
            let to = transition.was_beside.as_ref().map(|_| &transition.to);
            transition.from.iter().chain(to).map(|v| (v, false)).collect()
        }
    };
    named.extend(progress.beside.iter().filter_map(|b| match b.standing {
        Standing::Runs => Some((&b.version, false)),
        Standing::Closing { .. } => Some((&b.version, true)),
        Standing::Returning | Standing::Leaving { .. } => None,
    }));
    named
}

/// Adds the names of all versions whose clients know this address, and their instances.
fn add_named(scene: &Scene<'_>, progress: &Progress, named: &[(&Version, bool)], route: &mut Route) {
    let mut names = Names::default();
    for (version, closing) in named {
        let environment = version.environment(&progress.environment);
        let here = environment.is_some_and(|e| e.expose.get(&route.component) == Some(&route.listen));
        let Some(rules) = beside::rules(version, &progress.environment).filter(|_| here) else { continue };
        let serial = version.serial();
        let channels = progress.channels.iter().filter(|(_, owner)| **owner == version.digest);
        let hosts = channels.map(|(channel, _)| rules.name_of_channel(channel));
        for host in std::iter::once(rules.name_of(serial)).chain(hosts) {
            if names.versions.iter().all(|n| n.host != host) {
                names.versions.push(Named { host, serial: serial.clone(), closing: *closing, lease_s: rules.lease_s });
            }
        }
        for plain in rules.plain_names() {
            if !names.plain.contains(&plain) {
                names.plain.push(plain);
            }
        }
        if route.backends.iter().all(|b| b.serial != *serial)
            && let Some(component) = version.release.component(&route.component)
        {
            let instances = scene.usable(version, component);
            if !instances.is_empty() {
                route.backends.push(Backend { serial: serial.clone(), weight: 0, instances });
            }
        }
    }
    // No channel is called like a version or `latest`, but a domain may be below another.
    names.versions.retain(|n| !names.plain.contains(&n.host));
    route.names = (!names.versions.is_empty()).then_some(names);
}

/// Whether a component is exclusive in both versions, and so is handed over.
pub(crate) fn is_handed_over(transition: &Transition, component: &Component) -> bool {
    let before = transition.from.as_ref().and_then(|v| v.release.component(&component.name));
    component.is_exclusive() && before.is_some_and(Component::is_exclusive)
}

fn serve<'a>(scene: &Scene<'_>, state: &'a State, name: &ComponentName) -> Option<Serve<'a>> {
    let open = |to: &'a Version| Some(Serve::Open { to, finishing: None });
    let (transition, handed) = match state {
        State::Idle { current, .. } => return current.as_deref().and_then(open),
        State::Forward { transition, .. } | State::Back { transition, .. } | State::Stuck { transition, .. } => {
            (&**transition, transition.to.release.component(name).is_some_and(|c| is_handed_over(transition, c)))
        }
    };
    let (from, to) = (transition.from.as_ref(), &transition.to);
    let has = |v: &Version| v.release.component(name).is_some();
    // A component that only one of the two has is served by that one, whatever the state.
    let Some(from) = from.filter(|v| has(v)) else { return has(to).then_some(to).and_then(open) };
    if !has(to) {
        return open(from);
    }
    let hold = || {
        let limit_ms = to.environment(&scene.place().environment).map_or(0, |e| e.hold_ms);
        Some(Serve::Hold { limit_ms })
    };
    let ahead = Some(Serve::Open { to, finishing: Some(from) });
    let back = Some(Serve::Open { to: from, finishing: Some(to) });
    match state {
        State::Idle { .. } => None,
        State::Stuck { .. } => ahead,
        State::Forward { stage, .. } => match stage {
            Forward::StartingNew => open(from),
            Forward::HandingOver { component, .. } if component == name => hold(),
            Forward::HandingOver { handed, .. } if handed.contains(name) => ahead,
            Forward::HandingOver { .. } => open(from),
            Forward::Switching { .. } | Forward::Comparing { .. } => compared(transition, stage, name).or(ahead),
            Forward::Watching { .. } | Forward::Draining { .. } => ahead,
            Forward::Retiring { .. } => open(to),
        },
        State::Back { stage, .. } => {
            let rest = match stage {
                Back::Routing { returns } => &**returns,
                Back::HandingBack { current, .. } if current.component == *name => return hold(),
                Back::HandingBack { rest, .. } => rest,
                Back::Draining { .. } => &[],
                Back::Removing => return open(from),
            };
            match rest.iter().find(|r| r.component == *name) {
                Some(r) if r.left == Left::Opened => ahead,
                Some(_) => hold(),
                None if handed => open(from),
                None => back,
            }
        }
    }
}

/// A component whose clients are divided in this stage.
fn compared<'a>(transition: &'a Transition, stage: &Forward, name: &ComponentName) -> Option<Serve<'a>> {
    let comparison = transition.comparison.as_deref().filter(|c| c.has(name))?;
    let phase = match stage {
        Forward::Comparing { phase, .. } => *phase,
        _ => comparison.first(),
    };
    Some(Serve::Compared { transition, comparison, phase })
}

/// Who takes everybody while one of the two versions is not whole: clients are divided in all compared components or in
/// none, or a release would run half. The old version goes first; the new one only where the old one can not.
fn undivided<'a>(scene: &Scene<'_>, transition: &'a Transition, comparison: &Comparison) -> Option<&'a Version> {
    let is_whole = |version: &Version| {
        let mut compared = version.release.components.iter().filter(|c| comparison.has(&c.name));
        compared.all(|c| !scene.usable(version, c).is_empty())
    };
    let (old, new) = (transition.from.as_ref()?, &transition.to);
    match (is_whole(old), is_whole(new)) {
        (true, true) => None,
        (false, true) => Some(new),
        (_, false) => Some(old),
    }
}

fn route(scene: &Scene<'_>, listen: SocketAddr, name: &ComponentName, serve: Serve<'_>, public: bool) -> Route {
    let backend = |version: &Version, weight| {
        let instances = version.release.component(name).map(|c| scene.usable(version, c)).unwrap_or_default();
        (!instances.is_empty()).then(|| Backend { serial: version.serial().clone(), weight, instances })
    };
    let open = |backends: Vec<Backend>, to: &Version| {
        // While none runs, requests wait for the one that is being started rather than fail.
        let limit_ms = to.environment(&scene.place().environment).map_or(0, |e| e.hold_ms);
        let state =
            if backends.iter().any(|b| b.weight > 0) { RouteState::Open } else { RouteState::Hold { limit_ms } };
        (state, backends)
    };
    let mut split = None;
    let (state, backends) = match serve {
        Serve::Compared { transition, comparison, phase } => {
            let one = undivided(scene, transition, comparison).map(|v| v.digest);
            if one.is_none() {
                split = comparison.split(transition, phase, name);
            }
            let weight = |v: &Version| u32::from(one.is_none_or(|d| d == v.digest));
            let both = [Some(&transition.to), transition.from.as_ref()];
            open(both.into_iter().flatten().filter_map(|v| backend(v, weight(v))).collect(), &transition.to)
        }
        Serve::Hold { limit_ms } => (RouteState::Hold { limit_ms }, Vec::new()),
        Serve::Open { to, finishing } => {
            open(backend(to, 1).into_iter().chain(finishing.and_then(|v| backend(v, 0))).collect(), to)
        }
    };
    let tls = if public { scene.place().tls.get(name).cloned() } else { None };
    let drain_ms = match serve {
        Serve::Open { to, .. } | Serve::Compared { transition: Transition { to, .. }, .. } => {
            to.environment(&scene.place().environment).map(|e| e.drain_s.saturating_mul(1_000))
        }
        Serve::Hold { .. } => None,
    };
    // Clients are known in the same way whether or not they are divided just now.
    let to = match serve {
        Serve::Open { to, .. } | Serve::Compared { transition: Transition { to, .. }, .. } => Some(to),
        Serve::Hold { .. } => None,
    };
    let spoken = to.and_then(|to| to.environment(&scene.place().environment));
    let environment = to.filter(|_| public).and_then(|to| to.environment(&scene.place().environment));
    let known_by = environment.and_then(|e| e.analysis.as_ref()).map(|a| a.identity.as_slice()).unwrap_or_default();
    let identity = known_by.iter().map(|i| placed(i, &scene.place().certificates)).collect();
    // Inside the fabric it is HTTP that the edge holds.
    let speaks_tcp = public && spoken.is_some_and(|e| e.tcp.contains(name));
    let protocol = if speaks_tcp { Protocol::Tcp } else { Protocol::Http };
    let names = None;
    let surge = environment.and_then(|e| e.surge.get(name)).cloned();
    Route { listen, component: name.clone(), protocol, tls, identity, state, backends, drain_ms, split, names, surge }
}

/// An identity with the path of its keys on this host.
fn placed(identity: &Identity, folder: &str) -> Identity {
    match identity {
        Identity::Token { header, keys, claim, audience } => Identity::Token {
            header: header.clone(),
            keys: format!("{folder}/{keys}"),
            claim: claim.clone(),
            audience: audience.clone(),
        },
        other => other.clone(),
    }
}

/// Gives the progress the table of its state, with a number that the edge will take.
pub(crate) fn issue(scene: &Scene<'_>, progress: &mut Progress) {
    let routes = wanted(scene, progress);
    let floor = match &progress.state {
        State::Idle { .. } => 0,
        State::Forward { transition, .. } | State::Back { transition, .. } | State::Stuck { transition, .. } => {
            transition.to.generation
        }
    };
    let has = (scene.edge.generation, scene.edge.revision);
    let last = (progress.issued.generation, progress.issued.revision);
    // An edge with a later table than we remember was given it before our memory was lost.
    // An edge that was left alone for too long sends everybody to the old version until it is given another table.
    let silenced = scene.ticks.is_some_and(|t| !t.silenced.is_empty()) && has == last;
    if routes == progress.issued.routes && last >= has && last.0 >= floor && !silenced {
        return;
    }
    let (generation, revision) = last.max(has);
    let (generation, revision) = if generation < floor { (floor, 1) } else { (generation, revision.saturating_add(1)) };
    progress.issued = Issued { generation, revision, routes };
}

/// Whether the edge carries traffic by the table of this state.
pub(crate) fn in_force(scene: &Scene<'_>, progress: &Progress) -> bool {
    let issued = &progress.issued;
    (scene.edge.generation, scene.edge.revision) == (issued.generation, issued.revision)
        && issued.routes == wanted(scene, progress)
}

/// The table that was issued, whole.
pub(crate) fn table(issued: &Issued) -> RouteTable {
    RouteTable { generation: issued.generation, revision: issued.revision, routes: issued.routes.clone() }
}
