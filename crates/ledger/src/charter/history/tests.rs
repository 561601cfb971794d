//! Amendments under attack: who may not complete one, what never comes into force, and what is not taken back.

mod recovery;

use model::{Digest, KeyId, Timestamp};

use super::*;
use crate::{
    charter::{DiffError, diff},
    fixtures::{ORIGIN, key, log_signer, witness_signer},
    keys::{Scheme, Signer as _},
    note::NoteSigner,
    statement::{
        MEMBER_ROLE, RECOVERY_ROLE, samples,
        v1::{
            Amendment, Cancellation, Consent, Edit, EnvironmentRule, Group, Host, KeyScheme, KeyWithdrawal, Kind,
            LogKey, Member, Quorum, Recovery, Role, SystemRule, Tick, WitnessKey,
        },
    },
};

const DAY: u64 = 86_400;

fn number(who: &str) -> u8 {
    let names = ["ada", "ben", "cem", "dora", "ada/2", "new", "new/2", "r1", "r2", "r3", "gate", "eve"];
    u8::try_from(names.iter().position(|n| *n == who).unwrap()).unwrap() + 20
}

fn id_of(who: &str) -> KeyId {
    key(Scheme::Ed25519, number(who)).key().id()
}

fn public(who: &str) -> Key {
    Key { scheme: KeyScheme::Ed25519, public: key(Scheme::Ed25519, number(who)).key().to_openssh() }
}

fn quorum(groups: &[(&str, u32)]) -> Quorum {
    Quorum { groups: groups.iter().map(|(r, n)| Group { role: r.parse().unwrap(), count: *n }).collect() }
}

fn member(id: &str, keys: &[&str], roles: &[&str]) -> Member {
    Member {
        id: id.parse().unwrap(),
        keys: keys.iter().map(|k| public(k)).collect(),
        roles: roles.iter().map(|r| r.parse().unwrap()).collect(),
        identity: Digest::of(id.as_bytes()),
        founder: id == "ada",
    }
}

fn charter() -> Charter {
    let sample = samples::charter();
    let role = |name: &str, says: &[Kind]| Role { name: name.parse().unwrap(), says: says.to_vec() };
    let witness = |name: &str, n: u8| WitnessKey {
        name: name.to_owned(),
        operator: name.to_owned(),
        vkey: witness_signer(name, n).vkey().to_string(),
        url: "http://127.0.0.1:1/".to_owned(),
    };
    let mut robot = sample.robots[0].clone();
    (robot.id, robot.role, robot.key) = ("gate".parse().unwrap(), "gate".parse().unwrap(), public("gate"));
    (robot.controllers, robot.host) = (vec!["dora".parse().unwrap()], "main".parse().unwrap());
    robot.environments = Vec::new();
    let environment = EnvironmentRule {
        quorum: quorum(&[("manager", 2)]),
        resume: quorum(&[("manager", 2)]),
        emergency: None,
        builders: 1,
        cool_off_s: 0,
        ..sample.environments[0].clone()
    };
    Charter {
        demo: true,
        log: LogKey { origin: ORIGIN.to_owned(), vkey: log_signer().vkey().to_string() },
        witnesses: vec![witness("w.example", 90)],
        witness_quorum: 1,
        members: vec![
            member("ada", &["ada", "ada/2"], &["manager"]),
            member("ben", &["ben"], &["manager"]),
            member("cem", &["cem"], &["manager", "risk"]),
            member("dora", &["dora"], &["developer"]),
        ],
        robots: vec![robot],
        hosts: vec![Host { name: "main".parse().unwrap(), administrators: vec!["dora".parse().unwrap()] }],
        roles: vec![
            role("manager", &[Kind::Amendment, Kind::Consent, Kind::KeyWithdrawal]),
            role("risk", &[Kind::Consent]),
            role("developer", &[Kind::Amendment]),
            role("gate", &[Kind::Tick]),
        ],
        conflicts: vec![("developer".parse().unwrap(), "manager".parse().unwrap())],
        systems: vec![SystemRule {
            name: "bank".parse().unwrap(),
            remote: "/srv".to_owned(),
            branch: "main".to_owned(),
        }],
        environments: vec![environment],
        amendment: quorum(&[("manager", 2)]),
        recovery: Some(Recovery { keys: ["r1", "r2", "r3"].map(public).into(), count: 2, delay_s: 7 * DAY }),
        key_delay_s: DAY,
        values: Vec::new(),
        silence: None,
        programs: BTreeMap::new(),
        ..sample
    }
}

