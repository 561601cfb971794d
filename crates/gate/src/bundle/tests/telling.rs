use super::*;

#[test]
fn a_whole_and_a_selected_bundle_hold_up() {
    let (world, _, index) = judged();
    for bundle in [whole(&world, index), selected(&world, index)] {
        let report = check(&world, &bundle).unwrap();
        assert!(report.is_granted());
        println!("{report}");
    }
    assert!(selected(&world, index).entries.len() < whole(&world, index).entries.len());
}
