use paydesk_ledger::{BookError, Books, Range};
use paydesk_money::Order;
use serde_json::json;

use crate::fixture::Folder;

fn order(key: &str, from: &str, to: &str, amount: &str) -> Order {
    Order::new(key, from, to, amount, "EUR").unwrap()
}

#[test]
fn a_key_books_once() {
    let folder = Folder::new();
    let mut books = Books::open(&folder.file("ledger.sqlite")).unwrap();
    let order = order("order-0001", "bank", "alice", "10.00");
    let first = books.book(&order).unwrap();
    let again = books.book(&order).unwrap();
    assert!(first.is_new && !again.is_new);
    assert_eq!(first.payment, again.payment);
    assert_eq!(books.audit().unwrap()["payments"], 1);
}

#[test]
fn a_key_is_not_taken_for_another_order() {
    let folder = Folder::new();
    let mut books = Books::open(&folder.file("ledger.sqlite")).unwrap();
    books.book(&order("order-0001", "bank", "alice", "10.00")).unwrap();
    let other = books.book(&order("order-0001", "bank", "alice", "10.01"));
    assert!(matches!(other, Err(BookError::OtherOrder)));
    assert_eq!(books.audit().unwrap()["payments"], 1);
}

#[test]
fn only_the_bank_may_owe() {
    let folder = Folder::new();
    let mut books = Books::open(&folder.file("ledger.sqlite")).unwrap();
    books.book(&order("order-0001", "bank", "alice", "10.00")).unwrap();
    let more = books.book(&order("order-0002", "alice", "bob", "10.01"));
    assert!(matches!(more, Err(BookError::Overdrawn)));
    books.book(&order("order-0002", "alice", "bob", "10.00")).unwrap();
    assert_eq!(books.balance("alice").unwrap()["EUR"], "0.00");
    assert_eq!(books.balance("bob").unwrap()["EUR"], "10.00");
    assert_eq!(books.balance("bank").unwrap()["EUR"], "-10.00");
    assert!(books.balance("nobody").unwrap().is_empty());
}

#[test]
fn books_are_kept_and_balance() {
    let folder = Folder::new();
    let file = folder.file("ledger.sqlite");
    let mut books = Books::open(&file).unwrap();
    for n in 0..20 {
        books.book(&order(&format!("order-{n:04}"), "bank", "alice", "0.05")).unwrap();
    }
    drop(books);
    let mut books = Books::open(&file).unwrap();
    assert!(!books.check().unwrap().is_empty());
    assert_eq!(
        books.audit().unwrap(),
        json!({ "payments": 20, "entries": 40, "sum": 0, "duplicates": 0, "unbalanced": 0, "overdrawn": 0 })
    );
}

#[test]
fn lists_are_paged() {
    let folder = Folder::new();
    let mut books = Books::open(&folder.file("ledger.sqlite")).unwrap();
    for n in 0..5 {
        books.book(&order(&format!("order-{n:04}"), "bank", "alice", "1")).unwrap();
    }
    let keys = |range: Range, limit| -> Vec<String> {
        let list = books.list(&range, limit).unwrap();
        list.iter().map(|p| p["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(Range::Latest, 2), ["order-0004", "order-0003"]);
    assert_eq!(keys(Range::After(3), 9), ["order-0003", "order-0004"]);
    assert_eq!(keys(Range::Key("order-0001".to_owned()), 9), ["order-0001"]);
    assert!(keys(Range::Key("order-9999".to_owned()), 9).is_empty());
}
