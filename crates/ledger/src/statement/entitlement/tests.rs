use super::*;
use crate::{
    keys::{PrivateKey, Signer as _},
    statement::{
        payload::samples::{all, dig, statement},
        v1::{Charter, Halt, Member, Resume, Robot, Role},
    },
};

fn key_of(who: &str) -> PrivateKey {
    PrivateKey::from_seed(Scheme::Ed25519, Digest::of(who.as_bytes()).as_bytes()).unwrap()
}

fn id(who: &str) -> KeyId {
    key_of(who).key().id()
}

fn key(who: &str) -> Key {
    Key { scheme: KeyScheme::Ed25519, public: key_of(who).key().to_openssh() }
}

/// Ada may say everything that people may, Rob everything that robots may, each in a role of that name.
fn charter() -> Charter {
    let Some((_, sample)) = all().into_iter().next() else { panic!() };
    let Claim::Charter(charter) = sample.claim else { panic!() };
    let member = |id: &str, founder| Member {
        id: id.parse().unwrap(),
        keys: vec![key(id)],
        roles: vec!["everything".parse().unwrap()],
        identity: dig(id),
        founder,
    };
    Charter {
        members: vec![member("ada", true), member("ben", false)],
        robots: vec![Robot {
            id: "rob".parse().unwrap(),
            role: "everything".parse().unwrap(),
            key: key("rob"),
            controllers: vec!["ben".parse().unwrap()],
            host: "main".parse().unwrap(),
            environments: Vec::new(),
        }],
        roles: vec![
            Role { name: "everything".parse().unwrap(), says: Kind::ALL.to_vec() },
            Role { name: "nothing".parse().unwrap(), says: Vec::new() },
        ],
        recovery: None,
        key_delay_s: 0,
        values: Vec::new(),
        silence: None,
        programs: BTreeMap::new(),
        ..*charter
    }
}

fn members() -> Members {
    Members::of(charter(), dig("charter")).unwrap()
}

/// The statement with the header that its claim asks for.
fn fit(mut statement: Statement) -> Statement {
    let header = &mut statement.header;
    header.role = "everything".parse().unwrap();
    match statement.claim.kind() {
        Kind::Change | Kind::Build | Kind::Evidence | Kind::Exception => header.environment = None,
        Kind::Tick | Kind::KeyWithdrawal | Kind::Erasure | Kind::Amendment | Kind::Consent => {
            (header.environment, header.system) = (None, None);
        }
        Kind::Halt => header.environment = None,
        _ => {}
    }
    statement
}

fn words(members: &Members, statement: &Statement, who: &str) -> String {
    members.entitle(statement, id(who)).map_or_else(|e| e.to_string(), |s| s.to_string())
}

#[test]
fn people_say_what_people_say_and_robots_the_rest() {
    let members = members();
    for (name, statement) in all() {
        let (statement, kind) = (fit(statement), statement_kind(name));
        if kind == Kind::Charter {
            continue;
        }
        let person = words(&members, &statement, "ada");
        let robot = words(&members, &statement, "rob");
        let no = |who: &str, only: &str| format!("{who} may not make a statement of kind {kind}: only {only} may");
        let (wanted_person, wanted_robot) = match kind.speaker() {
            Speaker::Person => ("ada".to_owned(), no("robot rob", "people")),
            Speaker::Robot => (no("ada", "robots"), "robot rob".to_owned()),
            Speaker::Either => ("ada".to_owned(), "robot rob".to_owned()),
        };
        assert_eq!((person, robot), (wanted_person, wanted_robot), "{name}");
    }
}

fn statement_kind(name: &str) -> Kind {
    all().into_iter().find(|(n, _)| *n == name).unwrap().1.claim.kind()
}

fn resume() -> Statement {
    fit(statement(Claim::Resume(Resume { halt: 1 })))
}

#[test]
fn refusals_in_order() {
    let members = members();
    let mut statement = resume();
    assert_eq!(words(&members, &statement, "ada"), "ada");
    assert_eq!(words(&members, &statement, "nobody"), format!("the charter lists no key {}", id("nobody")));
    statement.header.environment = Some("nowhere".parse().unwrap());
    assert_eq!(words(&members, &statement, "ada"), "the charter has no environment `nowhere`");
    statement.header.system = Some("nothing".parse().unwrap());
    assert_eq!(words(&members, &statement, "ada"), "the charter has no system `nothing`");
    statement.header.role = "nothing".parse().unwrap();
    assert_eq!(words(&members, &statement, "ada"), "ada does not hold the role `nothing`");
    for other in [None, Some(dig("another"))] {
        statement.header.charter = other;
        assert_eq!(words(&members, &statement, "ada"), "the statement is for another charter");
    }
    let mut charter = charter();
    charter.members[0].roles.push("nothing".parse().unwrap());
    let members = Members::of(charter, dig("charter")).unwrap();
    let mut statement = resume();
    statement.header.role = "nothing".parse().unwrap();
    assert_eq!(words(&members, &statement, "ada"), "the role `nothing` may not make a statement of kind resume");
}

