use gate::comparison::{counted, said, settings};
use ledger::statement::v1::{
    Analysis, AnalysisAnswer, AnalysisTick, Asks, Claim, EvidenceOutcome, Line as Margin, Metric, MilestoneKind, Times,
};
use model::route::{Split, UNITS};
use quick_xml::{Reader, events::Event};

use super::*;
use crate::verbs::world::{Release, World, arguments, printed, production};

/// A second release, compared with the first.
struct Told {
    world: World,
    proposal: u64,
    claim: Analysis,
    analysis: stats::Analysis,
    drawn: u64,
}

impl Told {
    fn new() -> Self {
        let world = World::new();
        let one = granted(&world, 1, None);
        let first = one.1;
        world.happened(first, MilestoneKind::Live);
        let (two, proposal) = granted(&world, 2, Some(&one.0));
        let line = |ratio_ppm, plus_ppm| Margin { ratio_ppm, plus_ppm };
        let metric = Metric {
            component: "web".parse().unwrap(),
            asks: Asks::Failed { requests_per_million_unit_ticks: 4_000_000, margin: line(1_250_000, 200) },
            weight_ppm: 947_500,
            history_ppm: 1_000,
            history_unit_ticks: 10_000,
            promote: line(2_000_000, 5_000),
        };
        let slow = Asks::Slower { quantile_ppm: 990_000, control_us: 180_000, trial_us: 198_000, count: 1 };
        let slow = Metric {
            asks: slow,
            weight_ppm: 52_500,
            history_ppm: 30_000,
            promote: line(1_500_000, 20_000),
            ..metric.clone()
        };
        let claim = Analysis {
            environment: production(),
            release: two.digest,
            serial: "paydesk-000002".parse().unwrap(),
            other: one.0.digest,
            proposal,
            salt: Split::salt_of(&one.0.digest, &two.digest, proposal),
            alpha_ppm: 10_000,
            beta_ppm: stats::BETA_PPM,
            horizon_ticks: stats::HORIZON_TICKS,
            metrics: vec![metric, slow],
            first: 0,
            ticks: Vec::new(),
            answer: AnalysisAnswer::NotYet,
            times: [(500_000, 21_400, 20_900), (900_000, 64_000, 61_000), (990_000, 190_000, 180_000)]
                .map(|(quantile_ppm, trial_us, control_us)| Times { quantile_ppm, trial_us, control_us })
                .to_vec(),
        };
        let analysis = stats::Analysis::new(settings(&claim)).unwrap();
        world.happened(proposal, MilestoneKind::Begun);
        world.happened(proposal, MilestoneKind::Healthy);
        world.happened(proposal, MilestoneKind::Stepped);
        Self { world, proposal, claim, analysis, drawn: 7 }
    }

    /// So many of so many units, by a chance in a thousand: always the same ones.
    fn drawn(&mut self, units: u32, thousandth: u64) -> u32 {
        let draw = |_| {
            self.drawn = self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::from((self.drawn >> 33) % 1_000 < thousandth)
        };
        (0..units).map(draw).sum()
    }

    /// Ticks in which units of each version fail with these chances in a thousand; they end with an answer.
    fn ticks(&mut self, count: usize, share: u8, (new, old): (u64, u64)) {
        let mut claim = self.claim.clone();
        for _ in 0..count {
            let (one, other) = (u32::from(share), u32::from(UNITS - share));
            let failed = [one, self.drawn(one, new), other, self.drawn(other, old)];
            let slow = [one, self.drawn(one, 30), other, self.drawn(other, 30)];
            let (requests, other_requests) = (u64::from(share) * 4, u64::from(UNITS - share) * 4);
            claim.ticks.push(AnalysisTick { share, requests, other_requests, counts: vec![failed, slow] });
            self.analysis.step(&counted(claim.ticks.last().unwrap())).unwrap();
            self.claim.first += 1;
            if self.analysis.went_back() {
                break;
            }
        }
        claim.answer = said(&self.analysis);
        self.world.say("agent", "agent", Claim::Analysis(Box::new(claim)), true);
    }

