//! Edits of a charter: applied in order, and found between two charters.
//!
//! They say what a charter becomes. Whether that is allowed is for others.

use model::{Digest, EnvironmentName, SystemName, ValueName, to_json};

use crate::statement::v1::{Charter, Edit, ValueRule};

/// Why edits do not fit a charter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// What is to be removed is not there.
    #[error("there is no {what} `{name}` to remove")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A conflict that is there already.
    #[error("the conflict of `{0}` and `{1}` is there already")]
    There(String, String),
}

/// Why no edits lead from one charter to another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// What names the log never changes.
    #[error("the log's origin and key, and whether the charter is a demo, do not change: that would be another log")]
    Fixed,
    /// One name twice in a list.
    #[error("something stands twice under one name")]
    Twice,
}

impl Charter {
    /// The digest by which amendments name a charter: SHA-256 over its canonical JSON.
    pub fn digest(&self) -> Digest {
        // A charter is strings, numbers and lists of them: writing it can not fail.
        Digest::of(&to_json(self).unwrap_or_default())
    }
}

/// Replaces what has the same name, or adds it at the end.
fn set<T, N: PartialEq>(list: &mut Vec<T>, new: &T, name: impl Fn(&T) -> N)
where
    T: Clone,
{
    match list.iter_mut().find(|old| name(old) == name(new)) {
        Some(old) => *old = new.clone(),
        None => list.push(new.clone()),
    }
}

fn remove<T>(
    list: &mut Vec<T>,
    what: &'static str,
    name: &impl ToString,
    is_it: impl Fn(&T) -> bool,
) -> Result<(), EditError> {
    let at = list.iter().position(is_it).ok_or_else(|| EditError::Missing { what, name: name.to_string() })?;
    list.remove(at);
    Ok(())
}

/// What the edits make of a charter.
pub fn apply(charter: &Charter, edits: &[Edit]) -> Result<Charter, EditError> {
    let mut c = charter.clone();
    for edit in edits {
        match edit {
            Edit::SetMember(new) => set(&mut c.members, new, |m| m.id.clone()),
            Edit::RemoveMember(id) => remove(&mut c.members, "member", id, |m| m.id == *id)?,
            Edit::SetRobot(new) => set(&mut c.robots, new, |r| r.id.clone()),
            Edit::RemoveRobot(id) => remove(&mut c.robots, "robot", id, |r| r.id == *id)?,
            Edit::SetHost(new) => set(&mut c.hosts, new, |h| h.name.clone()),
            Edit::RemoveHost(name) => remove(&mut c.hosts, "host", name, |h| h.name == *name)?,
            Edit::SetRole(new) => set(&mut c.roles, new, |r| r.name.clone()),
            Edit::RemoveRole(name) => remove(&mut c.roles, "role", name, |r| r.name == *name)?,
            Edit::AddConflict(one, other) => {
                if c.conflicts.iter().any(|pair| is_pair(pair, one, other)) {
                    return Err(EditError::There(one.to_string(), other.to_string()));
                }
                c.conflicts.push((one.clone(), other.clone()));
            }
            Edit::RemoveConflict(one, other) => {
                let name = format!("{one} and {other}");
                remove(&mut c.conflicts, "conflict", &name, |pair| is_pair(pair, one, other))?;
            }
            Edit::SetSystem(new) => set(&mut c.systems, new, |s| s.name.clone()),
            Edit::RemoveSystem(name) => remove(&mut c.systems, "system", name, |s| s.name == *name)?,
            Edit::SetEnvironment(new) => set(&mut c.environments, new, |e| e.name.clone()),
            Edit::RemoveEnvironment(name) => remove(&mut c.environments, "environment", name, |e| e.name == *name)?,
            Edit::SetWitness(new) => set(&mut c.witnesses, new, |w| w.name.clone()),
            Edit::RemoveWitness(name) => remove(&mut c.witnesses, "witness", name, |w| w.name == *name)?,
            Edit::SetValue(new) => set(&mut c.values, new, value_key),
            Edit::RemoveValue(name, system, environment) => {
                let shown = format!("{name} of {system} in {environment}");
                let key = (name.clone(), system.clone(), environment.clone());
                remove(&mut c.values, "guarded value", &shown, |v| value_key(v) == key)?;
            }
            Edit::WitnessQuorum(count) => c.witness_quorum = *count,
            Edit::Amendment(quorum) => c.amendment = quorum.clone(),
            Edit::Recovery(recovery) => c.recovery = recovery.clone(),
            Edit::KeyDelay(seconds) => c.key_delay_s = *seconds,
            Edit::Silence(rule) => c.silence = rule.clone(),
            Edit::Policy(text) => c.policy = text.clone(),
            Edit::Programs(programs) => c.programs = programs.clone(),
        }
    }
    Ok(c)
}