/// A log of statements that only charters read, each entitled as at the door.
struct Told {
    charters: Charters,
    now: u64,
    nonce: u128,
    witness: NoteSigner,
}

impl Told {
    fn new() -> Self {
        Self::under(charter())
    }

    fn under(charter: Charter) -> Self {
        let members = Members::of(charter, Digest::of(b"root")).unwrap();
        let witness = witness_signer("w.example", 90);
        let mut told = Self { charters: Charters::new(&members), now: 1_000_000, nonce: 0, witness };
        told.tick();
        told
    }

    fn charter(&self) -> &Charter {
        self.charters.members().charter()
    }

    fn statement(&mut self, role: &str, claim: Claim) -> Statement {
        self.nonce += 1;
        let mut said = samples::statement(claim);
        said.header.charter = Some(self.charters.members().hash());
        said.header.role = role.parse().unwrap();
        (said.header.system, said.header.environment) = (None, None);
        said.header.nonce = crate::statement::v1::Nonce::from_bytes(self.nonce.to_be_bytes());
        said.header.expires = Timestamp::from_unix(self.now + 300 * DAY);
        said
    }

    /// Said if the door would let it in; then its index.
    fn try_say(&mut self, who: &str, role: &str, claim: Claim) -> Result<u64, String> {
        let said = self.statement(role, claim);
        self.charters.members().entitle(&said, id_of(who)).map_err(|e| e.to_string())?;
        self.charters.check(id_of(who), &said).map_err(|e| chain(&e))?;
        Ok(self.put(who, &said))
    }

    /// Said by whoever holds the log's key and lets everything in.
    fn force(&mut self, who: &str, role: &str, claim: Claim) -> u64 {
        let said = self.statement(role, claim);
        self.put(who, &said)
    }

    fn put(&mut self, who: &str, said: &Statement) -> u64 {
        let index = self.charters.size();
        let identity = Identity::of(&said.to_bytes().unwrap(), id_of(who));
        self.charters.take(index, id_of(who), identity, said, None);
        index
    }

    fn tick(&mut self) {
        let claim = self.tick_claim(self.now);
        self.force("gate", "gate", claim);
    }

    /// A tick over everything, cosigned at this second.
    fn tick_claim(&self, at: u64) -> Claim {
        let size = self.charters.size();
        let root = crate::merkle::CompactRange::new().root();
        let mut signed = crate::checkpoint::SignedCheckpoint::sign(size, root, &log_signer()).unwrap();
        signed.add(self.witness.sign(signed.note().text(), Timestamp::from_unix(at)).unwrap());
        let checkpoint = String::from_utf8(signed.to_bytes()).unwrap();
        Claim::Tick(Tick { checkpoint, at: Timestamp::from_unix(0) })
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        self.tick();
    }

    fn amendment(&self, edit: impl FnOnce(&mut Charter)) -> Amendment {
        let mut to = self.charter().clone();
        edit(&mut to);
        let edits = diff(self.charter(), &to).unwrap();
        Amendment { from: self.charter().digest(), becomes: to.digest(), edits }
    }

    fn propose(&mut self, who: &str, edit: impl FnOnce(&mut Charter)) -> Result<u64, String> {
        let amendment = self.amendment(edit);
        let role = match who {
            "dora" => "developer",
            r if r.starts_with('r') => RECOVERY_ROLE,
            _ => "manager",
        };
        self.try_say(who, role, Claim::Amendment(Box::new(amendment)))
    }

    fn yes(&self, amendment: u64) -> Claim {
        let becomes = self.charters.put(amendment).unwrap().amendment.becomes;
        Claim::Consent(Consent { amendment, becomes, shown: Digest::of(b"shown") })
    }

    fn consent(&mut self, who: &str, amendment: u64) -> Result<u64, String> {
        let role = if who.starts_with('r') { RECOVERY_ROLE } else { "manager" };
        let claim = self.yes(amendment);
        self.try_say(who, role, claim)
    }

    fn withdraw(&mut self, who: &str, void_from: u64) -> u64 {
        self.force("cem", "manager", Claim::KeyWithdrawal(KeyWithdrawal { key: id_of(who), void_from }))
    }

