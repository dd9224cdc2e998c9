//! Tests of the loader: what a good file means, and every mistake at its place.

use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"
name = "Counter-Strike 2"
aliases = ["cs2"]

[[ports]]
role = "game"
proto = "udp"
port = 27015
plugin = "source-query"

[[ports]]
role = "rcon"
proto = "tcp"
offset = 0
variables = ["RCON_PORT"]

[match]
eggs = ["Counter-Strike 2 [beta]"]
startup = ["./game/cs2.sh -dedicated"]
variables = ["SRCDS_APPID=730"]

[[sources]]
url = "https://example.org"
says = "27015"
"#;

#[test]
fn a_good_file_gives_a_profile_and_no_findings() {
    let (profile, findings) = parse("games/counter-strike-2/game.toml", GOOD);
    assert_eq!(findings, []);
    let profile = profile.expect("a profile");
    assert_eq!(&*profile.id, "counter-strike-2");
    assert_eq!(profile.ports[1].offset, Some(0));
    assert_eq!(&*profile.ports[1].plugin, "generic");
    assert_eq!(&*profile.marks.eggs[0], "counter strike 2");
    assert_eq!(profile.marks.startup[0], ["cs2.sh", "-dedicated"]);
}

/// Each line of `want` is `line:column length says`, as it is found; a hint follows ` | `.
fn check(file: &str, text: &str, want: &[&str]) {
    let (profile, findings) = parse(file, text);
    let got: Vec<String> = findings
        .iter()
        .map(|found| {
            let hint = found.hint.as_ref().map(|hint| format!(" | {hint}")).unwrap_or_default();
            format!("{}:{} {} {}{hint}", found.line, found.column, found.length, found.says)
        })
        .collect();
    assert_eq!(got, want);
    assert_eq!(profile.is_none(), findings.iter().any(Finding::is_error));
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_places() {
    let text = "nme = \"X\"\nname = 3\naliases = [\"CS 2\"]\n\n[[ports]]\nrole = \"gmae\"\nprot = \"udp\"\n\
                port = 70000\nonly = \"yes\"\n\n[match]\nimages = [\"ghcr.io/x/games:rust\", \"games:source\"]\n\
                variables = [\"1=2\"]\n\n[[sources]]\nurl = \"\"\n";
    check(
        "games/x/game.toml",
        text,
        &[
            "1:1 3 `nme` is no key of a game | did you mean `name`?",
            "2:8 1 `name` is a whole number, but must be a text in quotes",
            "3:12 6 `CS 2` cannot stand here: an alias is kebab-case, as in `cs2`",
            "7:1 4 `prot` is no key of `[[ports]]` | did you mean `proto`?",
            "6:8 6 `gmae` is no role | did you mean `game`?",
            "5:1 9 `proto` is missing",
            "8:8 5 port 70000 does not exist | ports are 1 to 65535",
            "9:8 5 `only` is a text, but must be `true` or `false`",
            "5:1 9 the first port is the game port | give its default as `port`; the others may be an `offset` to it",
            "12:11 22 `ghcr.io/x/games:rust` is a whole path | owners change; write the last path part, as in `games:rust`",
            "12:35 14 image `games:source` is used by many games and proves nothing | put it under `[hints]`",
            "13:14 5 `1=2` is no container variable | write `NAME` or `NAME=value`",
            "16:7 2 `url` is empty",
            "15:1 11 `says` is missing",
        ],
    );
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let (profile, findings) = parse("games/x/game.toml", "name = \nports = [\n");
    assert!(profile.is_none());
    assert!(findings.len() >= 2, "both mistakes: {findings:?}");
    assert!(findings.iter().all(|found| found.says.starts_with("not TOML: ")));
}

#[test]
fn missing_parts_are_named() {
    check(
        "games/Bad_Id/game.toml",
        "",
        &[
            "1:1 1 `Bad_Id` is no game id | name the folder after the full title, as in `counter-strike-2`",
            "1:1 1 `name` is missing | the title as people write it",
            "1:1 1 a game has at least one `[[ports]]`",
            "1:1 1 nothing backs the numbers of this game | add `[[sources]]` with `url` and `says`",
        ],
    );
    check(
        "x.toml",
        "name = \"X\"\n[[ports]]\nrole = \"game\"\nproto = \"tcp\"\nport = 1\n",
        &["1:1 1 nothing backs the numbers of this game | add `[[sources]]` with `url` and `says`"],
    );
}

proptest! {
    /// Whatever the text: an answer, and places inside it.
    #[test]
    fn parsing_never_panics(text in "\\PC{0,200}") {
        let (_, findings) = parse("games/x/game.toml", &text);
        for found in findings {
            prop_assert!(found.span.end <= text.len() && found.line >= 1 && found.column >= 1);
        }
    }

    /// A good file with one stretch cut out or replaced.
    #[test]
    fn broken_files_never_panic(start in 0_usize..450, length in 0_usize..40, with in "[ -~\n]{0,8}") {
        let mut text = GOOD.to_owned();
        let start = start.min(text.len());
        let end = (start + length).min(text.len());
        text.replace_range(start..end, &with);
        let (profile, findings) = parse("games/x/game.toml", &text);
        prop_assert_eq!(profile.is_none(), findings.iter().any(Finding::is_error));
    }
}