#[test]
fn header_and_claim_are_about_the_same() {
    let members = members();
    for (name, statement) in all() {
        let kind = statement.claim.kind();
        // The others are about whatever their signer means.
        let anywhere = [Kind::Resume, Kind::Cancellation, Kind::Alarm, Kind::Acknowledgement, Kind::Silence];
        if kind == Kind::Charter || anywhere.contains(&kind) {
            continue;
        }
        let who = if kind.speaker() == Speaker::Robot { "rob" } else { "ada" };
        let good = fit(statement);
        let wrong = format!("the header of the {kind} does not name the system and environment that it is about");
        let mut other = good.clone();
        other.header.environment = match other.header.environment {
            Some(_) => None,
            None => Some("production".parse().unwrap()),
        };
        assert_eq!(words(&members, &other, who), wrong, "{name}");
        let mut other = good.clone();
        other.header.system = match other.header.system {
            Some(_) => None,
            None => Some("bank".parse().unwrap()),
        };
        if kind != Kind::Halt {
            assert_eq!(words(&members, &other, who), wrong, "{name}");
        }
    }
    let halt = Halt { environment: Some("production".parse().unwrap()), reason: None };
    let mut halt = statement(Claim::Halt(halt));
    halt.header.role = "everything".parse().unwrap();
    assert_eq!(words(&members, &halt, "ada"), "ada");
}

#[test]
fn robots_act_where_and_as_what_the_charter_says() {
    let mut charter = charter();
    charter.environments.push(charter.environments[0].clone());
    charter.environments[1].name = "staging".parse().unwrap();
    charter.robots[0].environments = vec!["staging".parse().unwrap()];
    charter.programs = [("everything".parse().unwrap(), vec![dig("program")])].into();
    let members = Members::of(charter, dig("charter")).unwrap();
    let (_, proposal) = all().into_iter().find(|(n, _)| *n == "proposal").unwrap();
    assert_eq!(words(&members, &fit(proposal), "rob"), "robot rob does not act in `production`");
    let (_, build) = all().into_iter().find(|(n, _)| *n == "build").unwrap();
    let mut build = fit(build);
    assert_eq!(words(&members, &build, "rob"), "robot rob");
    for other in [None, Some(dig("another program"))] {
        build.header.program = other;
        assert_eq!(
            words(&members, &build, "rob"),
            "the charter does not list the program that signed for the role `everything`"
        );
    }
    // Programs are asked of robots; people sign with whatever they have.
    let mut resume = resume();
    resume.header.program = None;
    assert_eq!(words(&members, &resume, "ada"), "ada");
}

#[test]
fn founders_sign_this_charter() {
    let members = members();
    let mut statement = statement(Claim::Charter(Box::new(charter())));
    statement.header.role = FOUNDER_ROLE.parse().unwrap();
    assert_eq!(words(&members, &statement, "ada"), "ada");
    assert_eq!(words(&members, &statement, "ben"), "ben does not hold the role `founder`");
    assert_eq!(words(&members, &statement, "rob"), "robot rob does not hold the role `founder`");
    let mut other = statement.clone();
    other.header.role = "everything".parse().unwrap();
    assert_eq!(words(&members, &other, "ada"), "ada does not hold the role `everything`");
    let mut other = statement.clone();
    other.header.charter = Some(dig("charter"));
    assert_eq!(words(&members, &other, "ada"), "the statement is for another charter");
    let Claim::Charter(charter) = &mut statement.claim else { panic!() };
    charter.witness_quorum = 0;
    assert_eq!(words(&members, &statement, "ada"), "the statement is for another charter");
}

#[test]
fn nothing_signed_is_for_ever() {
    let statement = resume();
    let end = statement.header.expires;
    let at = |now| Members::check_expiry(&statement, now).map_err(|e| e.to_string());
    let before = |s| Timestamp::from_unix(end.unix() - s);
    assert_eq!(at(before(1)), Ok(()));
    assert_eq!(at(end), Err(format!("the statement expired at {end}")));
    assert_eq!(at(before(LONGEST_LIFE_S)), Ok(()));
    assert_eq!(
        at(before(LONGEST_LIFE_S + 1)),
        Err(format!("the statement would count until {end}, longer than a year"))
    );
}

#[test]
fn a_key_belongs_to_one() {
    let mut charter = charter();
    charter.robots[0].key = key("ada");
    let error = Members::of(charter, dig("charter")).unwrap_err();
    assert_eq!(error, EntitlementError::SharedKey(id("ada")));
}