    fn state(&self, amendment: u64) -> &State {
        &self.charters.put(amendment).unwrap().state
    }

    fn is_in_force(&self, amendment: u64) -> bool {
        matches!(self.state(amendment), State::InForce { .. })
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words += ": ";
        words += &error.to_string();
        source = error.source();
    }
    words
}

fn hire_eve(c: &mut Charter) {
    c.members.push(member("eve", &["eve"], &["manager"]));
}

#[test]
fn it_comes_into_force_with_the_consent_that_completes_the_quorum() {
    let mut log = Told::new();
    let root = log.charter().digest();
    let at = log.propose("dora", hire_eve).unwrap();
    let one = log.consent("ada", at).unwrap();
    assert_eq!(log.charter().digest(), root, "one of two");
    let two = log.consent("ben", at).unwrap();
    assert_eq!(log.state(at), &State::InForce { from: two + 1, by: [one, two].into() });
    assert!(log.charter().member(&"eve".parse().unwrap()).is_some());
    assert_eq!(log.charters.members_at(two).digest(), root, "not for the consent itself");
    assert_ne!(log.charters.members_at(two + 1).digest(), root);
    assert_eq!(log.charters.members().hash(), Digest::of(b"root"), "the log keeps its name");
    assert_eq!(log.charters.rest_of_it(), [at, one, two]);
    assert_eq!(
        log.consent("cem", at).unwrap_err(),
        format!("the amendment at {at} does not wait for consents any more")
    );
}

impl Charters {
    fn rest_of_it(&self) -> Vec<u64> {
        self.rests_on.iter().copied().filter(|i| *i > 0).collect()
    }
}

#[test]
fn nobody_counts_who_should_not() {
    // The proposer, by either of her keys, by herself and by force.
    let mut log = Told::new();
    let at = log.propose("ada", hire_eve).unwrap();
    for own in ["ada", "ada/2"] {
        let words = log.consent(own, at).unwrap_err();
        assert_eq!(words, "ada proposed it: whoever proposes an amendment does not count");
        let yes = log.yes(at);
        log.force(own, "manager", yes);
    }
    log.consent("ben", at).unwrap();
    assert!(!log.is_in_force(at), "ben and the proposer are one too few");

    // Two keys of one person, and one person in two roles.
    let mut log = Told::new();
    let at = log.propose("dora", hire_eve).unwrap();
    log.consent("ada", at).unwrap();
    assert_eq!(log.consent("ada/2", at).unwrap_err(), "ada has consented to it already");
    let yes = log.yes(at);
    log.force("ada/2", "manager", yes);
    assert!(!log.is_in_force(at), "two keys are one person");

    // Somebody whose role may not, a robot, and a recovery key.
    let yes = log.yes(at);
    assert!(
        log.try_say("dora", "developer", yes.clone()).unwrap_err().contains("may not make a statement of kind consent")
    );
    assert!(log.try_say("gate", "gate", yes.clone()).unwrap_err().contains("may not make a statement of kind consent"));
    assert!(log.try_say("r1", RECOVERY_ROLE, yes.clone()).unwrap_err().contains("takes consents by members alone"));
    for (who, role) in [("dora", "developer"), ("gate", "gate"), ("r1", RECOVERY_ROLE), ("r2", RECOVERY_ROLE)] {
        log.force(who, role, yes.clone());
    }
    assert!(!log.is_in_force(at));
    log.consent("ben", at).unwrap();
    assert!(log.is_in_force(at));
}

#[test]
fn groups_joined_by_and_need_different_persons() {
    let mut charter = charter();
    charter.amendment = quorum(&[("manager", 1), ("risk", 1)]);
    let mut log = Told::under(charter);
    let at = log.propose("dora", hire_eve).unwrap();
    log.consent("cem", at).unwrap();
    let yes = log.yes(at);
    log.try_say("cem", "risk", yes).unwrap();
    assert!(!log.is_in_force(at), "cem in both roles is one person");
    log.consent("ada", at).unwrap();
    assert!(log.is_in_force(at));
}

