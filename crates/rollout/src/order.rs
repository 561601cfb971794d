//! In which order components start: targets before their sources, because a source is told where its targets are.

use model::release::{Component, Origin, Release};

/// The components of a release, targets of flows before their sources, else by name.
///
/// A component that is reached through the edge has an address before it runs, so a flow to it only says what
/// is nicer; a circle of the other flows has no order.
///
/// # Errors
/// The components of a circle, when there is one.
pub fn start_order(release: &Release) -> Result<Vec<&Component>, Vec<&Component>> {
    let mut order: Vec<&Component> = Vec::with_capacity(release.components.len());
    let mut left: Vec<&Component> = release.components.iter().collect();
    while !left.is_empty() {
        let free = |soft: bool| {
            left.iter().position(|c| !targets(release, c).any(|t| left.contains(&t) && (soft || !t.is_exclusive())))
        };
        // First whatever has all its targets, then whatever lacks only such as the edge stands in for.
        let Some(at) = free(true).or_else(|| free(false)) else { return Err(left) };
        order.push(left.remove(at));
    }
    Ok(order)
}

/// The components that this one may open connections to.
pub fn targets<'a>(release: &'a Release, source: &'a Component) -> impl Iterator<Item = &'a Component> {
    release
        .flows
        .iter()
        .filter(|f| matches!(&f.from, Origin::Component(name) if *name == source.name))
        .filter_map(|f| release.component(&f.to))
}

/// Whether the edge opens connections to this component: for clients outside, or standing in for it.
pub fn is_behind_edge(release: &Release, component: &Component) -> bool {
    component.is_exclusive()
        || release.flows.iter().any(|f| f.from == Origin::Edge && f.to == component.name)
        || release.environments.iter().any(|e| e.expose.contains_key(&component.name))
}

#[cfg(test)]
mod tests;
