use super::*;
use crate::verbs::world::World;

fn identity(email: &str) -> Identity {
    Identity::new(&[email.to_owned()]).unwrap()
}

#[test]
fn what_the_charter_does_not_commit_to_counts_for_nobody() {
    let world = World::new();
    let path = world.common.layout().identities();
    let mut charter = world.members.charter().clone();
    let whole = Addresses::read(&path).unwrap();
    assert_eq!(whole.missing(&charter), []);
    assert_eq!(whole.by(&charter).len(), charter.members.len());

    // Another digest, as after an amendment; and somebody new.
    charter.members[0].identity = identity("ada@elsewhere.example").commitment().unwrap();
    let zoe = identity("Zoe@Example.org");
    let mut member = charter.members[1].clone();
    (member.id, member.identity) = ("zoe".parse().unwrap(), zoe.commitment().unwrap());
    charter.members.push(member);
    let missing: Vec<String> = whole.missing(&charter).iter().map(ToString::to_string).collect();
    assert_eq!(missing, [charter.members[0].id.to_string(), "zoe".to_owned()]);
    assert!(!whole.by(&charter).contains_key(&charter.members[0].id));

    let mut more = whole.clone();
    let one = |id: &str, identity: &Identity| text(&[(id.parse().unwrap(), identity.clone())].into()).unwrap();
    let refused = |bytes: &[u8]| more.clone().add(bytes, &charter).unwrap_err();
    assert_eq!(refused(b"{}x").kind(), Kind::Input);
    assert!(refused(&one("yan", &zoe)).message().contains("the charter in force has no `yan`"));
    assert!(refused(&one("zoe", &identity("zoe@example.org"))).message().contains("are not those that the charter"));
    assert_eq!(more.add(&one("zoe", &zoe), &charter).unwrap(), ["zoe".parse().unwrap()]);
    assert_eq!(more.by(&charter)[&"zoe".parse().unwrap()].emails, ["zoe@example.org"]);

    // Written, it is another file, for whoever reads it to notice.
    assert!(!whole.is_old(&path));
    more.write(&path).unwrap();
    assert!(whole.is_old(&path));
    let again = Addresses::read(&path).unwrap();
    assert!(again.all == more.all && !again.is_old(&path));
    std::fs::remove_file(&path).unwrap();
    assert!(!again.is_old(&path), "a file that is gone is not read again");
}
