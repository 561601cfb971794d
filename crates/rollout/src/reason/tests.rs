//! The words, as people read them.

use super::*;

fn serial(ordinal: u64) -> Serial {
    Serial::new("paydesk".parse().expect("a system"), ordinal)
}

fn component(name: &str) -> ComponentName {
    name.parse().expect("a component")
}

fn web() -> InstanceId {
    "production.paydesk-000002.web.1".parse().expect("an instance")
}

#[test]
fn why_it_goes_back() {
    let said = |why: BackReason| why.to_string();
    assert_eq!(
        said(BackReason::Errors {
            component: component("web"),
            tally: Tally { requests: 200, errors: 7 },
            limit_bp: 105
        }),
        "7 of 200 requests to web failed, more than 1.05 %"
    );
    assert_eq!(
        said(BackReason::Exited { instance: web(), code: 137, out_of_memory: true }),
        "production.paydesk-000002.web.1 ended with code 137, out of memory"
    );
    assert_eq!(
        said(BackReason::Exited { instance: web(), code: 3, out_of_memory: false }),
        "production.paydesk-000002.web.1 ended with code 3"
    );
    assert_eq!(
        said(BackReason::Unhealthy { instance: web(), why: "503".to_owned() }),
        "production.paydesk-000002.web.1 is not healthy: 503"
    );
    assert_eq!(
        said(BackReason::StepFailed { step: "starting x".to_owned(), times: 5, error: "no image".to_owned() }),
        "starting x failed 5 times: no image"
    );
    assert_eq!(said(BackReason::Withdrawn { serial: serial(2) }), "the verdict for paydesk-000002 was withdrawn");
}

#[test]
fn why_it_does_not_begin() {
    let said = |refusal: Refusal| refusal.to_string();
    assert_eq!(
        said(Refusal::Replaces { target: serial(3), approved: None, running: Some(Digest::of(b"")) }),
        "paydesk-000003 was approved to replace nothing, but e3b0c44298fc runs; propose it again against what runs"
    );
    assert_eq!(
        said(Refusal::FlowCircle { components: vec![component("a"), component("b")] }),
        "the flows of a, b form a circle; a component can only be told of others that started before it"
    );
    assert_eq!(
        said(Refusal::NotPredecessor { target: serial(1), running: serial(3), predecessor: Some(serial(2)) }),
        "paydesk-000001 is not the immediate predecessor of paydesk-000003; paydesk-000002 is"
    );
    assert_eq!(
        said(Refusal::NotPredecessor { target: serial(1), running: serial(3), predecessor: None }),
        "paydesk-000001 is not the immediate predecessor of paydesk-000003; there is none to go back to"
    );
    let past = PastIrreversible {
        from: serial(2),
        to: serial(1),
        component: component("ledger"),
        migration: "0002".to_owned(),
        saved_at: None,
    };
    assert_eq!(
        said(Refusal::Irreversible(past)),
        "paydesk-000001 can not take over from paydesk-000002: the migration `0002` of ledger is irreversible and paydesk-000002 \
         has taken requests since; release a version that works on the migrated state, or restore the volume of ledger as it was \
         before paydesk-000002, which loses what was written since"
    );
}

#[test]
fn what_it_waits_for() {
    let at = Timestamp::from_unix(1_800_000_000);
    assert_eq!(
        Wait::Routes { generation: 7, revision: 2, has_generation: 7, has_revision: 1 }.to_string(),
        "the edge to take route table 7.2; it has 7.1"
    );
    assert_eq!(
        Wait::Backoff { instance: web(), times: 4, at }.to_string(),
        "production.paydesk-000002.web.1 ended 4 times; it is started again at 2027-01-15T08:00:00Z"
    );
    assert_eq!(
        Wait::InFlight { serial: serial(1), requests: 3, until: at }.to_string(),
        "3 requests in flight on paydesk-000001 to finish, until 2027-01-15T08:00:00Z at the latest"
    );
    assert_eq!(Wait::Halted.to_string(), "halted: no step forward until two people resume");
}
