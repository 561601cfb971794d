//! The people of the demo, and the founding file that names them.
//!
//! It knows no keys; those are files of the stage.

use std::{net::SocketAddr, path::Path};

use super::history::MAIL;

/// Everybody, with the roles that they hold. Founders sign the charter.
pub const PEOPLE: [(&str, &[&str], bool); 9] = [
    ("ada", &["developer", "release-manager"], false),
    ("ben", &["developer"], false),
    ("cora", &["release-manager"], true),
    ("dan", &["release-manager"], true),
    ("olga", &["operator"], false),
    ("pim", &["operator"], false),
    ("gil", &["guardian"], false),
    ("hal", &["guardian"], false),
    ("ida", &["guardian"], false),
];

/// The account that the pay desk settles to: the example of the IBAN registry.
pub const SETTLEMENT_ACCOUNT: &str = "DE89370400440532013000";

/// The founding file for this witness, at this address, and this remote.
pub fn founding_file(witness: &str, address: SocketAddr, remote: &Path) -> String {
    let mut text = format!(
        "origin = \"{MAIL}/countersign\"\nwitness_quorum = 1\n\n[[witnesses]]\nname = \"witness.countersign.local\"\n\
         operator = \"somebody else\"\nvkey = \"{witness}\"\nurl = \"http://{address}\"\n"
    );
    for (name, roles, is_founder) in PEOPLE {
        let roles: Vec<String> = roles.iter().map(|r| format!("\"{r}\"")).collect();
        text.push_str(&format!(
            "\n[people.{name}]\nkeys = [\"{name}.pub\"]\nemails = [\"{name}@{MAIL}\"]\nroles = [{}]\n{}",
            roles.join(", "),
            if is_founder { "founder = true\n" } else { "" }
        ));
    }
    text.push_str("\n[robots]\n");
    for (robot, controller) in [("gate", "pim"), ("builder", "olga"), ("tester", "pim"), ("agent", "olga")] {
        text.push_str(&format!(
            "{robot} = {{ role = \"{robot}\", controllers = [\"{controller}\"], host = \"main\" }}\n"
        ));
    }
    text.push_str(&format!(
        "\n[hosts.main]\nadministrators = [\"olga\"]\n\n[systems.paydesk]\nremote = \"{}\"\nbranch = \"main\"\n\n\
         [[environments]]\nname = \"production\"\nquorum = {{ release-manager = 2 }}\nresume = {{ release-manager = 2 }}\n\n\
         [[values]]\nname = \"settlement-account\"\nsystem = \"paydesk\"\nenvironment = \"production\"\nformat = \"iban\"\n\
         guardians = {{ guardian = 2 }}\ncool_off_s = 2\n\n\
         [amendment]\nrelease-manager = 2\n",
        remote.display()
    ));
    text
}
