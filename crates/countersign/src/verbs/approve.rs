//! `countersign approve`: yes to exactly one transition, after seeing exactly what is signed.
//!
//! Who contributed is told so before anything is signed: an approval that can not count only misleads who reads the log.

use std::io::Write;

use gate::Dossier;
use ledger::statement::v1::{Action, Approval, Claim, Kind as Says};
use model::{Digest, EnvironmentName};
use serde_json::json;

use super::{Flags, Format, find, follow, line, people, print_json};
use crate::{
    fault::{Fault, Kind},
    say::About,
};

/// Approve a proposal
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The proposal: its log index, or the serial
    proposal: String,
    /// The environment, where a serial is proposed for several
    #[arg(long, short)]
    environment: Option<EnvironmentName>,
    /// Sign without asking; read what is shown all the same
    #[arg(long, short)]
    yes: bool,
    /// Sign although it is known that the gate will not count it, to see the gate refuse it
    #[arg(long)]
    even_if_it_will_not_count: bool,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let mut view = common.view()?;
    let members = view.facts().members().clone();
    find::reach(&mut view, &args.proposal)?;
    let index = find::one_proposal(view.facts(), &args.proposal, args.environment.as_ref())?.index;
    let proposal = find::proposal(view.facts(), index)?.claim.clone();
    let rule = members.charter().environment(&proposal.environment);
    let speaker = common.speaker(&members, Says::Approval, rule.map_or(people::LIFE_S, |r| r.approval_s))?;
    let who = people::person(&members, speaker.signer().key().id())?;

    let text = gate::shown(view.facts(), index).ok_or_else(|| {
        Fault::new(
            Kind::Refused,
            format!("the change of proposal {index} does not stand any more, so it can not be shown"),
        )
    })?;
    let shown = Digest::of(text.as_bytes());
    let (objection, others) = {
        let dossier = Dossier::gather(view.facts(), index)
            .ok_or_else(|| Fault::new(Kind::Usage, format!("there is no proposal at log index {index}")))?;
        let others: Vec<String> = people::who_may(&members, Says::Approval)
            .into_iter()
            .filter(|p| !dossier.contributors.contains(p))
            .map(|p| p.to_string())
            .collect();
        (objection(&dossier, &who), others)
    };
    if common.format == Format::Text {
        line(out, text.trim_end())?;
        line(out, format!("what is shown above has the digest {shown}"))?;
    }
    if let Some(objection) = &objection {
        if !args.even_if_it_will_not_count {
            return Err(Fault::new(Kind::Refused, format!("this approval would not count: {objection}"))
                .hint(format!("others can: {}", others.join(", "))));
        }
        if common.format == Format::Text {
            line(out, format!("this approval will not count: {objection}"))?;
        }
    }
    let question = format!("{who} approves proposal {index}, {} into {}?", proposal.serial, proposal.environment);
    people::confirm(out, args.yes, &question)?;

    let claim = Approval {
        action: Action::Release,
        environment: proposal.environment.clone(),
        proposal: index,
        release: proposal.release,
        replaces: proposal.replaces,
        shown,
    };
    let about = About {
        system: Some(proposal.serial.system().clone()),
        environment: Some(proposal.environment.clone()),
        seen: view.seen(),
        nonce: None,
    };
    let said = speaker.say(view.log(), Claim::Approval(claim), about, &[])?;
    people::see(&mut view, said.index)?;
    let decision = follow::decide(&view, index)?;
    let dossier = Dossier::gather(view.facts(), index)
        .ok_or_else(|| Fault::new(Kind::Refused, format!("proposal {index} does not stand any more")))?;
    let counts = dossier.rests_on.contains(&said.index);
    if common.format == Format::Json {
        return print_json(
            out,
            &json!({
                "approval": said.index, "proposal": index, "by": who, "shown": shown, "counts": counts,
                "approvals": dossier.tally.counted, "needed": dossier.tally.needed, "granted": decision.is_granted(),
                "waits_for": follow::reasons(&decision),
            }),
        );
    }
    line(out, format!("signed by {who}, in the log as {}", said.index))?;
    if !counts {
        line(out, "it does not count")?;
    }
    line(out, people::how_far(&dossier))?;
    if decision.is_granted() {
        return line(out, format!("granted; `countersign release --environment {}` follows it", proposal.environment));
    }
    for reason in follow::reasons(&decision) {
        line(out, format!("not granted: {reason}"))?;
    }
    Ok(())
}

/// Why an approval by this person can not count.
fn objection(dossier: &Dossier<'_>, who: &model::PersonId) -> Option<String> {
    if dossier.contributors.contains(who) {
        let commits: Vec<String> = dossier
            .changes
            .iter()
            .flat_map(|c| &c.claim.commits)
            .filter(|c| c.contributors.contains(who))
            .map(|c| c.commit.short())
            .collect();
        return Some(if commits.is_empty() {
            format!("{who} proposed it, or controls the robot that did")
        } else {
            format!("{who} contributed to it, with the commits {}", commits.join(", "))
        });
    }
    if dossier.spent {
        return Some("it was tried and rolled back; it needs a new change".to_owned());
    }
    if dossier.rejections > 0 {
        return Some("it was rejected; it needs a new proposal".to_owned());
    }
    (!dossier.proposal_in_time).then(|| "the proposal has expired; it needs a new one".to_owned())
}

#[cfg(test)]
mod tests;
