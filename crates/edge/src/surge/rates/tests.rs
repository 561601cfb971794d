use super::*;

const RATE: RequestRate = RequestRate { per_s: 10, burst: 5 };

#[test]
fn so_many_at_once_and_then_as_the_rate_allows() {
    let mut full_ns = 0;
    let mut through = |now_ns: u64| match take(RATE, 100, full_ns, now_ns) {
        Taken::Yes(then_ns) => {
            full_ns = then_ns;
            true
        }
        Taken::No(_) => false,
    };
    assert_eq!((0..20).filter(|_| through(0)).count(), 5);
    assert_eq!((0..20).filter(|_| through(100_000_000)).count(), 1);
    // In the long run the rate, however often it is asked.
    let ten_s = (0..10_000u64).filter(|ms| through(200_000_000 + ms * 1_000_000)).count();
    assert!((100..=101).contains(&ten_s), "{ten_s}");
    // A pause gives the burst back, and no more.
    assert_eq!((0..20).filter(|_| through(100_000_000_000)).count(), 5);
}

#[test]
fn whoever_is_told_to_come_back_then_gets_through_then() {
    let mut full_ns = 0;
    while let Taken::Yes(then_ns) = take(RATE, 100, full_ns, 0) {
        full_ns = then_ns;
    }
    let Taken::No(after_ns) = take(RATE, 100, full_ns, 0) else { panic!() };
    assert!(matches!(take(RATE, 100, full_ns, after_ns - 1), Taken::No(1)));
    assert!(matches!(take(RATE, 100, full_ns, after_ns), Taken::Yes(_)));
}

#[test]
fn a_lower_class_leaves_half_of_the_burst_to_the_higher_ones() {
    let rate = RequestRate { per_s: 100, burst: 100 };
    let (mut full_ns, mut low, mut high) = (0, 0, 0);
    for ms in 0..10_000u64 {
        // Three of the lower class and one of the higher every ten milliseconds and twenty.
        for hundredths in [50, 50, 50, 100].into_iter().take(if ms % 10 == 0 { 4 } else { 0 }) {
            if hundredths == 100 && ms % 20 != 0 {
                continue;
            }
            if let Taken::Yes(then_ns) = take(rate, hundredths, full_ns, ms * 1_000_000) {
                full_ns = then_ns;
                *(if hundredths == 50 { &mut low } else { &mut high }) += 1;
            }
        }
    }
    assert_eq!(high, 500, "all of the higher class");
    assert!((450..=560).contains(&low), "{low}: the rest of the lower");
}

#[test]
fn millions_of_addresses_neither_free_a_flooder_nor_hold_up_anybody_else() {
    let clients = ClientRates::new();
    let rate = RequestRate { per_s: 1, burst: 20 };
    let mut flooder = 0;
    let mut held_up = 0;
    for number in 0..400_000u64 {
        let now_ns = number * 10_000;
        if number % 100 == 0 && matches!(clients.take("flooder", rate, now_ns), Taken::Yes(_)) {
            flooder += 1;
        }
        if matches!(clients.take(&format!("address:{number}"), rate, now_ns), Taken::No(_)) {
            held_up += 1;
        }
    }
    assert_eq!(held_up, 0, "each asked once");
    assert!(flooder <= 20 + 4 + 1, "{flooder} of 4,000 in four seconds");
    assert_eq!(clients.places.len() * WAYS, 65_536, "in memory that does not grow");
}
