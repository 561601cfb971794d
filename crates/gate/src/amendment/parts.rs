//! What differs beside the quorums: people, keys, robots, hosts, roles, rules and numbers.

use std::collections::{BTreeMap, BTreeSet};

use ledger::statement::{
    public_key,
    v1::{
        AfterRule, Charter, EmergencyRule, EnvironmentRule, Host, Key, KeyScheme, Kind, Member, Quorum, Robot,
        ValueRule,
    },
};
use model::{PersonId, RoleName};

use super::Differences;
use crate::duties;

pub(super) fn compare(from: &Charter, to: &Charter, found: &mut Differences) {
    promise(from, to, found);
    let no_quorums = |c: &Charter| c.environments.iter().map(without_quorums).collect::<Vec<_>>();
    let of_values = |c: &Charter| {
        let rules = c.values.iter().map(|v| ValueRule { guardians: Quorum { groups: Vec::new() }, ..v.clone() });
        rules.collect::<Vec<_>>()
    };
    type Part = fn(&Charter, &Charter, &mut Differences);
    let parts: [(&str, bool, Part); 12] = [
        ("people", from.members != to.members, people),
        ("robots", from.robots != to.robots, robots),
        ("hosts", from.hosts != to.hosts, hosts),
        ("conflicts", from.conflicts != to.conflicts, conflicts),
        ("environments", no_quorums(from) != no_quorums(to), environments),
        ("systems", from.systems != to.systems, systems),
        ("witnesses", from.witnesses != to.witnesses, witnesses),
        ("recovery keys", from.recovery != to.recovery || from.key_delay_s != to.key_delay_s, recovery),
        ("rules of the policy", from.policy != to.policy, policy),
        ("roles", from.roles != to.roles, roles),
        ("guarded values", of_values(from) != of_values(to), values),
        ("silences and programs", from.silence != to.silence || from.programs != to.programs, rest),
    ];
    for (what, differs, compare) in parts {
        let told = found.len();
        compare(from, to, found);
        // Whoever consents signs this text, so that no edit may go without a word.
        if differs && found.len() == told {
            found.changes.push(format!("{OTHERWISE} {what} are listed: read the edits"));
        }
    }
}

/// How a line begins about what has no words of its own here, such as an order.
const OTHERWISE: &str = "how";

/// What a quorum changes is told by itself.
fn without_quorums(rule: &EnvironmentRule) -> EnvironmentRule {
    let none = || Quorum { groups: Vec::new() };
    let emergency = rule.emergency.as_ref().map(|e| EmergencyRule { quorum: none(), ..e.clone() });
    EnvironmentRule { quorum: none(), resume: none(), emergency, ..rule.clone() }
}

fn promise(from: &Charter, to: &Charter, found: &mut Differences) {
    let holds = |charter: &Charter| duties::check(charter).is_ok_and(|duties| duties.hold());
    match (holds(from), holds(to)) {
        (true, false) => found.allows.push("\"no one person can\" would not hold any more".to_owned()),
        (false, true) => found.takes.push("\"no one person can\" would hold, which it does not now".to_owned()),
        _ => {}
    }
}

/// What a person may say by the person's own roles.
fn acts(charter: &Charter, member: &Member) -> BTreeSet<&'static str> {
    let roles = charter.roles.iter().filter(|r| member.roles.contains(&r.name));
    roles.flat_map(|r| &r.says).map(|kind: &Kind| kind.name()).collect()
}

/// The short names of keys, for who compares them with `ssh-keygen -l`.
fn names(keys: &[Key]) -> BTreeMap<String, String> {
    let name = |key: &Key| public_key(key).map_or_else(|_| key.public.clone(), |key| key.id().to_string());
    keys.iter().map(|key| (key.public.clone(), name(key))).collect()
}

const fn scheme(scheme: KeyScheme) -> &'static str {
    match scheme {
        KeyScheme::Ed25519 => "ed25519",
        KeyScheme::Sshsig => "sshsig",
        KeyScheme::SkSshsig => "sk-sshsig",
    }
}

