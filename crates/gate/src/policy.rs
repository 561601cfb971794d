//! The policy of a charter: Cedar text, validated strictly against the schema of the dossier.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use cedar_policy::{
    Authorizer, Context, Decision as Answer, Effect, Entities, EntityId, EntityTypeName, EntityUid, PolicyId,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use ledger::statement::v1::Reason;
use model::{Digest, EnvironmentName};

use crate::dossier::Dossier;

/// The rules that `init` puts into a charter.
pub const DEFAULT: &str = include_str!("default.cedar");

const SCHEMA: &str = include_str!("release.cedarschema");

/// As many answers as are kept in mind, a few hundred bytes each. Most releases look alike to the rules; when it is full it
/// is emptied, so that whoever makes every proposal different costs time and no memory.
const ANSWERS_LIMIT: usize = 4_096;

/// What the rules said about facts that were asked about before. They say the same again: an answer depends on the text
/// of the policy, the environment and the facts alone.
type Answers = HashMap<(EnvironmentName, Vec<Fact>), Vec<Reason>>;

/// A validated policy.
#[derive(Debug)]
pub struct Policy {
    text: Digest,
    policies: PolicySet,
    schema: Schema,
    authorizer: Authorizer,
    agent: EntityUid,
    release: EntityUid,
    environment: EntityTypeName,
    answers: Mutex<Answers>,
}

/// Why a policy text is refused.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not Cedar.
    #[error("the policy is not Cedar: {0}")]
    Syntax(String),
    /// It asks about what there is not, or compares what can not be compared.
    #[error("the policy does not fit the facts: {0}")]
    Validation(String),
    /// A rule lacks its id, or two have the same.
    #[error("the rule {0} needs an `@id` of its own")]
    Id(String),
    /// A rule that forbids does not say what would satisfy it.
    #[error("the rule `{0}` needs `@needed`, which says what would satisfy it")]
    Needed(String),
    /// A rule with `?principal` or `?resource`.
    #[error("the rule {0} is a template, which nothing here fills in")]
    Template(String),
    /// A rule names a fact that there is not.
    #[error("the rule `{rule}` names `{fact}` in `@facts`, which is not a fact")]
    Fact {
        /// The rule.
        rule: String,
        /// What it names.
        fact: String,
    },
    /// Another text than the charter's.
    #[error("the policy is not the charter's")]
    Other,
    /// The built-in schema does not parse. A defect of this version.
    #[error("the schema of this version does not parse: {0}")]
    Schema(String),
}

/// Why a policy could not be evaluated. The answer is then no.
#[derive(Debug, thiserror::Error)]
#[error("the policy could not be evaluated: {0}")]
pub struct EvaluationError(String);

