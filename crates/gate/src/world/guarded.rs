//! The world with a guarded value: an account that two of three guardians change, an hour ahead.

use ledger::statement::v1::{
    Cancellation, Charter, Claim, GuardedValue, Kind, Role, ValueApproval, ValueProposal, ValueRule,
};
use model::{Digest, ValueName, value::Format};

use super::{Put, World, charter, charter::member, dig, production, quorum, system};
use crate::values::{self, ValueView, value_shown_digest};

/// As long as guardians have to cancel.
pub(crate) const COOL_OFF_S: u64 = 3_600;

pub(crate) fn payout() -> ValueName {
    "payout".parse().unwrap()
}

/// The world's charter with guardians, somebody who only proposes, and somebody who could approve values of others.
pub(crate) fn guarded() -> Charter {
    let mut charter = charter();
    let roles: [(&str, &[Kind]); 3] = [
        ("guardian", &[Kind::ValueProposal, Kind::ValueApproval, Kind::Cancellation]),
        ("treasurer", &[Kind::ValueProposal]),
        ("other-guardian", &[Kind::ValueProposal, Kind::ValueApproval, Kind::Cancellation]),
    ];
    charter.roles.extend(roles.map(|(name, says)| Role { name: name.parse().unwrap(), says: says.to_vec() }));
    charter.members.extend([
        member("gil", &["gil", "gil/2"], &["guardian"]),
        member("hal", &["hal"], &["guardian"]),
        member("ida", &["ida"], &["guardian", "other-guardian"]),
        member("tom", &["tom"], &["treasurer"]),
        member("una", &["una"], &["other-guardian"]),
    ]);
    charter.values = vec![ValueRule {
        name: payout(),
        system: system(),
        environment: production(),
        format: Format::Iban,
        guardians: quorum(&[("guardian", 2)]),
        cool_off_s: COOL_OFF_S,
    }];
    charter
}

impl World {
    /// Somebody puts up another account.
    pub(crate) fn propose_value(&mut self, who: &str, role: &str, value: &str, replaces: Option<u64>) -> u64 {
        let claim = ValueProposal { name: payout(), value: dig(value), replaces, reason: None };
        self.say(who, role, Claim::ValueProposal(claim))
    }

    /// The approval that a guardian would sign after being shown the proposal.
    pub(crate) fn good_value_approval(&self, proposal: u64) -> ValueApproval {
        self.with(|_, facts| {
            let claim = &facts.value_proposal(proposal).unwrap().claim;
            ValueApproval {
                proposal,
                name: claim.name.clone(),
                value: claim.value,
                replaces: claim.replaces,
                shown: value_shown_digest(facts, proposal).unwrap_or(dig("nothing to show")),
            }
        })
    }

    pub(crate) fn approve_value(&mut self, who: &str, proposal: u64) -> u64 {
        let approval = self.good_value_approval(proposal);
        self.say(who, "guardian", Claim::ValueApproval(approval))
    }

    pub(crate) fn cancel(&mut self, who: &str, role: &str, of: u64) -> u64 {
        self.say(who, role, Claim::Cancellation(Cancellation { of, reason: None }))
    }

    /// A value that hal and ida have put in force.
    pub(crate) fn value_in_force(&mut self, value: &str, replaces: Option<u64>) -> u64 {
        let proposal = self.propose_value("tom", "treasurer", value, replaces);
        self.approve_value("hal", proposal);
        self.approve_value("ida", proposal);
        self.wait(60);
        self.wait(COOL_OFF_S);
        assert_eq!(self.payout_in_force(), Some(proposal));
        proposal
    }

    pub(crate) fn payout_in_force(&self) -> Option<u64> {
        self.ask_payout(|view| view.in_force.as_ref().map(|now| now.proposal))
    }

    pub(crate) fn ask_payout<R>(&self, ask: impl FnOnce(ValueView<'_>) -> R) -> R {
        self.with(|_, facts| ask(values::one(facts, &system(), &production(), &payout()).unwrap()))
    }

    /// A release that reads the account and is given what a proposal put up.
    pub(crate) fn put_reading(&mut self, ordinal: u64, over: Option<&Put>, given: &[(u64, Digest)]) -> Put {
        let mut change = self.good_change(ordinal, over.map(|o| o.change));
        change.values = vec![payout()];
        let values =
            given.iter().map(|(proposal, value)| GuardedValue { name: payout(), proposal: *proposal, value: *value });
        let values: Vec<GuardedValue> = values.collect();
        let put = self.put_with(change, over, |_| {}, |_| {}, |claim| claim.values = values);
        self.approve_both(&put);
        put
    }
}
