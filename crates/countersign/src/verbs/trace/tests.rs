use serde_json::{Value, json};

use super::{Args, run};
use crate::{
    fault::Kind,
    verbs::world::{World, arguments, commit, printed, ran},
};
use ledger::statement::v1::{EvidenceOutcome, MilestoneKind};

fn trace(world: &World, what: &str) -> String {
    printed(|out| run(&arguments::<Args>(&[what]), &world.common, out))
}

/// From each of its names the same chain: from the running address back to the requirement, and on from there.
#[test]
fn every_name_leads_to_the_whole_chain() {
    let world = World::new();
    let (release, proposal, _) = world.released(1, None, [None, None]);
    let address = trace(&world, "127.0.0.1:8088");
    let names = [
        "paydesk-000001".to_owned(),
        "PAY-1".to_owned(),
        "http://127.0.0.1:8088/pay".to_owned(),
        "10.77.0.11:8080".to_owned(),
        release.digest.to_string(),
        release.image.to_string(),
        release.digest.hex(),
        commit(1).to_string(),
        proposal.to_string(),
        "paydesk/production".to_owned(),
    ];
    for name in names {
        assert_eq!(trace(&world, &name), address, "{name}");
    }
    let commit = commit(1);
    for part in [
        "requirement  PAY-1\n".to_owned(),
        format!("commit       {commit} for PAY-1, by ada, signed by ada\n"),
        format!("change       paydesk-000001 at {}: {commit} on main, accepted\n", release.change),
        format!("build        paydesk-000001 at {} by robot builder\n", release.build),
        format!("  image      {} web\n", release.image),
        "suite end-to-end (full, on containers) passed: 5 passed, 0 failed, 0 skipped, 0 flaky of release ".to_owned(),
        "covers PAY-1\n".to_owned(),
        "fully tested: yes, every suite that binds passed on these images\n".to_owned(),
        format!("proposal     {proposal} into production by robot builder, replaces nothing\n"),
        " by ben: of proposal ".to_owned(),
        " by cem: of proposal ".to_owned(),
        " granted until ".to_owned(),
        ": paydesk-000001 in production: live\n".to_owned(),
        "runs         in production, by statement ".to_owned(),
        format!("  web        127.0.0.1:8088 {}\n", release.image),
        "  the agent could not be asked what it sees now\n".to_owned(),
    ] {
        assert!(address.contains(&part), "`{part}` is missing:\n{address}");
    }
}

#[test]
fn what_the_agent_sees_is_shown_as_its_word() {
    let world = World::new();
    let (release, ..) = world.released(1, None, [None, None]);
    let instance = json!({ "component": "web", "serial": "paydesk-000001", "address": "10.77.0.11:8080", "image": release.image, "state": { "healthy": {} } });
    *world.status.lock().unwrap() =
        json!({ "processes": [], "edge": null, "agent": { "paydesk in production": { "instances": [instance] } } });
    let text = trace(&world, "paydesk-000001");
    assert!(
        text.ends_with(&format!(
            "  the agent sees 1 instance now:\n    web at 10.77.0.11:8080 {} (healthy)\n",
            release.image
        )),
        "{text}"
    );
    *world.status.lock().unwrap() = json!({ "agent": {} });
    assert!(trace(&world, "paydesk-000001").ends_with("  the agent sees NO instance of it now\n"));
}

#[test]
fn what_was_not_fully_tested_says_so_plainly() {
    let world = World::new();
    let untested = world.built(1, None);
    let text = trace(&world, "paydesk-000001");
    assert!(text.contains("fully tested: NO: it was never proposed; no suite was run on it\n"), "{text}");
    assert!(text.contains("proposal     none\nruns         nowhere\n"), "{text}");
    world.tested(&untested, EvidenceOutcome::Failed, [None, None]);
    world.proposed(&untested);
    let text = trace(&world, "paydesk-000001");
    assert!(
        text.contains(
            "fully tested: NO: end-to-end: failed, 1 of 6 cases; no full suite passed on containers of its images\n"
        ),
        "{text}"
    );
}

/// After a newer release took the address, the address leads to that one.
#[test]
fn an_address_leads_to_what_runs_there_now() {
    let world = World::new();
    let (first, _, evidence) = world.released(1, None, [None, None]);
    let (_, second, _) = world.released(2, Some(first.change), evidence.map(Some));
    assert!(trace(&world, "127.0.0.1:8088").starts_with("requirement  PAY-2\n"));
    world.happened(second, MilestoneKind::WentBackErrors);
    let text = printed(|out| run(&arguments::<Args>(&["127.0.0.1:8088"]), &World::json(&world.common), out));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["chains"][0]["requirements"], json!(["PAY-1"]));
    assert_eq!(json["chains"][0]["tested"]["fully"], true);
    let fault = ran(|out| run(&arguments::<Args>(&["127.0.0.1:9"]), &world.common, out)).1.unwrap_err();
    assert_eq!((fault.kind(), fault.message().as_str()), (Kind::Usage, "`127.0.0.1:9` leads to nothing in the log"));
}
