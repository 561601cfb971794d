use ledger::statement::v1::{
    Acknowledgement, Alarm, AlarmAbout, AlarmKind, Cancellation, Claim, Kind, Role, Silence, SilenceRule,
};
use model::Timestamp;

use super::*;
use crate::{
    duties,
    world::{EPOCH, World, at, charter, dig, production, system},
};

const HOUR: u64 = 3_600;

fn duty_charter() -> ledger::statement::v1::Charter {
    let mut charter = charter();
    for role in &mut charter.roles {
        if role.name.as_str() == "gate" {
            role.says.push(Kind::Alarm);
        }
        if ["operator", "release-manager"].contains(&role.name.as_str()) {
            role.says.extend([Kind::Acknowledgement, Kind::Cancellation]);
        }
    }
    charter.roles.push(Role { name: "duty".parse().unwrap(), says: vec![Kind::Silence, Kind::Acknowledgement] });
    for other in ["developer", "release-manager", "operator", "gate", "builder", "tester", "agent", "risk"] {
        charter.conflicts.push(("duty".parse().unwrap(), other.parse().unwrap()));
    }
    for member in &mut charter.members {
        if member.id.as_str() == "tess" {
            member.roles = vec!["duty".parse().unwrap()];
        }
    }
    charter.robots.retain(|r| r.controllers.iter().all(|c| c.as_str() != "tess"));
    charter.silence = Some(SilenceRule {
        kinds: vec![AlarmKind::ProbeFailed, AlarmKind::HeartbeatMissed, AlarmKind::WentBack],
        longest_s: 2 * HOUR,
    });
    charter
}

fn world() -> World {
    World::founded(duty_charter())
}

fn about(component: &str) -> AlarmAbout {
    AlarmAbout { component: Some(component.parse().unwrap()), ..AlarmAbout::default() }
}

fn alarm(world: &mut World, what: AlarmKind, about: AlarmAbout, firing: bool) -> u64 {
    world.say("gate", "gate", Claim::Alarm(Alarm { what, about, firing }))
}

fn silence(world: &mut World, who: &str, role: &str, what: Vec<AlarmKind>, about: AlarmAbout, ends: Timestamp) -> u64 {
    world.say(who, role, Claim::Silence(Box::new(Silence { what, about, ends, reason: dig("reason") })))
}

fn only(world: &World, index: u64) -> Result<Timestamp, SilenceRefusal> {
    let facts = world.facts();
    let now = at(world.now);
    facts.silences(now).find(|s| s.said.index == index).unwrap().until
}

#[test]
fn a_condition_fires_once_until_it_is_over_and_is_acknowledged_by_its_index() {
    let mut world = world();
    let first = alarm(&mut world, AlarmKind::ProbeFailed, about("web"), true);
    let again = alarm(&mut world, AlarmKind::ProbeFailed, about("web"), true);
    let other = alarm(&mut world, AlarmKind::ProbeFailed, about("ledger"), true);
    let facts = world.facts();
    let firing = facts.firing(at(world.now));
    assert_eq!(firing.iter().map(|f| f.index).collect::<Vec<_>>(), [other, first], "in order of what they are about");
    assert!(!firing.iter().any(|f| f.index == again));

    let seen = world.say("oli", "operator", Claim::Acknowledgement(Acknowledgement { alarm: first }));
    let facts = world.facts();
    let firing = facts.firing(at(world.now));
    let of = |index| firing.iter().find(|f| f.index == index).unwrap().acknowledged.clone();
    assert_eq!((of(first), of(other)), (Some(("oli".parse().unwrap(), seen)), None));

    alarm(&mut world, AlarmKind::ProbeFailed, about("web"), false);
    let next = alarm(&mut world, AlarmKind::ProbeFailed, about("web"), true);
    let facts = world.facts();
    let firing = facts.firing(at(world.now));
    let web = firing.iter().find(|f| f.index == next).expect("it began anew");
    assert_eq!(web.acknowledged, None, "who saw the one before did not see this one");
}

#[test]
fn bad_news_by_a_withdrawn_key_stands_and_good_news_does_not() {
    let mut world = world();
    let began = alarm(&mut world, AlarmKind::ProbeFailed, about("web"), true);
    let over = alarm(&mut world, AlarmKind::ProbeFailed, about("web"), false);
    assert!(world.facts().firing(at(world.now)).is_empty());
    world.withdraw("oli", "gate", over);
    let firing = world.facts().firing(at(world.now));
    assert_eq!(firing.iter().map(|f| f.index).collect::<Vec<_>>(), [began]);
    world.withdraw("oli", "gate", began);
    assert_eq!(world.facts().firing(at(world.now)).len(), 1);
}

