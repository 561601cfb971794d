use std::collections::BTreeSet;

use super::{BASE, COMPONENT_BASE, END, ROLES_GROUP, RoleUser, TESTED_BASE, overlaps, owner};

#[test]
fn no_two_share_a_number() {
    let mut numbers: Vec<u32> = RoleUser::ALL.iter().map(|role| role.uid()).collect();
    numbers.extend([ROLES_GROUP, COMPONENT_BASE]);
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len());
    assert!(numbers.iter().all(|number| (BASE..END).contains(number)));
}

#[test]
fn numbers_are_those_of_installed_systems() {
    let numbers: Vec<String> = RoleUser::ALL.iter().map(|role| format!("{role} {}", role.uid())).collect();
    assert_eq!(
        numbers.join(", "),
        "log 2200001, gate 2200002, builder 2200003, tester 2200004, agent 2200005, edge 2200006, \
         front 2200007, witness 2200008, watch 2200009"
    );
    assert_eq!((COMPONENT_BASE, END), (2_210_000, 2_345_536));
}

#[test]
fn numbers_can_be_negated_and_are_not_an_ordinary_accounts() {
    assert!(i32::try_from(END).is_ok());
    // Of the subordinate blocks of an ordinary installation.
    let end_of_thirty_second = 100_000_u32 + 32 * 65_536;
    assert!((end_of_thirty_second..END).contains(&BASE));
}

#[test]
fn owners_in_words() {
    assert_eq!(owner(RoleUser::Gate.uid()).as_deref(), Some("gate"));
    assert_eq!(owner(COMPONENT_BASE + 12).as_deref(), Some("component 12"));
    assert_eq!(owner(TESTED_BASE + 3).as_deref(), Some("component 3 under test"));
    assert_eq!(owner(0), None);
    assert_eq!(owner(END), None);
}

#[test]
fn overlaps_are_named() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\nodd line\neve:x:2200002:100::/:/bin/sh\n";
    let subuid = "ann:100000:65536\nbob:2162688:65536\nbad:x:y\nfar:2345536:65536\nhuge:1:18446744073709551615\n";
    assert_eq!(
        overlaps(passwd, subuid),
        [
            "account `eve` has the number 2200002",
            "account `bob` may use 65536 numbers from 2162688",
            "account `huge` may use 18446744073709551615 numbers from 1",
        ]
    );
    assert!(overlaps("", "").is_empty());
}
