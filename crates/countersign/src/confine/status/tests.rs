use super::Status;
use crate::identity::{ROLES_GROUP, RoleUser, User};

fn text(change: (&str, &str)) -> String {
    "Name:\tcountersign\nThreads:\t1\nUid:\t2200002\t2200002\t2200002\t2200002\n\
     Gid:\t2200002\t2200002\t2200002\t2200002\nGroups:\t2200000 \nCapInh:\t0000000000000000\n\
     CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
     CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n"
        .replace(change.0, change.1)
}

fn verdict(change: (&str, &str)) -> String {
    match Status::parse(&text(change)).unwrap().check(Some(&RoleUser::Gate.user()), true) {
        Ok(()) => "confined".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_missing_limit_is_told() {
    assert_eq!(verdict(("", "")), "confined");
    let rows = [
        (("Threads:\t1", "Threads:\t2"), "a thread was started meanwhile"),
        (("CapEff:\t0000000000000000", "CapEff:\t0000000000000100"), "it still has capabilities"),
        (("CapPrm:\t0000000000000000", "CapPrm:\t0000000000200000"), "it still has capabilities"),
        (("CapInh:\t0000000000000000", "CapInh:\t0000000000000001"), "it still has capabilities"),
        (("CapAmb:\t0000000000000000", "CapAmb:\t0000000000000001"), "it still has capabilities"),
        (("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff"), "programs that it starts could gain capabilities"),
        (("NoNewPrivs:\t1", "NoNewPrivs:\t0"), "programs that it starts could gain privileges"),
        (("Seccomp:\t2", "Seccomp:\t0"), "no system call filter is in force"),
        (("Uid:\t2200002\t2200002\t2200002", "Uid:\t2200002\t2200002\t0"), "it has other users or groups"),
        (("Gid:\t2200002", "Gid:\t0"), "it has other users or groups"),
        (("Groups:\t2200000 ", "Groups:\t0 2200000 "), "it has other users or groups"),
    ];
    for (change, reason) in rows {
        assert_eq!(verdict(change), format!("the process is not confined: {reason}"));
    }
}

#[test]
fn groups_are_compared_as_a_set() {
    let user = User { groups: vec![7, ROLES_GROUP, 7], ..RoleUser::Gate.user() };
    let status = Status::parse(&text(("Groups:\t2200000", "Groups:\t7 2200000"))).unwrap();
    status.check(Some(&user), true).unwrap();
}

#[test]
fn a_status_without_a_line_is_not_understood() {
    for line in ["Threads", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"] {
        assert_eq!(Status::parse(&text((&format!("{line}:"), "Other:"))), None, "{line}");
    }
    assert_eq!(Status::parse(&text(("\nSeccomp:", "\nOther:"))), None);
    assert_eq!(Status::parse(""), None);
}