#[test]
fn a_silence_counts_from_a_tick_to_its_end_and_hides_only_what_it_names() {
    let mut world = world();
    let web = alarm(&mut world, AlarmKind::ProbeFailed, about("web"), true);
    let ledger = alarm(&mut world, AlarmKind::ProbeFailed, about("ledger"), true);
    let back = alarm(&mut world, AlarmKind::WentBack, about("web"), true);
    let ends = at(world.now + HOUR);
    let said = silence(&mut world, "tess", "duty", vec![AlarmKind::ProbeFailed], about("web"), ends);
    assert_eq!(only(&world, said), Err(SilenceRefusal::NotTimed), "no tick covers it");
    world.wait(5);
    assert_eq!(only(&world, said), Ok(ends));
    let facts = world.facts();
    let firing = facts.firing(at(world.now));
    assert_eq!(firing.len(), 3, "what is silenced still fires");
    let silenced = |index| firing.iter().find(|f| f.index == index).unwrap().silenced;
    assert_eq!((silenced(web), silenced(ledger), silenced(back)), (Some(said), None, None));

    // Either clock ends it.
    assert!(facts.silences(ends).all(|s| s.until == Err(SilenceRefusal::Over(ends))));
    world.wait(HOUR);
    let facts = world.facts();
    assert!(facts.silences(at(EPOCH)).all(|s| s.until == Err(SilenceRefusal::Over(ends))), "a clock that was set back");
}

#[test]
fn what_a_silence_needs() {
    use AlarmKind::{HeartbeatMissed, LogStale, ProbeFailed, ValueProposed};
    let now = EPOCH + 5;
    let hour = at(now + HOUR);
    type Row = (&'static str, &'static str, &'static str, Vec<AlarmKind>, Timestamp, Option<&'static str>);
    let rows: [Row; 9] = [
        ("good", "tess", "duty", vec![ProbeFailed], hour, None),
        ("all that is allowed", "tess", "duty", vec![ProbeFailed, HeartbeatMissed], hour, None),
        ("nothing named", "tess", "duty", vec![], hour, Some("it names no kind of alarm")),
        (
            "a kind not listed",
            "tess",
            "duty",
            vec![ProbeFailed, LogStale],
            hour,
            Some("the charter lets nobody silence alarms of the kind `log-stale`"),
        ),
        (
            "money",
            "tess",
            "duty",
            vec![ValueProposed],
            hour,
            Some("alarms of the kind `value-proposed` can not be silenced at all"),
        ),
        ("as long as allowed", "tess", "duty", vec![ProbeFailed], at(EPOCH + 2 * HOUR), None),
        (
            "longer than allowed",
            "tess",
            "duty",
            vec![ProbeFailed],
            at(now + 2 * HOUR + 60),
            Some("longer than the 7200 s that the charter allows"),
        ),
        ("for ever", "tess", "duty", vec![ProbeFailed], at(EPOCH + 200 * 86_400), Some("longer than the 7200 s")),
        ("over already", "tess", "duty", vec![ProbeFailed], at(EPOCH), Some("it ended at")),
    ];
    for (what, who, role, kinds, ends, refused) in rows {
        let mut world = world();
        let said = silence(&mut world, who, role, kinds, AlarmAbout::default(), ends);
        world.wait(5);
        let found = only(&world, said).err().map(|e| e.to_string());
        match (refused, &found) {
            (None, None) => {}
            (Some(part), Some(found)) if found.contains(part) => {}
            _ => panic!("{what}: {found:?}"),
        }
    }
}

