//! Tests of precedence: whose word counts where two claim the same thing.

use super::*;

fn game(name: &str, more: &str) -> String {
    format!(
        "name = \"{name}\"\n{more}\n[[ports]]\nrole = \"game\"\nproto = \"udp\"\nport = 1\n[match]\neggs = [\"Shared World\"]\n\
         [[sources]]\nurl = \"u\"\nsays = \"1\"\n"
    )
}

fn base() -> Catalog {
    let (catalog, findings) =
        Catalog::built_in(&[("games/rust/game.toml", game("Rust", "aliases = [\"rs\"]"))]);
    assert_eq!(findings, []);
    catalog
}

/// What adding a file says, and who owns the egg then.
fn check(origin: Origin, file: &str, text: &str, says: &[&str], owner: &str) {
    let mut catalog = base();
    let findings = catalog.add(origin, file, text);
    let got: Vec<&str> = findings.iter().map(|found| found.says.as_str()).collect();
    assert_eq!(got, says);
    assert_eq!(catalog.eggs.get("shared world").map(|id| &**id), Some(owner));
}

#[test]
fn what_is_owned_stays_owned_without_the_operators_word() {
    let plugin = Origin::Plugin("mine".into());
    let owned = "`shared world` belongs to game `rust` of the built-in catalogue";
    check(plugin.clone(), "games/mine/game.toml", &game("Mine", ""), &[owned], "rust");
    check(Origin::Operator, "games/mine/game.toml", &game("Mine", ""), &[owned], "rust");
    let id = "`rust` belongs to game `rust` of the built-in catalogue";
    check(plugin.clone(), "games/rust/game.toml", &game("Mine", ""), &[id], "rust");
    check(plugin, "games/rust/game.toml", &game("Mine", "take-over = true"), &[id], "rust");
    check(Origin::Operator, "games/rust/game.toml", &game("Mine", ""), &[id], "rust");
    let alias = "`rs` belongs to game `rust` of the built-in catalogue";
    check(Origin::Operator, "rust-2.toml", &game("Rust 2", "aliases = [\"rs\"]"), &[alias, owned], "rust");
}

#[test]
fn the_operator_takes_over_with_a_word() {
    check(Origin::Operator, "games/mine/game.toml", &game("Mine", "take-over = true"), &[], "mine");
    check(Origin::Operator, "games/rust/game.toml", &game("Mine", "take-over = true"), &[], "rust");
    let mut catalog = base();
    catalog.add(Origin::Operator, "games/rust/game.toml", &game("My Rust", "take-over = true"));
    assert_eq!(catalog.len(), 1);
    assert_eq!(catalog.resolve("rust").map(|profile| &*profile.name), Some("My Rust"));
    assert_eq!(catalog.resolve("rs").map(|profile| &*profile.name), None);
    assert_eq!(catalog.origin("rust"), Some(&Origin::Operator));
}

#[test]
fn ids_aliases_and_titles_resolve() {
    let catalog = base();
    for name in ["rust", "RS", " Rust ", "shared world"] {
        assert_eq!(catalog.resolve(name).map(|profile| &*profile.id), Some("rust"), "{name}");
    }
    assert!(catalog.resolve("rusty").is_none());
    assert_eq!(catalog.nearest("rsut"), Some("rust"));
    assert_eq!(catalog.nearest("zebra"), None);
    assert_eq!(catalog.nearest("rusts"), Some("rust"));
}
