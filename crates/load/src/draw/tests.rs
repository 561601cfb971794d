use std::path::Path;

use super::*;

fn scenario(seed: u64) -> Arc<Scenario> {
    let text = format!(
        "seed = {seed}\n[[arrivals]]\nrate = 1\nseconds = 1\n[[request]]\nname = 'a'\npath = '/'\nweight = 9\n\
         [[request]]\nname = 'none'\npath = '/'\nweight = 0\n[[request]]\nname = 'b'\npath = '/'\n"
    );
    Arc::new(Scenario::parse(&text, Path::new(".")).unwrap())
}

#[test]
fn weights_are_kept_and_the_seed_decides() {
    let drawn = |seed| {
        let mut draw = Draw::new(scenario(seed));
        std::iter::repeat_with(move || draw.next()).take(10_000).collect::<Vec<_>>()
    };
    let first = drawn(1);
    let of = |request| first.iter().filter(|d| d.request == request).count();
    assert_eq!(of(1), 0);
    assert!(of(2).abs_diff(1_000) < 150, "{}", of(2));
    assert_eq!(first, drawn(1));
    assert_ne!(first, drawn(2));
}