impl Policy {
    /// Parses and validates a policy text.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| PolicyError::Schema(e.to_string()))?;
        let parsed: PolicySet =
            text.parse().map_err(|e: cedar_policy::ParseErrors| PolicyError::Syntax(e.to_string()))?;
        // A template is linked to something or does nothing; here nothing links it, and its author would not know.
        if let Some(template) = parsed.templates().next() {
            return Err(PolicyError::Template(template.id().to_string()));
        }
        let mut policies = PolicySet::new();
        let mut ids = BTreeSet::new();
        for policy in parsed.policies() {
            let name = policy.id().to_string();
            let id =
                policy.annotation("id").filter(|id| !id.is_empty()).ok_or_else(|| PolicyError::Id(name.clone()))?;
            if !ids.insert(id.to_owned()) {
                return Err(PolicyError::Id(id.to_owned()));
            }
            if policy.effect() == Effect::Forbid {
                policy
                    .annotation("needed")
                    .filter(|needed| !needed.is_empty())
                    .ok_or_else(|| PolicyError::Needed(id.to_owned()))?;
                for fact in policy.annotation("facts").unwrap_or_default().split_whitespace() {
                    if !FACTS.contains(&fact) {
                        return Err(PolicyError::Fact { rule: id.to_owned(), fact: fact.to_owned() });
                    }
                }
            }
            policies.add(policy.new_id(PolicyId::new(id))).map_err(|e| PolicyError::Syntax(e.to_string()))?;
        }
        let result = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if let Some(error) = result.validation_errors().next() {
            return Err(PolicyError::Validation(error.to_string()));
        }
        // Names and schema are this version's own, so none of this fails but by a defect.
        let wrong = |e: cedar_policy::ParseErrors| PolicyError::Schema(e.to_string());
        Ok(Self {
            text: Digest::of(text.as_bytes()),
            policies,
            schema,
            authorizer: Authorizer::new(),
            agent: r#"Agent::"agent""#.parse().map_err(wrong)?,
            release: r#"Action::"release""#.parse().map_err(wrong)?,
            environment: "Environment".parse().map_err(wrong)?,
            answers: Mutex::new(HashMap::new()),
        })
    }

    /// The digest of its text.
    pub const fn digest(&self) -> Digest {
        self.text
    }

    /// Evaluates the policy for a dossier: no reasons is yes. A rule that can not be evaluated is a reason.
    pub fn judge(&self, dossier: &Dossier<'_>) -> Result<Vec<Reason>, EvaluationError> {
        let facts = facts_of(dossier);
        let environment = &dossier.proposal.claim.environment;
        let asked = (environment.clone(), facts.iter().map(|(_, fact)| fact.clone()).collect());
        if let Some(known) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&asked) {
            return Ok(known.clone());
        }
        let reasons = self.evaluate(environment, &facts)?;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_LIMIT {
            answers.clear();
        }
        answers.insert(asked, reasons.clone());
        Ok(reasons)
    }

    fn evaluate(
        &self,
        environment: &EnvironmentName,
        facts: &[(&'static str, Fact)],
    ) -> Result<Vec<Reason>, EvaluationError> {
        let failed = |e: &dyn std::fmt::Display| EvaluationError(e.to_string());
        let context = Context::from_pairs(facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.expression())))
            .map_err(|e| failed(&e))?;
        let request = Request::new(
            self.agent.clone(),
            self.release.clone(),
            self.environment(environment),
            context,
            Some(&self.schema),
        )
        .map_err(|e| failed(&e))?;
        let response = self.authorizer.is_authorized(&request, &self.policies, &Entities::empty());
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(failed(error));
        }
        let mut reasons: Vec<Reason> = match response.decision() {
            Answer::Allow => return Ok(Vec::new()),
            Answer::Deny => response
                .diagnostics()
                .reason()
                .filter_map(|id| self.policies.policy(id))
                .map(|policy| {
                    let shown = policy.annotation("facts").unwrap_or_default();
                    Reason {
                        rule: policy.id().to_string(),
                        found: found(shown, facts),
                        needed: policy.annotation("needed").unwrap_or_default().to_owned(),
                    }
                })
                .collect(),
        };
        if reasons.is_empty() {
            reasons.push(Reason {
                rule: "permit".to_owned(),
                found: "no rule permits it".to_owned(),
                needed: "a rule in the charter's policy that permits a release".to_owned(),
            });
        }
        reasons.sort();
        Ok(reasons)
    }

    fn environment(&self, name: &EnvironmentName) -> EntityUid {
        EntityUid::from_type_name_and_id(self.environment.clone(), EntityId::new(name.as_str()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Fact {
    Is(bool),
    Count(i64),
    List(BTreeSet<String>),
}

impl Fact {
    fn expression(&self) -> RestrictedExpression {
        match self {
            Self::Is(value) => RestrictedExpression::new_bool(*value),
            Self::Count(value) => RestrictedExpression::new_long(*value),
            Self::List(words) => {
                RestrictedExpression::new_set(words.iter().cloned().map(RestrictedExpression::new_string))
            }
        }
    }
}

/// As many words of a list as a reason shows; the rest is counted.
const FOUND_WORDS: usize = 5;

fn found(names: &str, facts: &[(&'static str, Fact)]) -> String {
    let parts: Vec<String> = names
        .split_whitespace()
        .filter_map(|name| facts.iter().find(|(n, _)| *n == name))
        .filter_map(|(name, fact)| {
            let label = name.replace('_', " ");
            match fact {
                Fact::Is(value) => Some(format!("{label}: {}", if *value { "yes" } else { "no" })),
                Fact::Count(value) => Some(format!("{label}: {value}")),
                Fact::List(words) if words.is_empty() => None,
                Fact::List(words) => {
                    let mut shown: Vec<&str> = words.iter().take(FOUND_WORDS).map(String::as_str).collect();
                    let more = words.len().saturating_sub(FOUND_WORDS);
                    let rest = format!("and {more} more");
                    if more > 0 {
                        shown.push(&rest);
                    }
                    Some(format!("{label}: {}", shown.join("; ")))
                }
            }
        })
        .collect();
    parts.join(", ")
}

const FACTS: &[&str] = &[
    "founded",
    "time_known",
    "witnessed",
    "proposal_in_time",
    "changes",
    "change_accepted",
    "change_problems",
    "commits",
    "commits_not_signed",
    "commits_without_requirement",
    "build_names_images",
    "builders",
    "builders_needed",
    "builders_that_disagree",
    "emergency",
    "emergency_allowed",
    "emergency_owes",
    "suites",
    "suites_not_passed",
    "suites_against",
    "full_suites_on_containers",
    "edits_told",
    "approvals",
    "approvals_needed",
    "approvals_by_contributors",
    "approvals_that_do_not_fit",
    "cool_off_s",
    "cool_off_over",
    "cool_off_left",
    "values",
    "values_not_in_force",
    "rejections",
    "promotion_missing",
    "promotion_against",
    "replaces_what_runs",
    "spent",
    "halted",
];

fn facts_of(d: &Dossier<'_>) -> Vec<(&'static str, Fact)> {
    let count = |n: usize| Fact::Count(i64::try_from(n).unwrap_or(i64::MAX));
    let commits = d.changes.iter().map(|c| c.claim.commits.len()).sum();
    vec![
        ("founded", Fact::Is(d.founded)),
        ("time_known", Fact::Is(d.time_known)),
        ("witnessed", Fact::Is(d.witnessed)),
        ("proposal_in_time", Fact::Is(d.proposal_in_time)),
        ("changes", count(d.changes.len())),
        ("change_accepted", Fact::Is(d.change_accepted)),
        ("change_problems", Fact::List(d.change_problems.clone())),
        ("commits", count(commits)),
        ("commits_not_signed", Fact::List(d.commits_not_signed.clone())),
        ("commits_without_requirement", Fact::List(d.commits_without_requirement.clone())),
        ("build_names_images", Fact::Is(d.build_names_images)),
        ("builders", Fact::Count(i64::from(d.builders.agree))),
        ("builders_needed", Fact::Count(i64::from(d.builders.needed))),
        ("builders_that_disagree", Fact::List(d.builders.disagree.clone())),
        ("emergency", Fact::Is(d.emergency)),
        ("emergency_allowed", Fact::Is(!d.is_false_emergency())),
        ("emergency_owes", Fact::List(d.emergency_owes.clone())),
        ("suites", count(d.suites.len())),
        ("suites_not_passed", Fact::List(d.suites_not_passed())),
        ("suites_against", Fact::List(d.suites_against())),
        ("full_suites_on_containers", count(d.full_suites_on_containers())),
        ("edits_told", Fact::Is(d.edits_told)),
        ("approvals", Fact::Count(i64::from(d.tally.counted))),
        ("approvals_needed", Fact::Count(i64::from(d.tally.needed))),
        ("approvals_by_contributors", Fact::List(d.approvals_by_contributors.clone())),
        ("approvals_that_do_not_fit", Fact::List(d.approvals_that_do_not_fit.clone())),
        ("cool_off_s", Fact::Count(i64::try_from(d.cool_off.asked_s()).unwrap_or(i64::MAX))),
        ("cool_off_over", Fact::Is(d.cool_off.is_over())),
        ("cool_off_left", Fact::List(d.cool_off.left().into_iter().collect())),
        ("values", count(d.values)),
        ("values_not_in_force", Fact::List(d.values_not_in_force.clone())),
        ("rejections", Fact::Count(i64::from(d.rejections))),
        ("promotion_missing", Fact::List(d.promotion_missing())),
        ("promotion_against", Fact::List(d.promotion_against())),
        ("replaces_what_runs", Fact::Is(d.replaces_what_runs)),
        ("spent", Fact::Is(d.spent)),
        ("halted", Fact::Is(d.halted)),
    ]
}

#[cfg(test)]
mod tests;