#[test]
fn a_consent_is_to_one_result_and_said_once() {
    let mut log = Told::new();
    let at = log.propose("dora", hire_eve).unwrap();
    let other = Claim::Consent(Consent { amendment: at, becomes: Digest::of(b"other"), shown: Digest::of(b"") });
    assert!(log.try_say("ben", "manager", other.clone()).unwrap_err().contains("the consent is to another"));
    log.force("ben", "manager", other);
    let ada = log.statement("manager", log.yes(at));
    log.put("ada", &ada);
    log.put("ada", &ada);
    assert_eq!(log.charters.put(at).unwrap().consents.len(), 1, "the same statement again says nothing");
    assert!(!log.is_in_force(at));
    let none = Claim::Consent(Consent { amendment: 999, becomes: Digest::of(b""), shown: Digest::of(b"") });
    assert_eq!(log.try_say("ben", "manager", none).unwrap_err(), "there is no amendment at log index 999");
}

#[test]
fn a_consent_by_somebody_who_lost_the_role_since_counts_for_nothing() {
    let mut log = Told::new();
    let at = log.propose("dora", hire_eve).unwrap();
    log.consent("ben", at).unwrap();
    // Ben's role is taken: that is another charter, and every amendment of the one before is over with it.
    let demote = log.propose("dora", |c| c.members[1].roles.clear()).unwrap();
    log.consent("ada", demote).unwrap();
    log.consent("cem", demote).unwrap();
    assert!(log.is_in_force(demote));
    for who in ["ada", "cem"] {
        assert!(log.consent(who, at).unwrap_err().contains("propose it again"));
        let yes = log.yes(at);
        log.force(who, "manager", yes);
    }
    assert!(!log.is_in_force(at));
    // And in a new one he has no say.
    let again = log.propose("dora", hire_eve).unwrap();
    assert!(log.consent("ben", again).unwrap_err().contains("ben does not hold the role `manager`"));
    let yes = log.yes(again);
    log.force("ben", "manager", yes);
    log.consent("ada", again).unwrap();
    assert!(!log.is_in_force(again));
}

#[test]
fn a_withdrawn_key_does_not_complete_it_and_takes_nothing_back() {
    let mut log = Told::new();
    let at = log.propose("dora", hire_eve).unwrap();
    let first = log.consent("ada", at).unwrap();
    log.withdraw("ada", first);
    log.consent("ben", at).unwrap();
    assert!(!log.is_in_force(at), "ada's word is void");
    log.consent("cem", at).unwrap();
    assert!(log.is_in_force(at), "ben and cem");

    // Voiding from after what it signed leaves that as it is.
    let mut log = Told::new();
    let at = log.propose("dora", hire_eve).unwrap();
    let first = log.consent("ada", at).unwrap();
    log.withdraw("ada", first + 1);
    log.consent("ben", at).unwrap();
    assert!(log.is_in_force(at));
    assert_eq!(log.charters.by_withdrawn_keys().count(), 0);

    // Afterwards it is told, and stays.
    let withdrawn = log.withdraw("ben", 0);
    assert!(log.is_in_force(at) && log.charter().member(&"eve".parse().unwrap()).is_some());
    assert_eq!(log.charters.by_withdrawn_keys().map(|p| p.index).collect::<Vec<_>>(), [at]);
    assert_eq!(log.charters.withdrawal(id_of("ben")), Some(withdrawn));

    // The proposer's own.
    let mut log = Told::new();
    let at = log.propose("dora", hire_eve).unwrap();
    log.withdraw("dora", at);
    log.consent("ada", at).unwrap_err();
    for who in ["ada", "ben", "cem"] {
        let yes = log.yes(at);
        log.force(who, "manager", yes);
    }
    assert!(!log.is_in_force(at));
}

