//! Which transitions are refused before they begin, with what would help; and whether the state can go back.

use std::collections::BTreeMap;

use model::{ComponentName, release::Component};

use crate::{
    instance::Observed,
    intent::{Intent, Version},
    order::start_order,
    progress::Transition,
    reason::{PastIrreversible, Refusal},
};

/// Why this intent can not begin from what runs; nothing if it can. In the order in which a person would ask.
pub fn refusal(
    current: Option<&Version>,
    predecessor: Option<&Version>,
    intent: &Intent,
    observed: &Observed,
) -> Option<Refusal> {
    let to = &intent.target;
    let target = to.serial().clone();
    if let Some(from) = current {
        let running = from.serial().clone();
        if from.release.system != to.release.system {
            return Some(Refusal::OtherSystem { target, running });
        }
        if running == target {
            return Some(Refusal::SameSerial { target });
        }
    }
    let running = current.map(|v| v.digest);
    if intent.replaces != running {
        return Some(Refusal::Replaces { target, approved: intent.replaces, running });
    }
    let environment = &intent.place.environment;
    if to.environment(environment).is_none() {
        return Some(Refusal::NoEnvironment { target, environment: environment.clone() });
    }
    if let Some(component) = to.release.components.iter().find(|c| c.is_exclusive() && c.replicas != 1) {
        return Some(Refusal::ExclusiveReplicas { component: component.name.clone() });
    }
    if let Err(circle) = start_order(&to.release) {
        return Some(Refusal::FlowCircle { components: circle.into_iter().map(|c| c.name.clone()).collect() });
    }
    if let Some(refused) = port_taken(current, to) {
        return Some(refused);
    }
    let from = current?;
    if let Some((old, _)) = both(from, to).find(|(old, new)| old.is_exclusive() != new.is_exclusive()) {
        let component = old.name.clone();
        return Some(Refusal::ExclusiveChanged { component, from: from.serial().clone(), to: target });
    }
    if to.serial().ordinal() < from.serial().ordinal() {
        if predecessor.is_none_or(|p| p.digest != to.digest) {
            let predecessor = predecessor.map(|p| p.serial().clone());
            return Some(Refusal::NotPredecessor { target, running: from.serial().clone(), predecessor });
        }
        return past_irreversible(to, from, intent, observed).map(Refusal::Irreversible);
    }
    let mut irreversible = both(from, to).filter(|(old, new)| irreversible(old, new).is_some());
    match (irreversible.next(), irreversible.next()) {
        (Some((first, _)), Some((second, _))) => {
            Some(Refusal::TwoIrreversible { first: first.name.clone(), second: second.name.clone() })
        }
        _ => None,
    }
}

/// The irreversible migration that `after` made of the state that `before` would have to work on, if there is one.
pub(crate) fn past_irreversible(
    before: &Version,
    after: &Version,
    intent: &Intent,
    observed: &Observed,
) -> Option<PastIrreversible> {
    let (component, migration) = both(before, after).find_map(|(old, new)| Some((new, irreversible(old, new)?)))?;
    let saved = observed.restore_points.iter().find(|p| {
        p.environment == intent.place.environment && p.component == component.name && p.before == *after.serial()
    });
    Some(PastIrreversible {
        from: after.serial().clone(),
        to: before.serial().clone(),
        component: component.name.clone(),
        migration,
        saved_at: saved.map(|p| p.at),
    })
}

/// The first migration of `new` that `old` does not have and can not work after. Only state that is kept counts.
pub(crate) fn irreversible(old: &Component, new: &Component) -> Option<String> {
    let added = |id: &str| old.migrations.iter().all(|m| m.id != id);
    if new.volumes.is_empty() {
        return None;
    }
    new.migrations.iter().find(|m| !m.reversible && added(&m.id)).map(|m| m.id.clone())
}

/// Whether the state that a transition leaves behind is beyond the version before.
pub(crate) fn is_irreversible(transition: &Transition) -> bool {
    transition
        .from
        .as_ref()
        .is_some_and(|from| both(from, &transition.to).any(|(old, new)| irreversible(old, new).is_some()))
}

/// The components that both versions have, old and new.
pub(crate) fn both<'a>(from: &'a Version, to: &'a Version) -> impl Iterator<Item = (&'a Component, &'a Component)> {
    to.release.components.iter().filter_map(|new| Some((from.release.component(&new.name)?, new)))
}

/// The edge stands in for exclusive components at one address, so their ports must differ, across both versions.
fn port_taken(current: Option<&Version>, to: &Version) -> Option<Refusal> {
    let mut taken: BTreeMap<u16, &ComponentName> = BTreeMap::new();
    for component in current.into_iter().chain([to]).flat_map(|v| &v.release.components).filter(|c| c.is_exclusive()) {
        match taken.insert(component.port, &component.name) {
            Some(first) if *first != component.name => {
                return Some(Refusal::PortTaken {
                    port: component.port,
                    first: first.clone(),
                    second: component.name.clone(),
                });
            }
            _ => {}
        }
    }
    None
}
