//! Configuration and command line, case by case: C configuration, S security, M measures. Nothing here needs a running
//! agent. Cases that need one are in `node` and `life`.

mod support;

use std::path::Path;

use serde_json::Value;
use support::run;

fn written(dir: &Path, text: &str) -> String {
    let file = dir.join("config.toml");
    std::fs::write(&file, text).expect("a temporary folder can be written");
    file.display().to_string()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// What `config show` says of a file.
fn shown(text: &str) -> toml::Table {
    let dir = folder();
    let file = written(dir.path(), text);
    run(&["--config", &file, "config", "show"]).fine().parse().expect("what is shown is TOML")
}

/// Every setting with its value, as `table.key`.
fn settings(table: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut all = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                all.extend(settings(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => all.push((key.clone(), value.clone())),
        }
    }
    all
}

#[test]
fn c01_without_a_file_the_defaults_hold_and_it_observes() {
    if Path::new("/etc/ftagent/config.toml").exists() {
        panic!("this machine has a configuration; the case cannot be shown here");
    }
    let text = run(&["config", "show"]).fine().to_owned();
    assert!(text.starts_with("# no file: these are the defaults"), "{text}");
    assert!(text.contains("mode = \"observe\""), "{text}");
    assert!(run(&["config", "check"]).fine().contains("the defaults hold"));
}

#[test]
fn c02_a_broken_file_is_refused_before_anything_starts() {
    let dir = folder();
    for (text, says) in [
        ("mode = \n", "config.toml:1:"),
        ("mode = 'sometimes'\n", "`observe`, `limit`, `enforce`"),
        ("[firewall]\nalways-block = ['10.0.0.0/8']\n", "10.0.0.0/8 cannot be blocked: it is private"),
    ] {
        let file = written(dir.path(), text);
        for command in [&["run"][..], &["status"], &["replay", "x.pcap"], &["incidents"]] {
            run(&[&["--config", &file], command].concat()).fails(2, &["has mistakes", says]);
        }
    }
}

#[test]
fn c03_what_is_not_written_has_its_default() {
    let default = shown("");
    let partial = shown("mode = 'limit'\n[capture]\nring-mib = 8\n");
    let differs: Vec<_> = settings(&partial)
        .into_iter()
        .filter(|setting| !settings(&default).contains(setting))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(differs, ["capture.ring-mib", "mode"]);
}

#[test]
fn c06_an_unknown_key_is_refused_with_its_place_and_the_nearest_name() {
    let dir = folder();
    let file = written(
        dir.path(),
        "moed = 'limit'\n[capture]\nlink-mbits = 1\n[firewall]\nalway-block = []\n[servers.a]\nmod = 'limit'\n\
         attack-packet-per-second = 5\n",
    );
    let ran = run(&["--config", &file, "config", "check"]);
    for (place, near) in [
        ("1:1", "mode"),
        ("3:1", "link-mbit"),
        ("5:1", "always-block"),
        ("7:1", "mode"),
        ("8:1", "attack-packets-per-second"),
    ] {
        ran.fails(1, &[&format!("config.toml:{place}"), &format!("did you mean `{near}`?")]);
    }
}

/// What is documented is generated, so each setting that is shown is one that is read, and means what it says.
#[test]
fn c07_each_documented_default_is_the_real_one() {
    let default = shown("");
    let all = settings(&default);
    assert!(all.len() >= 15, "{all:?}");
    for (name, value) in all {
        let (table, key) =
            name.rsplit_once('.').map_or((None, name.as_str()), |(table, key)| (Some(table), key));
        let head = table.map_or(String::new(), |table| format!("[{table}]\n"));
        let again = shown(&format!("{head}{key} = {value}\n"));
        assert_eq!(settings(&again), settings(&default), "{name}");
    }
}

/// C5, C14, S13: no account, no key, nothing to pay, so nothing that could be withheld.
#[test]
fn c05_c14_s13_nothing_asks_or_waits_for_a_key() {
    let help = run(&["run", "--help"]).fine().to_lowercase();
    let settings = run(&["config", "show"]).fine().to_lowercase();
    for word in ["key", "token", "account", "licence", "subscription"] {
        assert!(!help.contains(word), "{word} is in\n{help}");
        assert!(!settings.contains(word), "{word} is in\n{settings}");
    }
    assert!(!help.contains("secret"), "{help}");
}

/// S9: what cannot update itself can be given no false update.
#[test]
fn s09_nothing_updates_itself() {
    for command in ["update", "upgrade", "self-update"] {
        run(&[command]).fails(2, &["unrecognized subcommand"]);
    }
    let said = run(&["--help"]).fine().to_lowercase() + &run(&["config", "show"]).fine().to_lowercase();
    assert!(!said.contains("update"), "{said}");
}

/// S8: a port is a number, and nothing else reaches the parts that write rules.
#[test]
fn s08_a_port_with_other_text_is_refused_with_its_place() {
    let dir = folder();
    for port in [
        "'25565'",
        "'25565; flush ruleset'",
        "\"25565\\nadd chain\"",
        "'25565,25566'",
        "70000",
        "-1",
        "0",
        "1.5",
    ] {
        let text = format!(
            "[[services]]\naddress = '203.0.113.10'\nport = {port}\nprotocol = 'tcp'\ngame = 'minecraft-java'\n"
        );
        let file = written(dir.path(), &text);
        for (command, code) in [("check", 1), ("show", 2)] {
            let says = ["config.toml:3:", "`port` is a whole number"];
            run(&["--config", &file, "config", command]).fails(code, &says);
        }
    }
}

/// S6, S7, M23: what is no public network is refused by parsing or with the reason, and no agent is asked.
#[test]
fn s06_malformed_networks_are_refused_by_parsing() {
    for text in [
        "",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1/33",
        "192.0.2.1 ",
        "192.0.2.1;reboot",
        "$(reboot)",
        "192.0.2.1\n",
        "0x7f000001",
        "2001:db8::/129",
        "fe80::1%eth0",
        "::ffff:192.0.2.1",
        "example.org",
    ] {
        for command in ["block", "allow", "unblock"] {
            let ran = run(&[command, text]);
            assert_eq!(ran.code, 2, "{command} {text:?}: {ran:?}");
            assert!(ran.err.contains("error: "), "{ran:?}");
        }
    }
    for text in ["198.51.100.7", "198.51.100.0/24", "2001:db8::1", "2001:db8::/32"] {
        run(&["block", text]).fails(3, &["no ftagent answers"]);
    }
}

#[test]
fn m23_s05_what_is_not_public_is_not_blocked_and_told_why() {
    for (text, why) in [
        ("10.0.0.1", "private"),
        ("192.168.0.0/16", "private"),
        ("127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("255.255.255.255", "broadcast"),
        ("224.0.0.1", "multicast"),
        ("0.0.0.0/0", "too large"),
        ("::1", "loopback"),
        ("fd00::/16", "private"),
    ] {
        run(&["block", text]).fails(2, &["cannot be blocked", why]);
    }
}

/// C15: a program that reads numbers can tell what they are.
#[test]
fn c15_numbers_carry_their_units_in_their_names() {
    let report = run(&["plugins", "list", "--json"]).json(0);
    assert!(report["plugins"][0]["bytes"].is_u64());
    let none = run(&["incidents", "--json"]).json(0);
    assert_eq!(none["incidents"], Value::Array(Vec::new()));
}

/// S12: nothing secret is ever an argument, where every process on the node could read it.
#[test]
fn s12_no_secret_is_an_argument() {
    let page = run(&["man"]).fine().to_lowercase();
    let arguments: Vec<_> = page.lines().filter(|line| line.contains("\\-\\-")).collect();
    assert!(arguments.len() > 20, "{arguments:?}");
    for word in ["secret", "token", "password", "key"] {
        let found: Vec<_> = arguments.iter().filter(|line| line.contains(&format!("\\-\\-{word}"))).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
