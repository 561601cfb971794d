use ledger::keys::{Algorithm, PrivateKey, Scheme, Signer as _};
use sim::security_key::{APPLICATION, SecurityKey};

use super::*;

const KEYS: [&str; 5] = ["ada", "ben", "cem", "olga", "pim"];

/// The example of `init --example`, with real keys put in.
fn example() -> (tempfile::TempDir, Founding) {
    let folder = tempfile::tempdir().unwrap();
    for name in KEYS {
        let key = PrivateKey::generate(Scheme::SshSig).unwrap();
        ledger::durable::write(
            &folder.path().join(format!("{name}.pub")),
            format!("{} a comment\n", key.key().to_openssh()).as_bytes(),
            0o644,
        )
        .unwrap();
    }
    let text = include_str!("../verbs/init/example.toml").replace("ssh-ed25519 AAAA…", "ada.pub");
    (folder, Founding::parse(&text).unwrap())
}

fn made() -> MadeKeys {
    use ledger::note::{NoteKeyType, VerifierKey};
    let log = PrivateKey::generate(Scheme::Ed25519).unwrap();
    let robots = ["gate", "builder", "tester", "agent", "watch"]
        .into_iter()
        .map(|id| (id.parse().unwrap(), PrivateKey::generate(Scheme::Ed25519).unwrap().key().to_openssh()))
        .collect();
    let log_vkey = VerifierKey::new("example.org/countersign", NoteKeyType::Ed25519, log.key()).unwrap().to_string();
    MadeKeys { log_vkey, robots }
}

#[test]
fn the_example_makes_a_charter_that_is_accepted_and_says_what_does_not_hold() {
    let (folder, founding) = example();
    let (charter, identities) = founding.charter(folder.path(), &made(), false).unwrap();
    let duties = gate::duties::check(&charter).unwrap();
    assert!(!duties.hold(), "one machine with one administrator");
    assert_eq!(duties.through_hosts[0].person.as_str(), "olga");
    for member in &charter.members {
        assert_eq!(identities[&member.id].commitment().unwrap(), member.identity);
    }
    let text = model::to_json(
        &ledger::statement::Statement {
            header: header(),
            claim: ledger::statement::v1::Claim::Charter(Box::new(charter)),
        }
        .to_bytes()
        .unwrap(),
    )
    .unwrap();
    assert!(!String::from_utf8_lossy(&text).contains("@example.org"), "a log never learns addresses");
}

fn header() -> ledger::statement::v1::Header {
    ledger::statement::v1::Header {
        charter: None,
        role: "founder".parse().unwrap(),
        system: None,
        environment: None,
        seen: None,
        nonce: ledger::statement::v1::Nonce::from_bytes([7; 16]),
        expires: model::Timestamp::from_unix(1),
        program: None,
    }
}

#[test]
fn keys_without_comment_and_only_those_that_sign_here() {
    let folder = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate(Scheme::SshSig).unwrap().key().clone();
    let line = format!("{} ada@home", key.to_openssh());
    assert_eq!(of_person(&public_key(folder.path(), &line).unwrap()).public, key.to_openssh());
    assert_eq!(robot_key(folder.path(), &"gate".parse().unwrap(), &line).unwrap(), key.to_openssh());
    let fault = public_key(folder.path(), "ssh-rsa AAAAB3").unwrap_err();
    assert_eq!(
        fault.message(),
        "the public key `ssh-rsa AAAAB3` can not be used: `ssh-rsa` keys are not accepted: make one with `ssh-keygen -t ed25519`, or with `-t ed25519-sk` on a security key"
    );
    let fault = public_key(folder.path(), "nobody.pub").unwrap_err();
    assert!(fault.message().starts_with("the public key `nobody.pub` can not be read"));
}

