use super::{Args, run};
use crate::{
    fault::Kind,
    verbs::world::{World, arguments, printed, production, ran, system},
};

#[test]
fn it_goes_back_to_what_ran_before() {
    let world = World::new();
    let order = |more: &[&str]| {
        let given: Vec<&str> =
            ["paydesk", "-e", "production", "--yes"].into_iter().chain(more.iter().copied()).collect();
        ran(|out| run(&arguments::<Args>(&given), &world.as_person("olga"), out))
    };
    assert_eq!(order(&[]).1.unwrap_err().message(), "nothing of paydesk runs in production");
    let (first, _, evidence) = world.released(1, None, [None, None]);
    let fault = order(&[]).1.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.message().as_str()),
        (Kind::Refused, "paydesk-000001 is the first release of paydesk in production; nothing ran before it")
    );
    let (second, _, _) = world.released(2, Some(first.change), evidence.map(Some));
    let (text, end) = order(&[]);
    end.unwrap();
    assert!(text.starts_with("paydesk in production: from paydesk-000002 back to paydesk-000001\n"), "{text}");
    assert!(text.contains("ordered by olga, in the log as "), "{text}");
    let view = world.view();
    let (system, production) = (system(), production());
    let said = view.facts().rollbacks(&system, &production).next().unwrap();
    assert_eq!((said.claim.from, said.claim.to), (second.digest, first.digest));
    // Waiting without an agent ends, and says so.
    let fault = order(&["--wait-s", "1"]).1.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.message().as_str()),
        (Kind::Unavailable, "paydesk-000001 does not run again after 1 s")
    );
}

#[test]
fn a_return_is_seen_when_the_agent_says_so() {
    use ledger::statement::v1::MilestoneKind;
    let world = World::new();
    let (first, first_proposal, evidence) = world.released(1, None, [None, None]);
    world.released(2, Some(first.change), evidence.map(Some));
    let common = World::json(&world.as_person("olga"));
    let text = std::thread::scope(|scope| {
        let ordered =
            scope.spawn(|| printed(|out| run(&arguments::<Args>(&["--yes", "--wait-s", "30"]), &common, out)));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while world.view().facts().rollbacks(&system(), &production()).next().is_none() {
            assert!(std::time::Instant::now() < deadline, "the order is not in the log");
            std::thread::yield_now();
        }
        world.happened(first_proposal, MilestoneKind::Live);
        ordered.join().unwrap()
    });
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((json["runs_again"].as_bool(), json["to"].as_str()), (Some(true), Some("paydesk-000001")));
}
