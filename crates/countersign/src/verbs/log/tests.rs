use super::{Args, run};
use crate::verbs::world::{World, arguments, printed, ran};
use ledger::{dsse::Envelope, log::Receipt};

#[test]
fn statements_are_listed_one_a_line() {
    let world = World::new();
    let (_, proposal, _) = world.released(1, None, [None, None]);
    let text = printed(|out| run(&arguments::<Args>(&[]), &world.common, out));
    let lines: Vec<&str> = text.lines().collect();
    let size = world.view().facts().size();
    assert_eq!(lines.len() as u64, size + 1, "{text}");
    assert_eq!(lines.last().unwrap(), &format!("{size} of {size} statements"));
    assert!(lines[0].contains("  charter        ben              founder         6 people, 6 robots"), "{}", lines[0]);
    let row = lines[usize::try_from(proposal).unwrap()];
    assert!(
        row.contains("  proposal       robot builder    builder         paydesk-000001 into production, release "),
        "{row}"
    );
    let some = printed(|out| run(&arguments::<Args>(&["--kind", "approval"]), &world.common, out));
    assert_eq!(some.lines().count(), 3, "{some}");
    let fault = ran(|out| run(&arguments::<Args>(&["--kind", "deployment"]), &world.common, out)).1.unwrap_err();
    assert_eq!(fault.message(), "`deployment` is not a kind of statement");
}

/// Whoever gets what `log show` prints can check it without the log.
#[test]
fn a_statement_is_shown_with_a_receipt_that_holds() {
    let world = World::new();
    let (_, proposal, _) = world.released(1, None, [None, None]);
    let text = printed(|out| run(&arguments::<Args>(&["show", &proposal.to_string()]), &world.common, out));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let envelope = Envelope::parse(json["envelope"].to_string().as_bytes()).unwrap();
    let receipt = Receipt {
        index: json["receipt"]["index"].as_u64().unwrap(),
        proof: serde_json::from_value(json["receipt"]["proof"].clone()).unwrap(),
        checkpoint: json["receipt"]["checkpoint"].as_str().unwrap().as_bytes().to_vec(),
    };
    let log = world.members.charter().log.vkey.parse().unwrap();
    receipt.verify(&envelope, &log).unwrap();
    assert_eq!(json["statement"]["predicate"]["claim"]["serial"], "paydesk-000001");
    let fault = ran(|out| run(&arguments::<Args>(&["show", "900"]), &world.common, out)).1.unwrap_err();
    assert!(fault.message().ends_with("900 is beyond them"), "{fault}");
}
