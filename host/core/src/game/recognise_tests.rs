//! Tests of recognition with small games made for them; `tests/games.rs` runs the built-in ones.

use super::*;
use crate::game::GENERIC;
use crate::service::Judging;
use crate::service::Role;

const JAVA: &str = r#"
name = "Java"
[[ports]]
role = "game"
proto = "tcp"
port = 25565
only = true
plugin = "minecraft-java"
[[ports]]
role = "query"
proto = "udp"
offset = 0
when = "ENABLE_QUERY"
[[ports]]
role = "rcon"
proto = "tcp"
port = 25575
variables = ["RCON_PORT"]
[match]
variables = ["VANILLA_VERSION"]
[hints]
images = ["yolks:java_*"]
variables = ["SERVER_JARFILE"]
"#;

const VALHEIM: &str = r#"
name = "Valheim"
[[ports]]
role = "game"
proto = "udp"
port = 2456
[[ports]]
role = "query"
proto = "udp"
offset = 1
plugin = "source-query"
[match]
images = ["games:valheim"]
startup = ["valheim_server.x86_64"]
"#;

const TWIN: &str = r#"
name = "Twin"
[[ports]]
role = "game"
proto = "udp"
port = 1
[match]
startup = ["valheim_server.x86_64"]
"#;

fn catalog(files: &[(&str, &str)]) -> Catalog {
    Catalog::built_in(files).0
}

fn facts(image: &str, env: &[(&str, &str)], published: &[u16]) -> ContainerFacts {
    let both = |&port: &u16| {
        [Transport::Tcp, Transport::Udp].map(|transport| Published { inside: port, outside: port, transport })
    };
    ContainerFacts {
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        image: image.to_owned(),
        published: Some(published.iter().flat_map(both).collect()),
        ..ContainerFacts::default()
    }
}

/// `port/proto role who` of each port, after the game's id.
fn check(files: &[(&str, &str)], facts: &ContainerFacts, game: &str, want: &[&str]) -> Recognised {
    let found = catalog(files).recognise(facts);
    assert_eq!(&*found.game, game, "{:?}", found.evidence);
    let ports: Vec<String> = found
        .ports
        .iter()
        .map(|port| {
            let who = match &port.judging {
                Judging::Plugin(name) => name.to_string(),
                Judging::WrongTransport => "wrong-transport".to_owned(),
            };
            format!("{}/{} {:?} {who}", port.port, port.transport.name(), port.role).to_lowercase()
        })
        .collect();
    assert_eq!(ports, want);
    found
}

#[test]
fn udp_at_a_tcp_game_is_the_wrong_transport_unless_a_switch_says_otherwise() {
    let files = [("java.toml", JAVA)];
    let server = facts("x", &[("VANILLA_VERSION", "1.21"), ("SERVER_PORT", "31000")], &[31000]);
    check(&files, &server, "java", &["31000/tcp game minecraft-java", "31000/udp game wrong-transport"]);
    let mut query = server.clone();
    query.env.insert("ENABLE_QUERY".into(), "TRUE".into());
    check(&files, &query, "java", &["31000/tcp game minecraft-java", "31000/udp query generic"]);
}

#[test]
fn hints_need_company_and_leave_doubt() {
    let files = [("java.toml", JAVA)];
    let image = "ghcr.io/pterodactyl/yolks:java_21";
    let one = facts(image, &[("SERVER_PORT", "4242")], &[4242]);
    check(&files, &one, "unknown", &["4242/tcp game generic", "4242/udp game generic"]);
    let two = facts(image, &[("SERVER_PORT", "4242"), ("SERVER_JARFILE", "server.jar")], &[4242]);
    let found = check(&files, &two, "java", &["4242/tcp game minecraft-java", "4242/udp game generic"]);
    assert!(!found.certain);
}

#[test]
fn the_servers_own_variables_come_before_offsets_and_defaults() {
    let env = [("VANILLA_VERSION", "1"), ("SERVER_PORT", "5000"), ("RCON_PORT", "5001"), ("X", "25575")];
    let server = facts("x", &env, &[5000, 5001, 25575]);
    check(
        &[("java.toml", JAVA)],
        &server,
        "java",
        &[
            "5000/tcp game minecraft-java",
            "5000/udp game wrong-transport",
            "5001/tcp rcon generic",
            "5001/udp rcon generic",
            "25575/tcp unknown generic",
            "25575/udp unknown generic",
        ],
    );
    let server = facts("ghcr.io/parkervcp/games:valheim", &[("SERVER_PORT", "7000")], &[7000, 7001]);
    check(
        &[("valheim.toml", VALHEIM)],
        &server,
        "valheim",
        &[
            "7000/tcp game generic",
            "7000/udp game generic",
            "7001/tcp unknown generic",
            "7001/udp query source-query",
        ],
    );
}

#[test]
fn a_query_port_that_is_the_game_port_stays_the_game_port() {
    let file = VALHEIM.replace("offset = 1", "port = 2457\nvariables = [\"QUERY_PORT\"]");
    let server = facts("games:valheim", &[("SERVER_PORT", "7000"), ("QUERY_PORT", "7000")], &[7000]);
    let want = ["7000/tcp game generic", "7000/udp game generic"];
    check(&[("valheim.toml", &file)], &server, "valheim", &want);
}

