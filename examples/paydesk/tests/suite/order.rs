use paydesk_money::Order;

#[test]
fn a_good_order_is_taken() {
    let order = Order::new("order-0001", "bank", "alice", "12.50", "EUR").unwrap();
    assert_eq!(order.amount.cents(), 1250);
}

#[test]
fn each_bad_part_is_named() {
    let refused = [
        (("short", "bank", "alice", "1", "EUR"), "idempotency key"),
        (("with space", "bank", "alice", "1", "EUR"), "idempotency key"),
        (("order-0001", "", "alice", "1", "EUR"), "`from`"),
        (("order-0001", "bank", "Alice", "1", "EUR"), "`to`"),
        (("order-0001", "bank", "bank", "1", "EUR"), "same account"),
        (("order-0001", "bank", "alice", "1", "eur"), "`currency`"),
        (("order-0001", "bank", "alice", "one", "EUR"), "amount"),
    ];
    for ((key, from, to, amount, currency), part) in refused {
        let problem = Order::new(key, from, to, amount, currency).unwrap_err();
        assert!(problem.contains(part), "{problem}");
    }
}