/// A guarded value is another one in another place.
fn value_key(value: &ValueRule) -> (ValueName, SystemName, EnvironmentName) {
    (value.name.clone(), value.system.clone(), value.environment.clone())
}

fn is_pair<N: PartialEq>((a, b): &(N, N), one: &N, other: &N) -> bool {
    a == one && b == other || a == other && b == one
}

/// The edits of one list. What is kept is a beginning of the new list, in the old order; the rest is removed if it was
/// there, and added at the end, so that the order comes out too.
fn list<T: PartialEq, N: PartialEq>(
    (old, new): (&[T], &[T]),
    name: impl Fn(&T) -> N,
    gone: impl Fn(&T) -> Edit,
    put: impl Fn(&T) -> Option<Edit>,
    edits: &mut Vec<Edit>,
) {
    let place = |item: &T| old.iter().position(|o| name(o) == name(item));
    let mut after = None;
    let in_order = |item: &&T| {
        let at = place(item);
        let fits = at.is_some() && at > after;
        after = at;
        fits
    };
    let kept = new.iter().take_while(in_order).count();
    let (kept, added) = new.split_at_checked(kept).unwrap_or((new, &[]));
    let is_kept = |item: &&T| kept.iter().any(|k| name(k) == name(item));
    edits.extend(old.iter().filter(|o| !is_kept(o)).map(&gone));
    let changed = kept.iter().filter(|item| !old.contains(item));
    edits.extend(changed.chain(added).filter_map(put));
}

/// The edits that make one charter of another.
pub fn diff(from: &Charter, to: &Charter) -> Result<Vec<Edit>, DiffError> {
    if from.log != to.log || from.demo != to.demo {
        return Err(DiffError::Fixed);
    }
    let mut edits = Vec::new();
    let e = &mut edits;
    let (a, b) = (from, to);
    list(
        (&a.roles, &b.roles),
        |r| r.name.clone(),
        |r| Edit::RemoveRole(r.name.clone()),
        |r| Some(Edit::SetRole(r.clone())),
        e,
    );
    list(
        (&a.members, &b.members),
        |m| m.id.clone(),
        |m| Edit::RemoveMember(m.id.clone()),
        |m| Some(Edit::SetMember(m.clone())),
        e,
    );
    list(
        (&a.hosts, &b.hosts),
        |h| h.name.clone(),
        |h| Edit::RemoveHost(h.name.clone()),
        |h| Some(Edit::SetHost(h.clone())),
        e,
    );
    list(
        (&a.robots, &b.robots),
        |r| r.id.clone(),
        |r| Edit::RemoveRobot(r.id.clone()),
        |r| Some(Edit::SetRobot(r.clone())),
        e,
    );
    list(
        (&a.conflicts, &b.conflicts),
        Clone::clone,
        |(x, y)| Edit::RemoveConflict(x.clone(), y.clone()),
        |(x, y)| Some(Edit::AddConflict(x.clone(), y.clone())),
        e,
    );
    list(
        (&a.systems, &b.systems),
        |s| s.name.clone(),
        |s| Edit::RemoveSystem(s.name.clone()),
        |s| Some(Edit::SetSystem(s.clone())),
        e,
    );
    list(
        (&a.environments, &b.environments),
        |v| v.name.clone(),
        |v| Edit::RemoveEnvironment(v.name.clone()),
        |v| Some(Edit::SetEnvironment(v.clone())),
        e,
    );
    list(
        (&a.witnesses, &b.witnesses),
        |w| w.name.clone(),
        |w| Edit::RemoveWitness(w.name.clone()),
        |w| Some(Edit::SetWitness(w.clone())),
        e,
    );
    list(
        (&a.values, &b.values),
        value_key,
        |v| Edit::RemoveValue(v.name.clone(), v.system.clone(), v.environment.clone()),
        |v| Some(Edit::SetValue(v.clone())),
        e,
    );
    let single = [
        (a.witness_quorum != b.witness_quorum).then_some(Edit::WitnessQuorum(b.witness_quorum)),
        (a.amendment != b.amendment).then(|| Edit::Amendment(b.amendment.clone())),
        (a.recovery != b.recovery).then(|| Edit::Recovery(b.recovery.clone())),
        (a.key_delay_s != b.key_delay_s).then_some(Edit::KeyDelay(b.key_delay_s)),
        (a.silence != b.silence).then(|| Edit::Silence(b.silence.clone())),
        (a.policy != b.policy).then(|| Edit::Policy(b.policy.clone())),
        (a.programs != b.programs).then(|| Edit::Programs(b.programs.clone())),
    ];
    edits.extend(single.into_iter().flatten());
    // Names that stand twice can not be told apart by edits.
    if apply(from, &edits).as_ref() == Ok(to) { Ok(edits) } else { Err(DiffError::Twice) }
}

#[cfg(test)]
mod tests;
