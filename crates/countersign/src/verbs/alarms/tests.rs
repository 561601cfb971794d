use ledger::statement::v1::{Acknowledgement, Alarm, AlarmKind, Claim};

use super::*;
use crate::{
    fault::Kind,
    verbs::{
        acknowledge, silence, status,
        world::{World, arguments, printed, ran},
    },
};

fn fires(world: &World, component: &str) -> u64 {
    let about = AlarmAbout { component: Some(component.parse().unwrap()), ..AlarmAbout::default() };
    world.say("watch", "watch", Claim::Alarm(Alarm { what: AlarmKind::ProbeFailed, about, firing: true }), false)
}

#[test]
fn what_fires_who_has_seen_it_and_what_is_silenced_is_shown_here_and_in_status() {
    let world = World::new();
    assert_eq!(printed(|out| run(&arguments(&[]), &world.common, out)), "no alarm fires\n");
    let index = fires(&world, "web");
    world.tick();
    let text = printed(|out| run(&arguments(&[]), &world.common, out));
    assert!(text.starts_with(&format!("ALARM {index} probe-failed component web since 20")), "{text}");
    assert!(text.ends_with("say that you have seen one with `countersign acknowledge NUMBER`\n"), "{text}");

    let seen = printed(|out| acknowledge::run(&arguments(&[&index.to_string()]), &world.as_person("olga"), out));
    assert!(seen.starts_with("olga has seen probe-failed component web; in the log as "), "{seen}");
    let silenced = printed(|out| {
        let args = ["probe-failed", "--for", "2h", "--component", "web", "--reason", "moving house"];
        silence::run(&arguments(&args), &world.as_person("dina"), out)
    });
    assert!(silenced.starts_with("dina silences probe-failed until 20"), "{silenced}");
    let waits = printed(|out| run(&arguments(&[]), &world.common, out));
    assert!(waits.contains("hides nothing: it begins with the next tick"), "{waits}");
    world.tick();
    let text = printed(|out| run(&arguments(&[]), &world.common, out));
    assert!(text.contains(", seen by olga, SILENCED by "), "{text}");
    assert!(text.contains(" by dina: probe-failed of component web, until 20"), "{text}");
    assert!(!text.contains("say that you have seen"), "{text}");

    let status_text = printed(|out| status::run(&arguments(&[]), &world.common, out));
    assert!(status_text.contains("ALARM ") && status_text.contains("SILENCE "), "{status_text}");
    let json = printed(|out| status::run(&arguments(&[]), &World::json(&world.common), out));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["alarms"][0]["acknowledged_by"], "olga");
    assert_eq!(json["silences"][0]["by"], "dina");
    let json = printed(|out| run(&arguments(&[]), &World::json(&world.common), out));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["firing"][0]["silenced_by"], json["silences"][0]["silence"]);

    // Anybody who may cancel ends it.
    let number = json["silences"][0]["silence"].to_string();
    let ended = printed(|out| silence::run(&arguments(&["end", &number]), &world.as_person("pim"), out));
    assert!(ended.starts_with(&format!("pim has ended the silence {number}")), "{ended}");
    let text = printed(|out| run(&arguments(&[]), &world.common, out));
    assert!(!text.contains("SILENCE"), "{text}");
    let text = printed(|out| run(&arguments(&["--all"]), &world.common, out));
    assert!(text.contains("hides nothing: pim ended it with statement "), "{text}");
    let (_, end) = ran(|out| silence::run(&arguments(&["end", &number]), &world.as_person("pim"), out));
    assert!(end.unwrap_err().message().contains("hides nothing: pim ended it"));
}

#[test]
fn a_silence_that_would_hide_nothing_is_refused_before_it_is_said() {
    let world = World::new();
    let size = world.view().facts().size();
    let rows: [(&str, &[&str], Kind, &str); 7] = [
        (
            "dina",
            &["probe-failed", "--for", "3h", "--reason", "x"],
            Kind::Refused,
            "lets a silence last 7200 s at most",
        ),
        (
            "dina",
            &["went-back", "--for", "1h", "--reason", "x"],
            Kind::Refused,
            "lets nobody silence alarms of the kind `went-back`",
        ),
        (
            "dina",
            &["value-proposed", "--for", "1h", "--reason", "x"],
            Kind::Refused,
            "`value-proposed` can not be silenced at all",
        ),
        ("dina", &["fork", "--for", "1h", "--reason", "x"], Kind::Refused, "`fork` can not be silenced at all"),
        (
            "olga",
            &["probe-failed", "--for", "1h", "--reason", "x"],
            Kind::Refused,
            "olga holds no role that may say `silence`",
        ),
        ("dina", &["probe-failed", "--for", "soon", "--reason", "x"], Kind::Usage, "`soon` is not a length of time"),
        ("dina", &["probe-failed", "--for", "1h", "--reason", "x", "--system", "other"], Kind::Usage, "other"),
    ];
    for (who, args, kind, words) in rows {
        let (_, end) = ran(|out| silence::run(&arguments(args), &world.as_person(who), out));
        let fault = end.unwrap_err();
        assert!(fault.kind() == kind && fault.message().contains(words), "{args:?}: {fault}");
        assert!(fault.hint_text().is_some(), "{args:?}: {fault}");
    }
    assert_eq!(world.view().facts().size(), size, "nothing of it is in the log");
    let (_, end) = ran(|out| silence::run(&arguments(&["end", "3"]), &world.as_person("pim"), out));
    assert!(end.unwrap_err().message().contains("there is no silence 3"));
}

#[test]
fn only_a_person_acknowledges_and_only_what_fires() {
    let world = World::new();
    let index = fires(&world, "web");
    let number = index.to_string();
    let (_, end) = ran(|out| acknowledge::run(&arguments(&["0"]), &world.as_person("olga"), out));
    assert!(end.unwrap_err().message().contains("there is no alarm 0"));
    let (_, end) = ran(|out| acknowledge::run(&arguments(&[&number]), &world.as_person("ada"), out));
    assert!(end.unwrap_err().message().contains("ada holds no role that may say `acknowledgement`"));
    world.say("olga", "operator", Claim::Acknowledgement(Acknowledgement { alarm: index }), false);
    let about = AlarmAbout { component: Some("web".parse().unwrap()), ..AlarmAbout::default() };
    world.say("watch", "watch", Claim::Alarm(Alarm { what: AlarmKind::ProbeFailed, about, firing: false }), false);
    let (_, end) = ran(|out| acknowledge::run(&arguments(&[&number]), &world.as_person("olga"), out));
    assert!(end.unwrap_err().message().contains(&format!("the alarm {index} is over")));
}