#[test]
fn people_may_keep_their_keys_in_hardware_and_robots_may_not() {
    let (folder, mut founding) = example();
    for (kind, scheme) in [(Algorithm::SkEd25519, "sk-ssh-ed25519"), (Algorithm::SkEcdsaP256, "sk-ecdsa-sha2")] {
        let device = SecurityKey::new(kind, 1, APPLICATION).unwrap();
        let line = PublicKey::of_person_wire(&device.wire()).unwrap().to_openssh();
        let path = folder.path().join("id_sk.pub");
        ledger::durable::write(&path, format!("{line} ben@desk\n").as_bytes(), 0o644).unwrap();
        founding.people.get_mut(&"ben".parse::<PersonId>().unwrap()).unwrap().keys = vec!["id_sk.pub".to_owned()];
        let (charter, _) = founding.charter(folder.path(), &made(), false).unwrap();
        let ben = charter.member(&"ben".parse().unwrap()).unwrap();
        assert_eq!(ben.keys, [Key { scheme: KeyScheme::SkSshsig, public: line.clone() }]);
        assert!(line.starts_with(scheme));
        gate::duties::check(&charter).unwrap();
        // Listed as a key in a file, it would be one that nobody can sign with.
        let mut wrong = charter.clone();
        wrong.members.iter_mut().for_each(|m| m.keys.iter_mut().for_each(|k| k.scheme = KeyScheme::Sshsig));
        assert!(
            gate::duties::check(&wrong).is_err() || ledger::statement::Members::of(wrong, Digest::of(b"")).is_err()
        );
        let fault = robot_key(folder.path(), &"gate".parse().unwrap(), "id_sk.pub").unwrap_err();
        assert_eq!(fault.message(), "the key of the robot `gate` is in a security key");
    }
}

#[test]
fn a_robot_that_conflicts_with_its_controller_is_refused() {
    let (folder, mut founding) = example();
    founding.robots.get_mut(&"builder".parse::<RobotId>().unwrap()).unwrap().controllers = vec!["ben".parse().unwrap()];
    let (charter, _) = founding.charter(folder.path(), &made(), false).unwrap();
    let error = gate::duties::check(&charter).unwrap_err();
    assert_eq!(error.to_string(), "`ben` would hold `builder` and `release-manager`, which no one may hold together");
}

#[test]
fn a_file_with_a_word_too_many_is_refused() {
    let fault = Founding::parse("origin = \"x\"\nwitnesss_quorum = 1\n").unwrap_err();
    assert!(fault.message().contains("witnesss_quorum"), "{}", fault.message());
}

#[test]
fn emergencies_builders_and_programs_are_asked_for_in_the_file() {
    let (folder, mut founding) = example();
    let (usual, _) = founding.charter(folder.path(), &made(), false).unwrap();
    assert!(usual.environments.iter().all(|e| e.builders == 1 && e.emergency.is_none()));
    assert!(usual.programs.is_empty());
    let rule: FoundingEmergency = toml_edit::de::from_str("quorum = { release-manager = 2 }").unwrap();
    founding.environments[0].emergency = Some(rule);
    let listed = Digest::of(b"program");
    founding.programs = [("gate".parse().unwrap(), vec![listed])].into();
    let (charter, _) = founding.charter(folder.path(), &made(), false).unwrap();
    let emergency = charter.environments[0].emergency.as_ref().unwrap();
    assert_eq!(emergency.verdict_s, EMERGENCY_S);
    assert_eq!(charter.programs[&"gate".parse().unwrap()], [listed]);
    gate::duties::check(&charter).unwrap();

    // Two builders are not there, so a charter that asks for them is refused when it is made.
    founding.environments[0].builders = Some(2);
    let (charter, _) = founding.charter(folder.path(), &made(), false).unwrap();
    let refused = gate::duties::check(&charter).unwrap_err().to_string();
    assert!(refused.contains("builders under different administrators"), "{refused}");
    assert!(toml_edit::de::from_str::<FoundingEmergency>("quorum = {}\nbuilders = 1").is_err(), "nothing unknown");
}
