use super::Name;

#[test]
fn each_form_of_name_is_told_apart() {
    let name = |text: &str| Name::parse(text).unwrap();
    assert_eq!(name("42"), Name::Index(42));
    assert_eq!(name("1234567"), Name::Index(1_234_567));
    assert_eq!(name("paydesk-000042"), Name::Serial("paydesk-000042".parse().unwrap()));
    assert_eq!(name("PAY-142"), Name::Requirement("PAY-142".parse().unwrap()));
    assert_eq!(name("c0ffee0"), Name::Commit("c0ffee0".to_owned()));
    assert_eq!(name(&"1".repeat(40)), Name::Commit("1".repeat(40)));
    assert_eq!(name("127.0.0.1:8088"), Name::Address("127.0.0.1:8088".parse().unwrap()));
    assert_eq!(name("http://127.0.0.1:8088/pay?x=1"), Name::Address("127.0.0.1:8088".parse().unwrap()));
    assert_eq!(
        name("paydesk/production"),
        Name::Environment(Some("paydesk".parse().unwrap()), "production".parse().unwrap())
    );
    assert_eq!(name("production"), Name::Environment(None, "production".parse().unwrap()));
    let digest = model::Digest::of(b"x");
    assert_eq!(name(&digest.to_string()), Name::Digest(digest));
    assert_eq!(name(&digest.hex()), Name::Digest(digest));
    assert!(Name::parse("").is_err() && Name::parse("C0FFEE0").is_err());
}