    fn did(&self, what: MilestoneKind) {
        self.world.happened(self.proposal, what);
    }

    fn tale(&self) -> tale::Tale {
        let view = self.world.view();
        let mut tale = tale::Tale::gather(&view, view.facts().proposal(self.proposal).unwrap(), &|_| None);
        tale.tick_ms = Some(1_000);
        tale
    }
}

fn granted(world: &World, ordinal: u64, over: Option<&Release>) -> (Release, u64) {
    let release = world.built(ordinal, over.map(|o| o.change));
    world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let proposal = world.proposed(&release);
    world.approved(proposal, "ben", "release-manager");
    world.approved(proposal, "cem", "release-manager");
    world.tick();
    world.decided(proposal);
    (release, proposal)
}

/// Reads a page as XML, which is stricter than browsers, and returns what people read of it.
fn read(page: &str) -> String {
    let mut reader = Reader::from_str(page);
    reader.config_mut().check_end_names = true;
    let (mut text, mut depth, mut is_style) = (String::new(), 0_u32, false);
    loop {
        match reader.read_event().unwrap_or_else(|e| panic!("{e} in {page}")) {
            Event::Start(tag) => {
                depth += 1;
                is_style = tag.name().as_ref() == "style";
                check(&tag);
            }
            Event::Empty(tag) => check(&tag),
            Event::End(_) => depth -= 1,
            Event::Text(words) if !is_style => text.push_str(&format!("{} ", &*words)),
            Event::GeneralRef(name) => text.push_str(&format!("&{};", &*name)),
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "an element is open");
    text
}

/// Nothing is loaded and nothing runs.
fn check(tag: &quick_xml::events::BytesStart<'_>) {
    let name = tag.name().as_ref().to_owned();
    let banned =
        ["script", "link", "img", "iframe", "object", "embed", "image", "use", "a", "form", "base", "foreignObject"];
    assert!(!banned.contains(&name.as_str()), "<{name}>");
    for attribute in tag.attributes() {
        let attribute = attribute.unwrap();
        let key = attribute.key.as_ref().to_owned();
        assert!(!key.starts_with("on") && !["src", "href", "xlink:href", "action"].contains(&key.as_str()), "{key}");
        let value = attribute.value.to_string();
        assert!(!value.contains("url(") && (!value.contains("://") || key == "xmlns"), "{key}={value}");
        if let Ok(number) = value.parse::<f64>() {
            assert!(number.is_finite(), "{key}={value}");
        }
    }
}

fn texts(tale: &tale::Tale) -> String {
    let page = write::page(tale);
    assert!(!page.contains("NaN") && !page.contains("inf"), "a number that is none");
    assert!(!page.contains("@import") && !page.contains("url("), "nothing is loaded");
    read(&page)
}

#[test]
fn a_release_that_went_back_says_why_in_words_first() {
    let mut told = Told::new();
    told.ticks(40, 5, (4, 4));
    told.did(MilestoneKind::Stepped);
    told.ticks(200, 25, (120, 4));
    assert_eq!(said(&told.analysis), AnalysisAnswer::GoBack);
    told.did(MilestoneKind::GoingBack);
    told.did(MilestoneKind::WentBackWorse);
    let tale = told.tale();
    assert_eq!(tale.wrong, []);
    let text = texts(&tale);
    let ticks = told.analysis.ticks();
    for words in [
        "paydesk-000002 went back",
        "It went back to paydesk-000001 because more requests to web failed: about",
        &format!("That was clear after {ticks} s; by then it had answered"),
        "of at most 25 % of clients.",
        "paydesk-000001 runs now.",
        "5 % of clients were given the new version.",
        "25 % of clients: nothing spoke against giving it to more.",
        "All clients were sent back to the old version, because more requests to web failed",
        "ben",
        "cem",
        "approved",
        "go back",
        "good enough",
        "190 ms",
        "180 ms",
        "99 of 100",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Every plot has its figures beside it, and says in words what it shows.
    let page = write::page(&tale);
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), 4);
    assert_eq!(page.matches("As a table").count(), 4);

    // The verb writes the same file, and prints the same words.
    let file = told.world.path("page.html");
    let flags = told.world.common.clone();
    let nowhere = told.world.path("nowhere");
    let given = ["paydesk-000002", "--html", file.to_str().unwrap(), "--releases", nowhere.to_str().unwrap()];
    let out = printed(|out| run(&arguments::<Args>(&given), &flags, out));
    assert!(out.contains("paydesk-000002 went back"), "{out}");
    assert!(read(&std::fs::read_to_string(&file).unwrap()).contains("It went back to paydesk-000001"));
    let out = printed(|out| run(&arguments::<Args>(&["paydesk-000002", "--releases", "/nowhere"]), &flags, out));
    assert!(out.starts_with("paydesk-000002 went back\nIt went back to paydesk-000001 because"), "{out}");
}

