use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn one_address_and_all_together_have_so_many_doors() {
    let doors = Arc::new(Doors::default());
    let open = |from: &str| doors.open(address(from), Some(2), Some(4));
    let first = open("192.0.2.1").unwrap();
    // An IPv4 address that comes in IPv6 is the same.
    let _second = open("::ffff:192.0.2.1").unwrap();
    assert!(open("192.0.2.1").is_none());
    // All of a customer's network is one.
    let (_third, _fourth) = (open("2001:db8::1").unwrap(), open("2001:db8::2").unwrap());
    assert!(open("2001:db8::3").is_none());
    assert!(open("192.0.2.9").is_none(), "all together have four");
    drop(first);
    assert!(open("192.0.2.9").is_some());
    assert_eq!(doors.open.lock().unwrap().0.len(), 2, "who has none is not remembered");
}