fn people(from: &Charter, to: &Charter, found: &mut Differences) {
    for new in &to.members {
        let old = from.member(&new.id);
        let none = BTreeSet::new();
        let (could, can) = (old.map_or(none, |old| acts(from, old)), acts(to, new));
        let list = |names: BTreeSet<&'static str>| names.into_iter().collect::<Vec<_>>().join(", ");
        let Some(old) = old else {
            let says = if can.is_empty() { "nothing".to_owned() } else { list(can) };
            found.allows.push(format!("{} would be a member, and could say: {says}", new.id));
            found
                .allows
                .extend(names(&new.keys).values().map(|key| format!("{} would sign with the key {key}", new.id)));
            continue;
        };
        let (more, less): (BTreeSet<_>, BTreeSet<_>) =
            (can.difference(&could).copied().collect(), could.difference(&can).copied().collect());
        if !more.is_empty() {
            found.allows.push(format!("{} could say: {}", new.id, list(more)));
        }
        if !less.is_empty() {
            found.takes.push(format!("{} could not say any more: {}", new.id, list(less)));
        }
        let had: BTreeSet<&RoleName> = old.roles.iter().collect();
        let has: BTreeSet<&RoleName> = new.roles.iter().collect();
        found.allows.extend(has.difference(&had).map(|role| format!("{} would hold the role {role}", new.id)));
        found.takes.extend(had.difference(&has).map(|role| format!("{} would lose the role {role}", new.id)));
        let (keys_were, keys_are) = (names(&old.keys), names(&new.keys));
        let added = keys_are.iter().filter(|(key, _)| !keys_were.contains_key(*key));
        found.allows.extend(added.map(|(_, key)| format!("{} would sign with the key {key}", new.id)));
        let gone = keys_were.iter().filter(|(key, _)| !keys_are.contains_key(*key));
        found.takes.extend(gone.map(|(_, key)| format!("{} would not sign with the key {key} any more", new.id)));
        let other = new.keys.iter().filter_map(|key| {
            let before = old.keys.iter().find(|k| k.public == key.public)?;
            let name = keys_are.get(&key.public)?;
            (before.scheme != key.scheme)
                .then(|| format!("{} would sign with the key {name} by the scheme {}", new.id, scheme(key.scheme)))
        });
        found.allows.extend(other);
        if old.identity != new.identity {
            found.changes.push(format!("the e-mail addresses of {}", new.id));
        }
        if old.founder != new.founder {
            found.changes.push(format!("whether {} is called a founder", new.id));
        }
    }
    let gone = from.members.iter().filter(|m| to.member(&m.id).is_none());
    found.takes.extend(gone.map(|m| format!("{} would not be a member any more", m.id)));
}

fn persons(ids: &[PersonId]) -> String {
    ids.iter().map(PersonId::as_str).collect::<Vec<_>>().join(", ")
}

