//! Tests of the text.

use model::{Timestamp, route::CutSessions};

use super::*;
use crate::counts::{LATENCY_BOUNDS, bound_us};

#[test]
fn the_text_is_openmetrics() {
    let latency_us = (0..=LATENCY_BOUNDS)
        .map(|bucket| (bound_us(bucket), u64::from(bucket == 1 || bucket == LATENCY_BOUNDS)))
        .collect();
    let version = VersionCounts {
        component: "web".parse().unwrap(),
        serial: "paydesk-000042".parse().unwrap(),
        requests: 7,
        errors: 1,
        in_flight: 2,
        clients: 3,
        held: 4,
        latency_us,
        quantiles_us: Vec::new(),
    };
    let component = ComponentCounts {
        component: "web".parse().unwrap(),
        requests: 9,
        turned_away: 1,
        rejected: 1,
        shed: 0,
        abandoned: 0,
        retried: 5,
        moved: 0,
    };
    let text = render(&EdgeCounts {
        generation: 12,
        revision: 3,
        versions: vec![version],
        held: 6,
        surges: Vec::new(),
        cut: vec![CutSessions {
            component: "web".parse().unwrap(),
            serial: "paydesk-000041".parse().unwrap(),
            sessions: 8,
            since: Timestamp::from_unix(1),
            last: Timestamp::from_unix(2),
        }],
        components: vec![component],
    });
    for line in [
        "# TYPE countersign_edge_requests counter",
        "countersign_edge_generation 12",
        "countersign_edge_waiting 6",
        "countersign_edge_requests_total{component=\"web\",serial=\"paydesk-000042\"} 7",
        "countersign_edge_in_flight{component=\"web\",serial=\"paydesk-000042\"} 2",
        "countersign_edge_cut_sessions_total{component=\"web\",serial=\"paydesk-000041\"} 8",
        "countersign_edge_retried_total{component=\"web\"} 5",
        "countersign_edge_answer_seconds_bucket{component=\"web\",serial=\"paydesk-000042\",le=\"0.000064\"} 0",
        "countersign_edge_answer_seconds_bucket{component=\"web\",serial=\"paydesk-000042\",le=\"0.000128\"} 1",
        "countersign_edge_answer_seconds_bucket{component=\"web\",serial=\"paydesk-000042\",le=\"67.108864\"} 1",
        "countersign_edge_answer_seconds_bucket{component=\"web\",serial=\"paydesk-000042\",le=\"+Inf\"} 2",
        "countersign_edge_answer_seconds_count{component=\"web\",serial=\"paydesk-000042\"} 2",
    ] {
        assert!(text.lines().any(|one| one == line), "`{line}` is not in\n{text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
}
