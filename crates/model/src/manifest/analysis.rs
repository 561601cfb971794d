//! Reading how a new version is compared with the one that it replaces: `[environments.*.analysis]`.

use std::ops::RangeInclusive;

use crate::{
    release::{Analysis, Cohort, Margins, Slower, Strategy},
    route::Identity,
};

use super::{
    findings::Findings,
    limits, readings,
    walk::{Field, Section},
};

const KEYS: &[&str] = &[
    "steps",
    "step_s",
    "keep_percent",
    "undecided_s",
    "silence_s",
    "tick_ms",
    "identity",
    "token",
    "cohort",
    "margins",
    "reports_hold",
];

/// The cookie by which the edge knows a browser again.
const COOKIE: &str = "countersign-unit";

/// The section of one environment.
pub(super) fn read(field: &Field<'_>, strategy: Strategy, findings: &mut Findings<'_>) -> Option<Analysis> {
    let section = field.section(findings)?;
    section.only(&[KEYS, &readings::KEYS].concat(), "an analysis", findings);
    let number = |key: &str, range: RangeInclusive<u32>, unit, default, findings: &mut Findings<'_>| {
        section.optional(key).and_then(|f| f.whole(&range, unit, findings)).unwrap_or(default)
    };
    let keep =
        number("keep_percent", limits::KEEP_PERCENT, "percent of clients", limits::KEEP_PERCENT_DEFAULT, findings);
    let keep_percent = u8::try_from(keep).ok()?;
    let steps = steps(&section, strategy, keep_percent, findings)?;
    let token = section.optional("token").and_then(|f| token(&f, findings));
    let cohort = section.optional("cohort").and_then(|f| cohort(&f, findings));
    if let Some(field) = section.optional("cohort")
        && cohort.as_ref().is_some_and(|c| !c.claims.is_empty())
        && token.is_none()
    {
        findings.error(
            field.place(),
            "a cohort by claims needs to know whose tokens to believe",
            "add `token = { header = \"authorization\", keys = \"tokens.json\", claim = \"sub\" }`",
        );
    }
    Some(Analysis {
        steps,
        step_s: number("step_s", limits::STEP_S, "in seconds", limits::STEP_S_DEFAULT, findings),
        keep_percent,
        undecided_s: number("undecided_s", limits::UNDECIDED_S, "in seconds", limits::UNDECIDED_S_DEFAULT, findings),
        silence_s: number("silence_s", limits::SILENCE_S, "in seconds", limits::SILENCE_S_DEFAULT, findings),
        tick_ms: number("tick_ms", limits::TICK_MS, "in milliseconds", limits::TICK_MS_DEFAULT, findings),
        identity: identity(&section, token, findings),
        cohort,
        margins: section.optional("margins").map_or_else(Margins::default, |f| margins(&f, findings)),
        readings: readings::read(&section, findings),
        reports_hold: section
            .optional("reports_hold")
            .and_then(|f| f.whole(&limits::REPORTS_HOLD, "people who report trouble", findings)),
    })
}

fn steps(section: &Section<'_>, strategy: Strategy, keep_percent: u8, findings: &mut Findings<'_>) -> Option<Vec<u8>> {
    let most = limits::SHARE_PERCENT.end().saturating_add(1).saturating_sub(u32::from(keep_percent));
    let field = match (strategy, section.optional("steps")) {
        (Strategy::BlueGreen, None) => return Some(vec![u8::try_from(most).ok()?]),
        (Strategy::BlueGreen, Some(field)) => {
            findings.error(
                field.key_place(),
                "blue-green has no steps",
                "write `strategy = \"canary\"`, or leave `steps` out",
            );
            return None;
        }
        (Strategy::Canary, _) => section.required("steps", "steps = [5, 25, 50]", findings)?,
    };
    let mut steps: Vec<u8> = Vec::new();
    for entry in field.list(limits::CANARY_STEPS, "percent of clients, as in `[5, 25, 50]`", findings)? {
        let step = entry.whole(&(*limits::SHARE_PERCENT.start()..=most), "percent of clients", findings)?;
        let step = u8::try_from(step).ok()?;
        if steps.last().is_some_and(|last| *last >= step) {
            findings.error(
                entry.place(),
                "a step does not give the new version more than the one before",
                "write them from small to large, as in `[5, 25, 50]`",
            );
            return None;
        }
        steps.push(step);
    }
    if steps.is_empty() {
        findings.error(field.place(), "there are no steps", "write `steps = [5, 25, 50]`");
        return None;
    }
    Some(steps)
}

fn identity(section: &Section<'_>, token: Option<Identity>, findings: &mut Findings<'_>) -> Vec<Identity> {
    let words = [("certificate", false), ("cookie", true)];
    let listed =
        section.optional("identity").and_then(|f| f.list(words.len(), "`[\"certificate\", \"cookie\"]`", findings));
    let others =
        listed.into_iter().flatten().filter_map(|f| f.one_of(&words, findings)).map(|is_cookie| {
            if is_cookie { Identity::Cookie { name: COOKIE.to_owned() } } else { Identity::Certificate }
        });
    token.into_iter().chain(others).collect()
}