#[test]
fn whose_acts_it_would_hide_may_not_silence_it() {
    // Each time one pair of the charter's conflicts is missing, or the role itself does what would be hidden.
    for hidden in ["developer", "release-manager", "operator", "agent"] {
        let mut charter = duty_charter();
        charter.conflicts.retain(|(a, b)| !(a.as_str() == "duty" && b.as_str() == hidden));
        let mut world = World::founded(charter);
        let ends = at(world.now + HOUR);
        let said = silence(&mut world, "tess", "duty", vec![AlarmKind::ProbeFailed], AlarmAbout::default(), ends);
        world.wait(5);
        let found = only(&world, said).unwrap_err().to_string();
        assert!(found.contains(&format!("it would hide what `{hidden}` does")), "{found}");
    }
    let mut charter = duty_charter();
    for role in &mut charter.roles {
        if role.name.as_str() == "operator" {
            role.says.push(Kind::Silence);
        }
    }
    let mut world = World::founded(charter);
    let ends = at(world.now + HOUR);
    let said = silence(&mut world, "oli", "operator", vec![AlarmKind::ProbeFailed], AlarmAbout::default(), ends);
    world.wait(5);
    assert!(matches!(only(&world, said), Err(SilenceRefusal::Role { .. })), "the operator rolls back");
    // A process of Countersign is hidden only by who is apart from it; one without a role of its own by who is apart from all.
    let mut charter = duty_charter();
    charter.conflicts.retain(|(a, b)| !(a.as_str() == "duty" && b.as_str() == "tester"));
    for (process, counts) in [("gate", true), ("tester", false), ("log", false)] {
        let mut world = World::founded(charter.clone());
        let about = AlarmAbout { process: Some(process.parse().unwrap()), ..AlarmAbout::default() };
        let ends = at(world.now + HOUR);
        let said = silence(&mut world, "tess", "duty", vec![AlarmKind::HeartbeatMissed], about, ends);
        world.wait(5);
        assert_eq!(only(&world, said).is_ok(), counts, "{process}: {:?}", only(&world, said));
    }
}

#[test]
fn anybody_ends_a_silence_and_nobody_undoes_that() {
    let mut world = world();
    let ends = at(world.now + HOUR);
    let said = silence(&mut world, "tess", "duty", vec![AlarmKind::ProbeFailed], AlarmAbout::default(), ends);
    world.wait(5);
    let end = world.say("oli", "operator", Claim::Cancellation(Cancellation { of: said, reason: None }));
    let cancelled = Err(SilenceRefusal::Cancelled { by: "oli".parse().unwrap(), index: end });
    assert_eq!(only(&world, said), cancelled);
    world.withdraw("pia/2", "oli", end);
    assert_eq!(only(&world, said), cancelled, "a withdrawn key does not begin it again");

    let said = silence(&mut world, "tess", "duty", vec![AlarmKind::ProbeFailed], AlarmAbout::default(), ends);
    world.wait(5);
    assert!(only(&world, said).is_ok());
    world.withdraw("oli", "tess", said);
    assert_eq!(only(&world, said), Err(SilenceRefusal::Void));
}

#[test]
fn the_charter_allows_no_silence_by_default_and_never_one_over_money() {
    let mut charter = duty_charter();
    charter.silence = None;
    let mut world = World::founded(charter);
    let ends = at(world.now + HOUR);
    let said = silence(&mut world, "tess", "duty", vec![AlarmKind::ProbeFailed], AlarmAbout::default(), ends);
    world.wait(5);
    assert_eq!(only(&world, said), Err(SilenceRefusal::NotAllowed));
    for kind in AlarmKind::NEVER_SILENT {
        let mut charter = duty_charter();
        charter.silence = Some(SilenceRule { kinds: vec![AlarmKind::ProbeFailed, kind], longest_s: HOUR });
        let refused = duties::check(&charter).unwrap_err().to_string();
        assert!(refused.contains(&format!("`{kind}` can not be silenced")), "{refused}");
    }
}

#[test]
fn a_scope_that_names_a_place_hides_nothing_elsewhere() {
    let condition = |environment: Option<&str>, component: Option<&str>| Condition {
        what: AlarmKind::ProbeFailed,
        system: Some(system()),
        environment: environment.map(|e| e.parse().unwrap()),
        about: component.map(about).unwrap_or_default(),
    };
    let mut world = world();
    let ends = at(world.now + HOUR);
    world.say_with(
        "tess",
        "duty",
        Claim::Silence(Box::new(Silence {
            what: vec![AlarmKind::ProbeFailed],
            about: AlarmAbout::default(),
            ends,
            reason: dig("reason"),
        })),
        |header| header.environment = Some(production()),
    );
    world.wait(5);
    let facts = world.facts();
    let hides = |c: &Condition| facts.silenced(c, at(world.now)).is_some();
    assert!(hides(&condition(Some("production"), Some("web"))));
    assert!(hides(&condition(Some("production"), None)));
    assert!(!hides(&condition(Some("staging"), Some("web"))));
    assert!(!hides(&condition(None, Some("web"))), "what names no place is not in this one");
    assert!(!hides(&Condition { what: AlarmKind::WentBack, ..condition(Some("production"), Some("web")) }));
}
