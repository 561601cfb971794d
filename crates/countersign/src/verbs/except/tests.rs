use super::{Args, date, run};
use crate::{
    clock::SystemClock,
    fault::Kind,
    verbs::world::{World, arguments, printed, ran},
};
use model::Clock as _;

/// A day next month, as a person writes it.
fn day() -> String {
    SystemClock.now().plus_s(30 * 86_400).to_string().split('T').next().unwrap().to_owned()
}

#[test]
fn two_must_say_exactly_the_same() {
    let world = World::new();
    world.built(1, None);
    let ends = day();
    let given = ["end-to-end", "e2e › test_refund", "--owner", "ada", "--ends", &ends];
    let first = printed(|out| run(&arguments::<Args>(&given), &world.as_person("ben"), out));
    assert!(first.contains("ben excepts e2e › test_refund of end-to-end until "), "{first}");
    assert!(first.contains(&format!("{ends}T00:00:00Z, owned by ada; in the log as ")), "{first}");
    assert!(first.contains("said so far by 1 person (ben): 2 must say exactly the same"), "{first}");
    let second = printed(|out| run(&arguments::<Args>(&given), &world.as_person("cem"), out));
    assert!(second.contains("said so far by 2 persons (ben, cem): it counts"), "{second}");
}

#[test]
fn what_can_not_be_excepted_is_refused() {
    let world = World::new();
    world.built(1, None);
    let ask = |given: &[&str]| ran(|out| run(&arguments::<Args>(given), &world.as_person("ben"), out)).1.unwrap_err();
    let fault = ask(&["nightly", "a", "--owner", "ada", "--ends", &day()]);
    assert_eq!(
        (fault.message().as_str(), fault.hint_text()),
        ("paydesk has no suite `nightly`", Some("it has end-to-end, unit"))
    );
    assert_eq!(ask(&["unit", "a", "--owner", "zoe", "--ends", &day()]).message(), "the charter has no person `zoe`");
    assert_eq!(ask(&["unit", "a", "--owner", "ada", "--ends", "1999-01-31"]).message(), "`1999-01-31` is over");
    assert!(
        ask(&["unit", "a", "--owner", "ada", "--ends", "2999-01-31"]).message().ends_with("is more than a year away")
    );
    assert_eq!(ask(&["unit", "a", "--owner", "ada", "--ends", "soon"]).kind(), Kind::Usage);
}

#[test]
fn dates_are_days_or_moments() {
    assert_eq!(date("2027-01-31").unwrap().to_string(), "2027-01-31T00:00:00Z");
    assert_eq!(date("2027-01-31T12:30:00+01:00").unwrap().to_string(), "2027-01-31T11:30:00Z");
    assert!(date("31.1.2027").is_err());
}