#[test]
fn a_stale_or_false_amendment_never_comes_into_force() {
    let mut log = Told::new();
    let one = log.propose("dora", hire_eve).unwrap();
    let two = log.propose("dora", |c| c.key_delay_s = 0).unwrap();
    log.consent("ada", one).unwrap();
    log.consent("ben", one).unwrap();
    assert!(log.consent("ada", two).unwrap_err().contains("propose it again"));
    for who in ["ada", "ben", "cem"] {
        let yes = log.yes(two);
        log.force(who, "manager", yes);
    }
    assert!(!log.is_in_force(two), "it edits another charter");
    assert_eq!(log.charter().key_delay_s, DAY);

    let truth = log.amendment(|c| c.key_delay_s = 0);
    let lies = [
        Amendment { becomes: Digest::of(b"harmless"), ..truth.clone() },
        Amendment { edits: vec![Edit::RemoveMember("nobody".parse().unwrap())], ..truth.clone() },
        Amendment { from: Digest::of(b"other"), ..truth },
    ];
    for lie in lies {
        log.try_say("dora", "developer", Claim::Amendment(Box::new(lie.clone()))).unwrap_err();
        let at = log.force("dora", "developer", Claim::Amendment(Box::new(lie)));
        for who in ["ada", "ben", "cem"] {
            let yes = log.yes(at);
            log.force(who, "manager", yes);
        }
        assert!(!log.is_in_force(at));
    }
}

