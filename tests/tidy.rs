//! The repository's own rules, so that the documents cannot rot and the invariants cannot slip.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host lies in the repository").to_path_buf()
}

/// Every tracked or new file that is not ignored, with its path below the repository.
fn files(extension: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("the repository can be read") {
            let path = entry.expect("the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root, extension, &mut found);
    found.sort();
    let shown = |path: &Path| path.strip_prefix(&root).expect("it was found there").display().to_string();
    found.iter().map(|path| (shown(path), std::fs::read_to_string(path).expect("sources are text"))).collect()
}

fn fail_with(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

/// Names of the crates that a manifest depends on outside its tests.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let read = |path: &str| {
        std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let table: toml::Table = read(manifest).parse().expect("a manifest is TOML");
    let named = table.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    named.keys().cloned().collect()
}

#[test]
fn the_core_has_no_outside_world() {
    let banned = ["tokio", "wasmtime", "libc", "nix", "rustix", "reqwest", "bollard"];
    let core = dependencies("host/core/Cargo.toml");
    let offences: Vec<_> = core
        .iter()
        .filter(|name| banned.contains(&name.as_str()) || name.starts_with("ftagent"))
        .cloned()
        .collect();
    fail_with(&offences, "host/core depends on no crate of ours and on nothing that reaches outside");
    let words = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::process",
        "std::thread",
        "Instant::now",
        "SystemTime",
    ];
    let mut offences = Vec::new();
    for (path, text) in files("rs").into_iter().filter(|(path, _)| path.starts_with("host/core/src/")) {
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        let is_test = path.contains("test");
        offences.extend(
            words
                .iter()
                .filter(|word| !is_test && code.contains(*word))
                .map(|word| format!("{path}: {word}")),
        );
    }
    fail_with(&offences, "host/core opens, spawns and reads nothing");
}

#[test]
fn arrows_point_down() {
    let mut offences = Vec::new();
    for library in ["capture", "sandbox", "firewall", "discovery", "api", "alert"] {
        for name in dependencies(&format!("host/{library}/Cargo.toml")) {
            if name.starts_with("ftagent") && name != "ftagent-core" {
                offences.push(format!("host/{library} depends on {name}"));
            }
        }
    }
    for name in dependencies("host/Cargo.toml").into_iter().filter(|name| name.contains("plugin")) {
        offences.push(format!("the program depends on {name}"));
    }
    fail_with(&offences, "libraries know the core and no sibling; the host never sees the SDK");
    let wasmtime = ["core", "capture", "firewall", "discovery", "api", "alert"];
    let users: Vec<_> = wasmtime
        .iter()
        .filter(|library| dependencies(&format!("host/{library}/Cargo.toml")).contains("wasmtime"))
        .map(|library| format!("host/{library}"))
        .collect();
    fail_with(&users, "only host/sandbox knows wasmtime");
}

#[test]
fn plugins_see_only_the_sdk() {
    let mut offences = Vec::new();
    for (path, _) in files("toml")
        .into_iter()
        .filter(|(path, _)| path.starts_with("plugins/") && path.ends_with("Cargo.toml"))
    {
        for name in dependencies(&path).into_iter().filter(|name| name != "ftagent-plugin") {
            offences.push(format!("{path} depends on {name}"));
        }
    }
    fail_with(&offences, "a plugin depends on ftagent-plugin and nothing else");
}

#[test]
fn unsafe_code_is_where_the_map_says() {
    let allowed =
        ["host/capture/src/pages.rs", "host/capture/src/ring.rs", "host/sandbox/src/contract/v1.rs"];
    let mut offences = Vec::new();
    for (path, text) in
        files("rs").into_iter().filter(|(path, _)| path.starts_with("host/") || path.starts_with("plugins/"))
    {
        let uses = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or("");
            code.contains("unsafe {") || code.contains("unsafe impl") || code.contains("unsafe fn")
        });
        if uses && !allowed.contains(&path.as_str()) {
            offences.push(path);
        }
    }
    fail_with(&offences, "unsafe code is confined to two files");
}

/// The host's own code, without its tests.
fn host_code() -> Vec<(String, String)> {
    let sources = files("rs").into_iter().filter(|(path, _)| {
        path.starts_with("host/") && path.contains("/src/") && !path.ends_with("/tests.rs")
    });
    sources
        .map(|(path, text)| {
            let code = text.split("#[cfg(test)]").next().unwrap_or("").to_owned();
            (path, code)
        })
        .collect()
}