#[test]
fn a_release_that_runs_and_one_that_is_on_its_way() {
    let mut told = Told::new();
    let one = {
        told.ticks(1, 5, (4, 4));
        told.tale()
    };
    let text = texts(&one);
    assert!(text.contains("paydesk-000002 is on its way into production"), "{text}");
    assert!(text.contains("One tick was counted: each plot has one point."), "{text}");
    assert!(text.contains("not decided yet: it needs about"), "{text}");

    told.ticks(60, 5, (4, 4));
    told.did(MilestoneKind::Stepped);
    for _ in 0..30 {
        told.ticks(60, 50, (4, 4));
        if said(&told.analysis) == AnalysisAnswer::Promote {
            break;
        }
    }
    told.did(MilestoneKind::Stepped);
    told.ticks(60, 90, (4, 4));
    for what in [MilestoneKind::Watched, MilestoneKind::Drained, MilestoneKind::Live] {
        told.did(what);
    }
    let tale = told.tale();
    assert_eq!(tale.wrong, []);
    let text = texts(&tale);
    for words in ["paydesk-000002 runs in production", "it was no worse than allowed", "90 % of clients: nothing spoke"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn nothing_to_compare_with_is_said() {
    let world = World::new();
    let (_, proposal) = granted(&world, 1, None);
    let tale = |world: &World| {
        let view = world.view();
        tale::Tale::gather(&view, view.facts().proposal(proposal).unwrap(), &|_| None)
    };
    let text = texts(&tale(&world));
    assert!(text.contains("was proposed for production and not begun"), "{text}");
    assert!(text.contains("no client was given this version") && text.contains("No step was taken"), "{text}");
    world.happened(proposal, MilestoneKind::Begun);
    world.happened(proposal, MilestoneKind::Live);
    let text = texts(&tale(&world));
    assert!(text.contains("this was the first release here"), "{text}");
}

#[test]
fn what_does_not_follow_stands_at_the_top() {
    let mut told = Told::new();
    told.ticks(30, 5, (4, 4));
    told.did(MilestoneKind::GoingBack);
    told.did(MilestoneKind::WentBackWorse);
    let tale = told.tale();
    let text = texts(&tale);
    assert_eq!(tale.wrong.len(), 1);
    assert!(text.contains("does not follow from what it counted") && text.contains("no answer says so"), "{text}");
}

#[test]
fn names_from_outside_stay_text() {
    let told = Told::new();
    let mut tale = told.tale();
    let hostile = "<script>alert('x')</script>\"><img src=x onerror=y>&amp;\u{202e}gpj\u{0}\u{fffe}";
    tale.replaces = Some(hostile.to_owned());
    tale.proposer = hostile.to_owned();
    tale.wrong.push((7, hostile.to_owned()));
    tale.voices[0].who = hostile.to_owned();
    tale.voices[0].role = hostile.to_owned();
    tale.steps[0].what = hostile.to_owned();
    let page = write::page(&tale);
    assert!(
        !page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}') && !page.contains('\u{0}')
    );
    assert!(texts(&tale).contains("alert("));
}