#[test]
fn switches_that_contain_port_are_no_ports() {
    let env = [("SERVER_PORT", "1"), ("PORTFORWARD_ENABLE", "1"), ("RCON_PORT", ""), ("APP_PORT", "-1")];
    let found = check(
        &[],
        &facts("x", &env, &[1, 2]),
        "unknown",
        &["1/tcp game generic", "1/udp game generic", "2/tcp unknown generic", "2/udp unknown generic"],
    );
    assert_eq!(found.evidence, ["nothing names a game"]);
}

#[test]
fn equal_marks_are_no_answer_but_a_stronger_one_is() {
    let files = [("valheim.toml", VALHEIM), ("twin.toml", TWIN)];
    let env = [("STARTUP", "./valheim_server.x86_64 -port {{SERVER_PORT}}"), ("SERVER_PORT", "9")];
    let found = check(&files, &facts("x", &env, &[]), "unknown", &[]);
    assert_eq!(found.evidence, ["fits `valheim` and `twin` equally"]);
    check(&files, &facts("a/games:valheim", &env, &[]), "valheim", &[]);
}

#[test]
fn a_container_on_the_nodes_network_has_the_ports_that_its_variables_say() {
    let mut server = facts("games:valheim", &[("SERVER_PORT", "7000"), ("RCON_PORT", "7009")], &[]);
    server.published = None;
    check(
        &[("valheim.toml", VALHEIM)],
        &server,
        "valheim",
        &[
            "7000/tcp game generic",
            "7000/udp game generic",
            "7001/tcp unknown generic",
            "7001/udp query source-query",
            "7009/tcp rcon generic",
            "7009/udp rcon generic",
        ],
    );
}

#[test]
fn ports_that_docker_renumbers_are_judged_by_what_the_game_sees() {
    let mut server = facts("games:valheim", &[], &[]);
    server.published = Some(vec![Published { inside: 2457, outside: 40000, transport: Transport::Udp }]);
    check(&[("valheim.toml", VALHEIM)], &server, "valheim", &["40000/udp game generic"]);
    server.published = Some(vec![
        Published { inside: 2456, outside: 40001, transport: Transport::Udp },
        Published { inside: 2457, outside: 40000, transport: Transport::Udp },
    ]);
    check(
        &[("valheim.toml", VALHEIM)],
        &server,
        "valheim",
        &["40000/udp query source-query", "40001/udp game generic"],
    );
}

#[test]
fn switches_of_a_plugin_come_from_the_environment() {
    let mut catalog = catalog(&[("java.toml", JAVA)]);
    let flag = |name: &str, env: Option<&str>| crate::manifest::Flag {
        name: name.into(),
        env: env.map(Into::into),
        says: "".into(),
    };
    catalog.set_flags("minecraft-java", &[flag("a", Some("A")), flag("b", None), flag("c", Some("C"))]);
    let env = [("VANILLA_VERSION", "1"), ("SERVER_PORT", "1"), ("A", "0"), ("C", "on")];
    let found = catalog.recognise(&facts("x", &env, &[1]));
    assert_eq!(found.ports[0].flags, 0b100);
    assert_eq!(catalog.flags_named("minecraft-java", &["b", "zzz"]), (0b10, vec!["zzz"]));
}

#[test]
fn named_ports_are_judged_without_a_container() {
    let catalog = catalog(&[("java.toml", JAVA), ("valheim.toml", VALHEIM)]);
    let check = |game: &str, port, transport, role, who: Option<&str>| {
        let (_, found, judging) = catalog.judge_named(game, port, transport);
        let wanted = who.map_or(Judging::WrongTransport, |who| Judging::Plugin(who.into()));
        assert_eq!((found, judging), (role, wanted), "{game} {port}");
    };
    check("java", 31000, Transport::Tcp, Role::Game, Some("minecraft-java"));
    check("java", 31000, Transport::Udp, Role::Game, None);
    check("java", 25575, Transport::Tcp, Role::Rcon, Some(GENERIC));
    check("valheim", 9, Transport::Tcp, Role::Unknown, Some(GENERIC));
    check("nothing", 9, Transport::Tcp, Role::Unknown, Some(GENERIC));
}

#[test]
fn templates_are_filled_once() {
    let env: BTreeMap<String, String> =
        [("A".to_owned(), "{{B}}".to_owned()), ("B".to_owned(), "x".to_owned())].into();
    assert_eq!(filled("{{A}} {{ B }} {{C}} {{open", &env), "{{B}} x  open");
}

proptest::proptest! {
    /// Container facts are strangers' words: any of them give an answer.
    #[test]
    fn recognition_never_panics(image in "\\PC{0,40}", startup in "\\PC{0,80}", port in "\\PC{0,6}") {
        let files = [("java.toml", JAVA), ("valheim.toml", VALHEIM)];
        let facts = facts(&image, &[("STARTUP", &startup), ("SERVER_PORT", &port)], &[1, 65535]);
        let found = catalog(&files).recognise(&facts);
        proptest::prop_assert_eq!(found.ports.len(), 4);
    }
}