fn robots(from: &Charter, to: &Charter, found: &mut Differences) {
    let by_id =
        |c: &Charter| -> BTreeMap<String, Robot> { c.robots.iter().map(|r| (r.id.to_string(), r.clone())).collect() };
    let (old, new) = (by_id(from), by_id(to));
    for (id, robot) in &new {
        let told = format!("of role {}, on {}, controlled by {}", robot.role, robot.host, persons(&robot.controllers));
        match old.get(id) {
            None => found.allows.push(format!("a robot {id} would act, {told}")),
            Some(before) if before != robot => {
                found.allows.push(format!("the robot {id} would be {told}"));
                if before.key != robot.key {
                    found.allows.push(format!("the robot {id} would sign with another key"));
                }
                if before.environments != robot.environments {
                    let places: Vec<&str> = robot.environments.iter().map(model::EnvironmentName::as_str).collect();
                    let places = if places.is_empty() { "every environment".to_owned() } else { places.join(", ") };
                    found.allows.push(format!("the robot {id} would act in {places}"));
                }
            }
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|id| !new.contains_key(*id));
    found.takes.extend(gone.map(|id| format!("the robot {id} would not act any more")));
}

fn hosts(from: &Charter, to: &Charter, found: &mut Differences) {
    let by_name =
        |c: &Charter| -> BTreeMap<String, Host> { c.hosts.iter().map(|h| (h.name.to_string(), h.clone())).collect() };
    let keys_on = |name: &str| {
        let there = to.robots.iter().filter(|r| r.host.as_str() == name).map(|r| r.id.to_string());
        let there: Vec<String> = there.collect();
        if there.is_empty() { "no robot's key".to_owned() } else { format!("the keys of {}", there.join(", ")) }
    };
    let (old, new) = (by_name(from), by_name(to));
    for (name, host) in &new {
        let before: BTreeSet<&PersonId> = old.get(name).into_iter().flat_map(|h| &h.administrators).collect();
        let now: BTreeSet<&PersonId> = host.administrators.iter().collect();
        let more = now.difference(&before);
        found.allows.extend(more.map(|who| format!("{who} would administer {name}, and could use {}", keys_on(name))));
        found.takes.extend(before.difference(&now).map(|who| format!("{who} would not administer {name} any more")));
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    found.takes.extend(gone.map(|name| format!("the host {name} would not be listed any more")));
}

fn conflicts(from: &Charter, to: &Charter, found: &mut Differences) {
    let pairs = |c: &Charter| -> BTreeSet<[String; 2]> {
        let sorted = |(a, b): &(RoleName, RoleName)| {
            let mut pair = [a.to_string(), b.to_string()];
            pair.sort();
            pair
        };
        c.conflicts.iter().map(sorted).collect()
    };
    let (old, new) = (pairs(from), pairs(to));
    found.allows.extend(old.difference(&new).map(|[a, b]| format!("one person could hold {a} and {b} together")));
    found.takes.extend(new.difference(&old).map(|[a, b]| format!("nobody could hold {a} and {b} together any more")));
}

fn environments(from: &Charter, to: &Charter, found: &mut Differences) {
    for new in &to.environments {
        let Some(old) = from.environment(&new.name) else {
            found.allows.push(format!("there would be an environment {}", new.name));
            continue;
        };
        environment(old, new, found);
    }
    let gone = from.environments.iter().filter(|e| to.environment(&e.name).is_none());
    found.takes.extend(gone.map(|e| format!("there would be no environment {} any more", e.name)));
    let order = |c: &Charter| c.environments.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
    let (old, new) = (order(from), order(to));
    if old != new && old.iter().collect::<BTreeSet<_>>() == new.iter().collect::<BTreeSet<_>>() {
        found.changes.push("the order in which environments follow each other".to_owned());
    }
}

fn environment(old: &EnvironmentRule, new: &EnvironmentRule, found: &mut Differences) {
    let name = &new.name;
    // What is looser when it is larger, and what when it is smaller.
    let larger = [
        ("an approval would count", old.approval_s, new.approval_s),
        ("a verdict would be granted", old.verdict_s, new.verdict_s),
        ("a checkpoint could be old", old.max_age_s, new.max_age_s),
        ("a predecessor whose verdict was withdrawn could run again", old.rollback_s, new.rollback_s),
    ];
    for (what, was, is) in larger.into_iter().filter(|(_, was, is)| was != is) {
        let line = format!("in {name}, {what} for {is} s instead of {was} s");
        if is > was { found.allows.push(line) } else { found.takes.push(line) }
    }
    if old.cool_off_s != new.cool_off_s {
        let line = format!(
            "in {name}, {} s instead of {} s would pass between the last approval and the first step",
            new.cool_off_s, old.cool_off_s
        );
        if new.cool_off_s < old.cool_off_s { found.allows.push(line) } else { found.takes.push(line) }
    }
    if old.builders != new.builders {
        let line = format!("in {name}, {} builders instead of {} must agree", new.builders, old.builders);
        if new.builders < old.builders { found.allows.push(line) } else { found.takes.push(line) }
    }
    match (&old.emergency, &new.emergency) {
        (None, Some(_)) => {
            found.allows.push(format!("in {name}, a release could go in an emergency, before its evidence is there"));
        }
        (Some(_), None) => found.takes.push(format!("in {name}, nothing could go in an emergency any more")),
        (Some(a), Some(b)) if a.verdict_s != b.verdict_s => {
            let line =
                format!("in {name}, an emergency's verdict would last {} s instead of {} s", b.verdict_s, a.verdict_s);
            if b.verdict_s > a.verdict_s { found.allows.push(line) } else { found.takes.push(line) }
        }
        _ => {}
    }
    if old.after != new.after {
        let words = |rule: &Option<AfterRule>| match rule {
            None => "nowhere".to_owned(),
            Some(after) => format!("{} s in {}", after.soak_s, after.environment),
        };
        let line = format!(
            "in {name}, a release must have run {} before, instead of {}",
            words(&new.after),
            words(&old.after)
        );
        let is_stricter = match (&old.after, &new.after) {
            (None, _) => true,
            (Some(a), Some(b)) => a.environment == b.environment && b.soak_s > a.soak_s,
            (Some(_), None) => false,
        };
        if is_stricter { found.takes.push(line) } else { found.allows.push(line) }
    }
}

fn systems(from: &Charter, to: &Charter, found: &mut Differences) {
    for new in &to.systems {
        match from.system(&new.name) {
            None => found
                .allows
                .push(format!("the system {} would be built from {} of {}", new.name, new.branch, new.remote)),
            Some(old) if old != new => found.allows.push(format!(
                "the system {} would be built from {} of {} instead of {} of {}",
                new.name, new.branch, new.remote, old.branch, old.remote
            )),
            Some(_) => {}
        }
    }
    let gone = from.systems.iter().filter(|s| to.system(&s.name).is_none());
    found.takes.extend(gone.map(|s| format!("the system {} would not be released any more", s.name)));
}

fn witnesses(from: &Charter, to: &Charter, found: &mut Differences) {
    let (was, is) = (from.witness_quorum, to.witness_quorum);
    if was != is {
        let line = format!("{is} operators of witnesses instead of {was} would have to cosign");
        if is < was { found.allows.push(line) } else { found.takes.push(line) }
    }
    for new in &to.witnesses {
        match from.witnesses.iter().find(|w| w.name == new.name) {
            None => found.allows.push(format!("{} of {} could cosign", new.name, new.operator)),
            Some(old) if old.vkey != new.vkey => {
                found.allows.push(format!("{} would cosign with another key", new.name))
            }
            Some(old) if old.operator != new.operator => {
                found
                    .allows
                    .push(format!("{} would count as one of {} instead of {}", new.name, new.operator, old.operator));
            }
            Some(old) if old.url != new.url => found.changes.push(format!("where {} is asked", new.name)),
            Some(_) => {}
        }
    }
    let gone = from.witnesses.iter().filter(|w| !to.witnesses.iter().any(|n| n.name == w.name));
    found.takes.extend(gone.map(|w| format!("{} of {} would not cosign any more", w.name, w.operator)));
}

fn recovery(from: &Charter, to: &Charter, found: &mut Differences) {
    let words =
        |r: &ledger::statement::v1::Recovery| format!("{} of {} keys and {} s", r.count, r.keys.len(), r.delay_s);
    match (&from.recovery, &to.recovery) {
        (None, Some(new)) => found.allows.push(format!("the charter could be recovered by {}", words(new))),
        (Some(_), None) => found.takes.push("the charter could not be recovered any more".to_owned()),
        (Some(old), Some(new)) if old != new => {
            found.allows.push(format!("the charter could be recovered by {}, where it was {}", words(new), words(old)));
        }
        _ => {}
    }
    let keys = |c: &Charter| c.recovery.as_ref().map(|r| names(&r.keys)).unwrap_or_default();
    let (were, are) = (keys(from), keys(to));
    let added = are.iter().filter(|(key, _)| !were.contains_key(*key));
    found.allows.extend(added.map(|(_, key)| format!("the charter could be recovered with the key {key}")));
    let gone = were.iter().filter(|(key, _)| !are.contains_key(*key));
    found.takes.extend(gone.map(|(_, key)| format!("the charter could not be recovered with the key {key} any more")));
    let (was, is) = (from.key_delay_s, to.key_delay_s);
    if was != is {
        let line = format!("a new key would count after {is} s instead of {was} s");
        if is < was { found.allows.push(line) } else { found.takes.push(line) }
    }
}

/// The rules of a policy text by their names; what stands outside of rules has none.
fn rules(policy: &str) -> BTreeMap<String, String> {
    let mut rules = BTreeMap::new();
    let mut parts = policy.split("@id(\"");
    rules.insert(String::new(), parts.next().unwrap_or_default().to_owned());
    for part in parts {
        let (name, text) = part.split_once('"').unwrap_or((part, ""));
        rules.insert(name.to_owned(), text.trim_end().to_owned());
    }
    rules
}

fn policy(from: &Charter, to: &Charter, found: &mut Differences) {
    if from.policy == to.policy {
        return;
    }
    let (old, new) = (rules(&from.policy), rules(&to.policy));
    for (name, text) in new.iter().filter(|(name, _)| !name.is_empty()) {
        match old.get(name) {
            None => found.changes.push(format!("the policy would have the rule {name}: read it")),
            Some(before) if before != text => {
                found.allows.push(format!("the rule {name} of the policy would be another: read it"))
            }
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    found.allows.extend(gone.map(|name| format!("the rule {name} of the policy would not bind any more")));
    if old.get("") != new.get("") {
        found.changes.push("the text of the policy, outside of its rules".to_owned());
    }
}

fn roles(from: &Charter, to: &Charter, found: &mut Differences) {
    for role in &to.roles {
        let was: BTreeSet<&str> =
            from.roles.iter().filter(|r| r.name == role.name).flat_map(|r| &r.says).map(|k| k.name()).collect();
        let is: BTreeSet<&str> = role.says.iter().map(|k| k.name()).collect();
        let list = |names: Vec<&&str>| names.into_iter().copied().collect::<Vec<_>>().join(", ");
        let (more, less): (Vec<_>, Vec<_>) = (is.difference(&was).collect(), was.difference(&is).collect());
        if !more.is_empty() {
            found.allows.push(format!("the role {} could say: {}", role.name, list(more)));
        }
        if !less.is_empty() {
            found.takes.push(format!("the role {} could not say any more: {}", role.name, list(less)));
        }
    }
    let gone = from.roles.iter().filter(|r| !to.roles.iter().any(|n| n.name == r.name));
    found.takes.extend(gone.map(|r| format!("there would be no role {} any more", r.name)));
}

fn values(from: &Charter, to: &Charter, found: &mut Differences) {
    // A value is another one in another place.
    let place = |v: &ValueRule| format!("{} of {} in {}", v.name, v.system, v.environment);
    let by_place =
        |c: &Charter| -> BTreeMap<String, ValueRule> { c.values.iter().map(|v| (place(v), v.clone())).collect() };
    let (old, new) = (by_place(from), by_place(to));
    for (name, now) in &new {
        let Some(before) = old.get(name) else {
            found.allows.push(format!("{name} would be a guarded value"));
            continue;
        };
        if before.cool_off_s != now.cool_off_s {
            let line = format!(
                "another {name} would be in force after {} s instead of {} s",
                now.cool_off_s, before.cool_off_s
            );
            if now.cool_off_s < before.cool_off_s { found.allows.push(line) } else { found.takes.push(line) }
        }
        if before.format != now.format {
            let (is, was) = (now.format.name(), before.format.name());
            found.allows.push(format!("{name} would have to look like {is} instead of {was}"));
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    found.allows.extend(gone.map(|name| format!("{name} would not be guarded any more")));
}

fn rest(from: &Charter, to: &Charter, found: &mut Differences) {
    if from.silence != to.silence {
        let words = to.silence.as_ref().map_or("no alarm could be kept quiet".to_owned(), |rule| {
            format!("{} kinds of alarm could be kept quiet, for {} s at most", rule.kinds.len(), rule.longest_s)
        });
        let looser = to.silence.as_ref().is_some_and(|new| {
            from.silence.as_ref().is_none_or(|old| {
                new.longest_s > old.longest_s || new.kinds.iter().any(|kind| !old.kinds.contains(kind))
            })
        });
        if looser { found.allows.push(words) } else { found.takes.push(words) }
    }
    let roles: BTreeSet<&RoleName> = from.programs.keys().chain(to.programs.keys()).collect();
    for role in roles {
        let list = |c: &Charter| c.programs.get(role).cloned().unwrap_or_default();
        let (old, new) = (list(from), list(to));
        if new.is_empty() && !old.is_empty() {
            found.allows.push(format!("any program could sign for the role {role}"));
        }
        let more = new.iter().filter(|p| !old.contains(p));
        found.allows.extend(more.map(|p| format!("the program {p} could sign for the role {role}")));
        let less = old.iter().filter(|p| !new.contains(p));
        found.takes.extend(less.map(|p| format!("the program {p} could not sign for the role {role} any more")));
    }
}
