//! Which routes are in the way.

use super::*;

const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
    eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
    cs10.77\t00004D0A\tF8FF4D0A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
    vpn\t0000500A\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0\n\
    lan\t00C8640A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";

#[test]
fn routes_into_a_network_are_seen_and_the_default_route_is_not() {
    assert!(leads_into(ROUTES, [10, 77]));
    assert!(!leads_into(ROUTES, [10, 78]));
    // 10.80.0.0/12 covers 10.80 to 10.95.
    assert!(leads_into(ROUTES, [10, 80]) && leads_into(ROUTES, [10, 95]));
    assert!(!leads_into(ROUTES, [10, 96]) && !leads_into(ROUTES, [10, 79]));
    // 10.100.200.0/24 is inside 10.100.
    assert!(leads_into(ROUTES, [10, 100]) && !leads_into(ROUTES, [10, 101]));
}
