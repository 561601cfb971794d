use super::*;

const ADA_KEY: &[u8] = b"ada's key";
const EVE_KEY: &[u8] = b"somebody else's key";

fn people() -> BTreeMap<PersonId, Identity> {
    ["ada", "ben"]
        .into_iter()
        .map(|name| {
            let identity = Identity::new(&[format!("{name}@example.org")]).unwrap();
            (name.parse().unwrap(), identity)
        })
        .collect()
}

fn holder(key: KeyId) -> Option<PersonId> {
    (key == KeyId::of_wire(ADA_KEY)).then(|| "ada".parse().unwrap())
}

fn commit(author: &str, committer: &str, trailers: &str, signature: CommitSignature) -> CommitFacts {
    let object = format!(
        "tree {0}\nauthor A <{author}> 1700000000 +0000\ncommitter C <{committer}> 1700000000 +0000\n\nSubject\n\nRequirement: PAY-1\n{trailers}",
        "1".repeat(40)
    );
    let mut facts = CommitFacts::parse("2".repeat(40).parse().unwrap(), object.as_bytes()).unwrap();
    facts.signature = signature;
    facts
}

fn signed(key: &[u8]) -> CommitSignature {
    CommitSignature::Signed { key: key.to_vec() }
}

#[test]
fn truth_table() {
    let ada = "ada@example.org";
    let ben = "ben@example.org";
    let eve = "eve@example.net";
    let by_ada = || signed(ADA_KEY);
    let rows: Vec<(&str, CommitFacts, Option<CommitProblem>, &[&str])> = vec![
        ("all one", commit(ada, ada, "", by_ada()), None, &["ada"]),
        ("addresses differ in case only", commit("Ada@Example.org", ada, "", by_ada()), None, &["ada"]),
        ("not signed", commit(ada, ada, "", CommitSignature::Unsigned), Some(CommitProblem::Unsigned), &["ada"]),
        ("signed with OpenPGP", commit(ada, ada, "", CommitSignature::NotSsh), Some(CommitProblem::NotSsh), &["ada"]),
        (
            "changed after signing",
            commit(ada, ada, "", CommitSignature::BadSignature),
            Some(CommitProblem::BadSignature),
            &["ada"],
        ),
        (
            "a key that nobody enrolled",
            commit(ada, ada, "", signed(EVE_KEY)),
            Some(CommitProblem::UnknownKey),
            &["ada"],
        ),
        ("a forged author", commit(ben, ada, "", by_ada()), Some(CommitProblem::ForgedAuthor), &["ada", "ben"]),
        ("a forged committer", commit(ada, ben, "", by_ada()), Some(CommitProblem::ForgedAuthor), &["ada", "ben"]),
        ("an author whom nobody knows", commit(eve, ada, "", by_ada()), Some(CommitProblem::UnknownAuthor), &["ada"]),
        ("a co-author", commit(ada, ada, "Co-authored-by: B <ben@example.org>\n", by_ada()), None, &["ada", "ben"]),
        (
            "a co-author whom nobody knows",
            commit(ada, ada, "Co-authored-by: E <eve@example.net>\n", by_ada()),
            Some(CommitProblem::UnknownAuthor),
            &["ada"],
        ),
        (
            "a co-author who can not be read",
            commit(ada, ada, "Co-authored-by: ben\n", by_ada()),
            Some(CommitProblem::UnknownAuthor),
            &["ada"],
        ),
    ];
    for (what, commit, problem, contributors) in rows {
        let fact = fact(&commit, &people(), holder);
        assert_eq!(fact.problem, problem, "{what}");
        assert_eq!(fact.contributors.iter().map(PersonId::as_str).collect::<Vec<_>>(), contributors, "{what}");
        assert_eq!(
            fact.key.is_some(),
            problem.is_none_or(|p| matches!(p, CommitProblem::ForgedAuthor | CommitProblem::UnknownAuthor)),
            "{what}"
        );
    }
}