#[test]
fn what_nobody_could_undo_is_refused() {
    type Row = (fn(&mut Charter), &'static str);
    let rows: [Row; 12] = [
        (|c| c.members.retain(|m| ["ada", "dora"].contains(&m.id.as_str())), "asks for 2 persons, and 1 could give it"),
        (|c| c.members.iter_mut().for_each(|m| m.roles.clear()), "asks for 2 persons, and 0 could give it"),
        (|c| c.amendment = quorum(&[("manager", 4)]), "asks for 4 persons, and 3 could give it"),
        (|c| c.amendment = quorum(&[("manager", 1)]), "is met by one person"),
        (|c| c.environments[0].quorum = quorum(&[("manager", 1)]), "is met by one person"),
        (|c| c.roles[0].says = vec![Kind::Amendment], "could not change the charter any more"),
        (
            |c| c.roles.iter_mut().for_each(|r| r.says.retain(|k| *k != Kind::Amendment)),
            "could not change the charter any more",
        ),
        (|c| c.members[1].keys = vec![public("new")], "could not change the charter any more"),
        (|c| c.members[3].roles.push("manager".parse().unwrap()), "which no one may hold together"),
        (|c| c.recovery.as_mut().unwrap().count = 1, "recovery takes at least two keys"),
        (|c| c.recovery.as_mut().unwrap().keys.push(public("ada")), "belongs to two holders"),
        (|c| c.witness_quorum = 2, "2 witnesses' operators must cosign"),
    ];
    for (edit, words) in rows {
        let mut log = Told::new();
        // So that the third manager is not simply one more.
        if words == "could not change the charter any more" {
            let gone = log.propose("dora", |c| c.members[2].roles = vec!["risk".parse().unwrap()]).unwrap();
            log.consent("ada", gone).unwrap();
            log.consent("ben", gone).unwrap();
        }
        let found = log.propose("dora", edit).unwrap_err();
        assert!(found.contains(words), "wanted {words}\ngot {found}");
        // Whoever holds the log's key lets it in; it comes to nothing all the same.
        let amendment = log.amendment(edit);
        let at = log.force("dora", "developer", Claim::Amendment(Box::new(amendment)));
        for who in ["ada", "ben", "cem"] {
            let yes = log.yes(at);
            log.force(who, "manager", yes);
        }
        assert!(!log.is_in_force(at), "{words}");
    }
}

#[test]
fn the_log_itself_has_no_amendment() {
    let c = charter();
    let mut other = c.clone();
    other.log.vkey.push('x');
    assert_eq!(diff(&c, &other), Err(DiffError::Fixed));
}

#[test]
fn new_keys_count_after_a_delay_and_are_one_holders_for_ever() {
    let mut log = Told::new();
    let at = log.propose("dora", hire_eve).unwrap();
    log.consent("ada", at).unwrap();
    log.consent("ben", at).unwrap();
    let next = log.propose("dora", |c| c.key_delay_s = 0).unwrap();
    assert!(log.consent("eve", next).unwrap_err().contains("does not count yet"));
    log.wait(10 * DAY);
    assert!(log.consent("eve", next).is_err(), "the first tick only begins it, however late it comes");
    log.wait(DAY - 1);
    assert!(log.consent("eve", next).is_err(), "one second early");
    log.wait(1);
    log.consent("eve", next).unwrap();
    log.consent("ada", next).unwrap();
    assert!(log.is_in_force(next), "a key that counts counts, and its person with it");
    assert_eq!(log.charters.new_keys().count(), 0);

    // To somebody else, to a robot, to recovery; also after it left the charter.
    let words = log.propose("dora", |c| c.members[0].keys.retain(|k| *k != public("ada/2"))).unwrap();
    log.consent("ben", words).unwrap();
    log.consent("ada", words).unwrap();
    type Edit = fn(&mut Charter);
    let rows: [Edit; 3] = [
        |c| c.members[1].keys.push(public("ada/2")),
        |c| c.robots[0].key = public("ada/2"),
        |c| c.recovery.as_mut().unwrap().keys.push(public("ada/2")),
    ];
    for edit in rows {
        let found = log.propose("dora", edit).unwrap_err();
        assert!(found.contains("belongs to ada for ever"), "{found}");
    }
    // Back to her it may come, unless it was withdrawn.
    log.withdraw("ada/2", 0);
    let found = log.propose("dora", |c| c.members[0].keys.push(public("ada/2"))).unwrap_err();
    assert!(found.contains("was withdrawn and does not come back"), "{found}");
}

#[test]
fn what_has_ended_counts_for_nothing_new() {
    let mut log = Told::new();
    let at = log.propose("dora", hire_eve).unwrap();
    log.consent("ada", at).unwrap();
    log.wait(301 * DAY);
    assert!(log.consent("ben", at).unwrap_err().contains("it ended at"));
    let yes = log.yes(at);
    log.force("ben", "manager", yes);
    assert!(!log.is_in_force(at));
}

/// The log's key or a tick robot's says an old tick again, as itself and as a new statement.
#[test]
fn an_old_tick_said_again_turns_no_time_back() {
    for many in [1, 200] {
        let mut log = Told::new();
        let old = log.tick_claim(log.now);
        let at = log.propose("dora", hire_eve).unwrap();
        log.consent("ada", at).unwrap();
        log.wait(301 * DAY);
        let late = log.charters.size() - 1;
        for _ in 0..many {
            log.force("gate", "gate", old.clone());
        }
        assert!(log.consent("ben", at).unwrap_err().contains("it ended at"));
        let yes = log.yes(at);
        log.force("ben", "manager", yes);
        assert!(!log.is_in_force(at));
        assert!(log.charters.rests_on().contains(&late), "it rests on the tick that says how late it is");
    }
}

#[test]
fn without_witnesses_a_tick_of_long_ago_does_not_end_a_delay() {
    let mut charter = charter();
    (charter.witnesses, charter.witness_quorum) = (Vec::new(), 0);
    let mut log = Told::under(charter);
    let tick = |log: &mut Told, at: u64| {
        let claim = log.tick_claim(1);
        let Claim::Tick(tick) = claim else { unreachable!() };
        log.force("gate", "gate", Claim::Tick(Tick { at: Timestamp::from_unix(at), ..tick }));
    };
    tick(&mut log, 1_000_000);
    let at = log.propose("r1", recovery::recover).unwrap();
    log.consent("r2", at).unwrap();
    tick(&mut log, 0);
    tick(&mut log, 1_000_001);
    assert!(matches!(log.state(at), State::Waiting { .. }), "{:?}", log.state(at));
    tick(&mut log, 1_000_000 + 7 * DAY);
    assert!(log.is_in_force(at));
}

#[test]
fn ticks_that_witnesses_did_not_sign_let_no_time_pass() {
    let mut log = Told::new();
    let at = log.propose("r1", recovery::recover).unwrap();
    log.consent("r2", at).unwrap();
    log.tick();
    log.witness = witness_signer("w.example", 91);
    log.wait(30 * DAY);
    log.wait(30 * DAY);
    assert!(matches!(log.state(at), State::Waiting { .. }));
}

#[test]
fn witnesses_change_by_people_alone() {
    let mut log = Told::new();
    let swap = |c: &mut Charter| {
        let vkey = witness_signer("x.example", 92).vkey().to_string();
        (c.witnesses[0].name, c.witnesses[0].operator) = ("x.example".to_owned(), "x.example".to_owned());
        c.witnesses[0].vkey = vkey;
    };
    let at = log.propose("dora", swap).unwrap();
    assert_eq!(log.charter().witnesses[0].name, "w.example", "the log's own key says nothing of it");
    log.consent("ada", at).unwrap();
    log.consent("ben", at).unwrap();
    assert_eq!(log.charter().witnesses[0].name, "x.example");
}