fn token(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Identity> {
    let section = field.section(findings)?;
    section.only(&["header", "keys", "claim", "audience"], "a token", findings);
    let mut line =
        |key, example| section.required(key, example, findings).and_then(|f| f.line(findings)).map(str::to_owned);
    let header = line("header", "header = \"authorization\"");
    let keys = line("keys", "keys = \"tokens.json\"");
    let claim = line("claim", "claim = \"sub\"");
    let audience = section.optional("audience").and_then(|f| f.line(findings).map(str::to_owned));
    let keys = keys?;
    if keys.contains('/') || keys.starts_with('.') {
        let place = section.optional("keys")?;
        findings.error(
            place.place(),
            "the keys of tokens are a file in `certificates/` of the host",
            "write its name alone, as in `tokens.json`",
        );
        return None;
    }
    Some(Identity::Token { header: header?.to_ascii_lowercase(), keys, claim: claim?, audience })
}

fn cohort(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Cohort> {
    let section = field.section(findings)?;
    section.only(&["alone_s", "named", "claims"], "a cohort", findings);
    let alone_s = section
        .optional("alone_s")
        .and_then(|f| f.whole(&limits::STEP_S, "in seconds", findings))
        .unwrap_or(limits::STEP_S_DEFAULT);
    let named = section
        .optional("named")
        .and_then(|f| f.list(limits::COHORT, "identities, as in `[\"token:ada\"]`", findings))
        .unwrap_or_default();
    for field in &named {
        // Cookies and addresses prove nothing, and whoever is named by one would never be found.
        if field.line(findings).is_some_and(|name| !name.starts_with("token:") && !name.starts_with("certificate:")) {
            findings.error(
                field.place(),
                "a cohort names clients by what the edge verifies",
                "write `token:` and the claim, as in `token:ada`, or `certificate:` and the SHA-256 of the public key",
            );
        }
    }
    let named: Vec<String> = named.iter().filter_map(|f| f.line(findings)).map(str::to_owned).collect();
    let claims = section.optional("claims").map(|f| f.entries(limits::COHORT, findings)).unwrap_or_default();
    let claims: Vec<(String, String)> =
        claims.iter().filter_map(|f| Some((f.name().to_owned(), f.line(findings)?.to_owned()))).collect();
    if named.is_empty() && claims.is_empty() {
        findings.error(
            field.place(),
            "nobody is in the cohort",
            "add `named = [\"token:ada\"]` or `claims = { groups = \"staff\" }`",
        );
        return None;
    }
    Some(Cohort { alone_s, named, claims })
}

fn margins(field: &Field<'_>, findings: &mut Findings<'_>) -> Margins {
    let mut margins = Margins::default();
    let Some(section) = field.section(findings) else { return margins };
    let known = [
        "error_ratio_percent",
        "error_added_ppm",
        "promote_ratio_percent",
        "promote_added_ppm",
        "false_rollback_ppm",
        "slower",
    ];
    section.only(&known, "margins", findings);
    let ratio = limits::RATIO_PERCENT;
    let mut set = |key: &str, to: &mut u32, range: &RangeInclusive<u32>, unit: &str| {
        if let Some(number) = section.optional(key).and_then(|f| f.whole(range, unit, findings)) {
            *to = number;
        }
    };
    set("error_ratio_percent", &mut margins.error_ratio_percent, &ratio, "in percent of the old version's share");
    set("error_added_ppm", &mut margins.error_added_ppm, &limits::ADDED_PPM, "in a million requests");
    set("promote_ratio_percent", &mut margins.promote_ratio_percent, &ratio, "in percent of the old version's share");
    set("promote_added_ppm", &mut margins.promote_added_ppm, &limits::ADDED_PPM, "in a million requests");
    set("false_rollback_ppm", &mut margins.false_rollback_ppm, &limits::FALSE_ROLLBACK_PPM, "in a million rollouts");
    if let Some(field) = section.optional("slower") {
        margins.slower = slower(&field, findings);
    }
    let nothing_between = margins.promote_ratio_percent < margins.error_ratio_percent
        || margins.promote_added_ppm < margins.error_added_ppm
        || (margins.promote_ratio_percent, margins.promote_added_ppm)
            == (margins.error_ratio_percent, margins.error_added_ppm);
    if nothing_between {
        findings.error(
            field.place(),
            "what is good enough to go on is no worse than what is bad enough to go back, so neither could ever be shown",
            "make `promote_ratio_percent` or `promote_added_ppm` larger than the margin for errors",
        );
    }
    margins
}

fn slower(field: &Field<'_>, findings: &mut Findings<'_>) -> Slower {
    let Some(section) = field.section(findings) else { return Margins::default().slower };
    section.only(&["p50_percent", "p90_percent", "p99_percent", "p999_percent"], "`slower`", findings);
    let mut at = |key| {
        section
            .optional(key)
            .and_then(|f| f.whole(&limits::SLOWER_PERCENT, "in percent of the old version's time", findings))
    };
    Slower {
        p50_percent: at("p50_percent"),
        p90_percent: at("p90_percent"),
        p99_percent: at("p99_percent"),
        p999_percent: at("p999_percent"),
    }
}