/// Where the host's code holds a word, outside of the places where it may.
fn found_outside(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let code = host_code();
    for path in allowed {
        let used = code.iter().any(|(known, text)| known == path && words.iter().any(|w| text.contains(w)));
        assert!(used, "{path} is a place of {words:?} no more");
    }
    let elsewhere = code.iter().filter(|(path, _)| !allowed.contains(&path.as_str()));
    elsewhere
        .flat_map(|(path, text)| {
            let found = words.iter().filter(|word| text.contains(**word));
            found.map(|word| format!("{path}: {word}")).collect::<Vec<_>>()
        })
        .collect()
}

/// C13, S1: `nft` and the tools of iptables, the operator's own program, and this program itself.
#[test]
fn c13_nothing_is_installed_because_nothing_else_is_run() {
    let allowed = ["host/alert/src/exec.rs", "host/firewall/src/program.rs", "host/src/agent/again.rs"];
    fail_with(
        &found_outside(&["Command::new(", "posix_spawn", "execve"], &allowed),
        "programs are run here only",
    );
}

/// S4: one switch of the kernel is changed, for the SYN proxy that a server opted in to, recorded and restored.
#[test]
fn s04_one_setting_of_the_kernel_is_changed_and_no_other() {
    let reads = ["host/firewall/src/proxy.rs", "host/src/agent/pressure.rs"];
    fail_with(&found_outside(&["/proc/sys", "sysctl"], &reads), "settings of the kernel are named here only");
    let pressure = host_code().into_iter().find(|(path, _)| path == "host/src/agent/pressure.rs");
    let (_, pressure) = pressure.expect("it was found above");
    assert!(!pressure.contains("fs::write") && !pressure.contains("OpenOptions"), "it reads only");
}

/// S11, S13, S15: nothing takes orders from a network, and nothing but alerts goes out over one.
#[test]
fn s11_s13_s15_the_network_is_not_spoken_to_but_by_alerts() {
    let words = ["UdpSocket", "TcpListener", "TcpStream", "TcpSocket"];
    fail_with(&found_outside(&words, &[]), "no socket of the network is opened by hand");
    let http: Vec<_> = ["core", "capture", "sandbox", "firewall", "discovery", "api", "alert"]
        .into_iter()
        .filter(|library| dependencies(&format!("host/{library}/Cargo.toml")).contains("reqwest"))
        .collect();
    assert_eq!(http, ["api", "alert"], "the first towards our own Unix socket");
    assert!(!dependencies("host/Cargo.toml").contains("reqwest"));
    fail_with(
        &found_outside(&["reqwest::"], &["host/alert/src/webhook.rs", "host/api/src/client.rs"]),
        "HTTP is spoken here only",
    );
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<_> = files("rs")
        .into_iter()
        .filter(|(_, text)| !text.trim_start().starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    fail_with(&silent, "a file opens with `//!`");
}

#[test]
fn files_hold_one_idea_and_nothing_unfinished() {
    let mut offences = Vec::new();
    for (path, text) in files("rs") {
        let lines = text.lines().count();
        if lines > 700 {
            offences.push(format!("{path} has {lines} lines"));
        }
        for mark in [
            "TO".to_owned() + "DO",
            "FIX".to_owned() + "ME",
            "XX".to_owned() + "X",
            "unimpl".to_owned() + "emented!(",
        ] {
            if text.contains(&mark) {
                offences.push(format!("{path} holds {mark}"));
            }
        }
    }
    fail_with(&offences, "no file over 700 lines, no unfinished marks");
}

#[test]
fn paths_in_the_documents_exist() {
    let mut offences = Vec::new();
    for (document, text) in files("md").into_iter().filter(|(path, _)| !path.contains('/')) {
        for quoted in text.split('`').skip(1).step_by(2) {
            let inside = ["host/", "plugins/", "plugin-sdk/", "wit/", "games/", "tests/", "xtask/", "docs/"];
            let is_path = inside.iter().any(|start| quoted.starts_with(start));
            if is_path && !quoted.contains(['<', '*', ' ', '{']) && !root().join(quoted).exists() {
                offences.push(format!("{document}: {quoted}"));
            }
        }
    }
    fail_with(&offences, "what a document points to is there");
}

#[test]
fn the_repository_names_no_machine() {
    let mut offences = Vec::new();
    for extension in ["rs", "toml", "md", "json", "js", "py", "txt", "wit", "sh"] {
        for (path, text) in files(extension).into_iter().filter(|(path, _)| path != "tests/tidy.rs") {
            // The folders of people, and the keys that pin a package to the host it was fetched from.
            for word in ["/root/", "/home/", "\"resolved\":", "--index-url", "--extra-index-url"] {
                if text.contains(word) {
                    offences.push(format!("{path}: {word}"));
                }
            }
        }
    }
    fail_with(&offences, "no path of one machine and no registry's host in a tracked file");
}
