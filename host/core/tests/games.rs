//! The built-in games: every file is flawless and backed, and the eggs that hosts use lead to the right one.

use std::path::Path;

use ftagent_core::game::Catalog;
use ftagent_core::game::ContainerFacts;
use ftagent_core::game::Published;
use ftagent_core::service::Judging;
use ftagent_core::service::Transport;

fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../games");
    let mut files = Vec::new();
    for folder in std::fs::read_dir(&root).expect("the games folder") {
        let folder = folder.expect("an entry").path();
        let id = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(folder.join("game.toml")).expect("each folder has a game.toml");
        files.push((format!("games/{id}/game.toml"), text));
    }
    files.sort();
    files
}

fn catalog() -> Catalog {
    let (catalog, findings) = Catalog::built_in(&files());
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings, Vec::<String>::new());
    catalog
}

#[test]
fn every_game_parses_without_findings_and_names_its_sources() {
    let catalog = catalog();
    assert_eq!(catalog.len(), files().len());
    for profile in catalog.iter() {
        assert!(!profile.sources.is_empty(), "{} has no source", profile.id);
    }
}

#[test]
fn every_number_is_backed_by_a_source() {
    for profile in catalog().iter() {
        let says: Vec<&str> = profile.sources.iter().map(|source| &*source.says).collect();
        let says = says.join(" ");
        let words: Vec<&str> = says.split(|c: char| !c.is_ascii_digit()).collect();
        let number = |number: String| {
            assert!(words.contains(&number.as_str()), "{}: nothing backs {number}", profile.id);
        };
        for rule in &profile.ports {
            rule.port.iter().for_each(|port| number(port.to_string()));
            if let Some(offset) = rule.offset.filter(|offset| *offset != 0) {
                let spelled = ["", "one above", "two above"].get(offset as usize);
                if spelled.is_none_or(|spelled| !says.contains(spelled)) {
                    number(offset.to_string());
                }
            }
        }
        for variable in &profile.marks.variables {
            variable.value.iter().for_each(|value| number(value.to_string()));
        }
    }
}

fn facts(egg: Option<&str>, image: &str, env: &[(&str, &str)]) -> ContainerFacts {
    let both = [Transport::Tcp, Transport::Udp];
    let mut env: Vec<(&str, &str)> = env.to_vec();
    env.push(("SERVER_PORT", "30500"));
    ContainerFacts {
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        image: image.to_owned(),
        egg: egg.map(str::to_owned),
        published: Some(
            both.map(|transport| Published { inside: 30500, outside: 30500, transport }).to_vec(),
        ),
        ..ContainerFacts::default()
    }
}

/// `tcp who, udp who` of the game port.
fn judging(catalog: &Catalog, facts: &ContainerFacts) -> (String, String, String) {
    let found = catalog.recognise(facts);
    let who = |at: usize| match &found.ports[at].judging {
        Judging::Plugin(name) => name.to_string(),
        Judging::WrongTransport => "wrong".to_owned(),
    };
    (found.game.to_string(), who(0), who(1))
}

#[test]
fn eggs_lead_to_their_game_and_its_transports() {
    let catalog = catalog();
    let check = |egg: &str, game: &str, tcp: &str, udp: &str| {
        let got = judging(&catalog, &facts(Some(egg), "ghcr.io/pterodactyl/yolks:debian", &[]));
        assert_eq!(got, (game.to_owned(), tcp.to_owned(), udp.to_owned()), "egg {egg}");
    };
    let java = |egg| check(egg, "minecraft-java", "minecraft-java", "wrong");
    for egg in
        ["Minecraft", "Paper", "SpongeVanilla", "Vanilla Minecraft", "Forge Minecraft", "Purpur", "Fabric"]
    {
        java(egg);
    }
    check("Bungeecord", "minecraft-proxy", "minecraft-java", "wrong");
    check("Velocity", "minecraft-proxy", "minecraft-java", "wrong");
    check("Minecraft Bedrock", "minecraft-bedrock", "wrong", "minecraft-bedrock");
    check("Bedrock", "minecraft-bedrock", "wrong", "minecraft-bedrock");
    check("Purpur-Geyser-Floodgate", "minecraft-crossplay", "minecraft-java", "minecraft-bedrock");
    check("FiveM", "fivem", "fivem", "fivem");
    check("RedM", "redm", "fivem", "fivem");
    check("Rust", "rust", "generic", "rust");
    check("Rust Autowipe", "rust", "generic", "rust");
    check("ARK", "ark-survival-evolved", "generic", "generic");
    check("Ark: Survival Evolved", "ark-survival-evolved", "generic", "generic");
    check("Counter-Strike 2", "counter-strike-2", "source-query", "source-query");
    check(
        "Counter-Strike: Global Offensive",
        "counter-strike-global-offensive",
        "source-query",
        "source-query",
    );
    check("Counter-Strike", "half-life", "generic", "source-query");
    check("Garrys Mod", "garrys-mod", "source-query", "source-query");
    check("Garry's Mod", "garrys-mod", "source-query", "source-query");
    check("Team Fortress 2", "team-fortress-2", "source-query", "source-query");
    check("Insurgency", "insurgency", "source-query", "source-query");
    check("Insurgency: Sandstorm", "insurgency-sandstorm", "generic", "generic");
    check("Left 4 Dead", "left-4-dead", "source-query", "source-query");
    check("Left 4 Dead 2", "left-4-dead-2", "source-query", "source-query");
    check("Terraria Vanilla", "terraria", "generic", "wrong");
    check("Valheim", "valheim", "generic", "generic");
    check("Palworld", "palworld", "generic", "generic");
    check("Project Zomboid", "project-zomboid", "generic", "generic");
    check("Unturned", "unturned", "generic", "source-query");
    check("Squad", "squad", "generic", "generic");
    check("Teamspeak3 Server", "teamspeak-3", "generic", "generic");
    check("TeamSpeak", "teamspeak-3", "generic", "generic");
    check("Mumble Server", "mumble", "generic", "generic");
    for egg in [
        "DarkRP",
        "Spark",
        "Trust Factor",
        "rust generic",
        "Foundry VTT",
        "Wreckfest 2",
        "Noah's Ark Chat",
        "TS3 Manager",
        "Generic Java",
        "",
    ] {
        check(egg, "unknown", "generic", "generic");
    }
}

#[test]
fn containers_without_an_egg_name_are_recognised_by_what_wings_gives_them() {
    let catalog = catalog();
    let check = |image: &str, env: &[(&str, &str)], game: &str| {
        let found = catalog.recognise(&facts(None, image, env));
        assert_eq!(&*found.game, game, "{image} {env:?}: {:?}", found.evidence);
    };
    let debian = "ghcr.io/parkervcp/steamcmd:debian";
    let source = "ghcr.io/pterodactyl/games:source";
    check("ghcr.io/pelican-eggs/games:rust", &[], "rust");
    check(debian, &[("SRCDS_APPID", "258550")], "rust");
    check(debian, &[("SRCDS_APPID", "730"), ("TV_PORT", "27020")], "counter-strike-2");
    check(
        source,
        &[("STARTUP", "./srcds_run -game csgo -console -port {{SERVER_PORT}}")],
        "counter-strike-global-offensive",
    );
    check(source, &[("STARTUP", "./srcds_run -game {{G}} -console"), ("G", "garrysmod")], "garrys-mod");
    check(source, &[("STARTUP", "./srcds_run -game hl2mp"), ("SRCDS_APPID", "232370")], "source-engine");
    check(source, &[("STARTUP", "./srcds_run -game cstrike -port 1")], "counter-strike-source");
    check(source, &[("STARTUP", "./hlds_run -console -game cstrike")], "half-life");
    check(source, &[("STARTUP", "./srcds_run -game left4dead2")], "left-4-dead-2");
    check(source, &[], "unknown");
    check("ghcr.io/parkervcp/games:samp", &[], "unknown");
    check("ghcr.io/parkervcp/games:samp", &[("STARTUP", "./omp-server")], "open-multiplayer");
    let java = "ghcr.io/pterodactyl/yolks:java_21";
    let jar = "java -Xms128M -XX:MaxRAMPercentage=95.0 -jar {{SERVER_JARFILE}}";
    let server = ("SERVER_JARFILE", "server.jar");
    check(java, &[("STARTUP", jar), server, ("VANILLA_VERSION", "latest")], "minecraft-java");
    check(java, &[("STARTUP", jar), server, ("MINECRAFT_VERSION", "latest")], "minecraft-java");
    check(java, &[("STARTUP", jar), server, ("BUNGEE_VERSION", "latest")], "minecraft-proxy");
    check(java, &[("STARTUP", jar), server, ("NUKKIT_VERSION", "latest")], "minecraft-bedrock");
    check(java, &[("STARTUP", jar), server], "minecraft-java");
    check(java, &[("STARTUP", "java -jar {{JARFILE}}"), ("JARFILE", "music.jar")], "unknown");
    check("debian", &[("STARTUP", "./bedrock_server")], "minecraft-bedrock");
    check(
        "debian",
        &[("STARTUP", "./bin/php7/bin/php ./PocketMine-MP.phar --no-wizard")],
        "minecraft-bedrock",
    );
    check("debian", &[("STARTUP", "$(pwd)/alpine/opt/cfx-server/FXServer +set gamename rdr3")], "redm");
    check("debian", &[("STARTUP", "$(pwd)/alpine/opt/cfx-server/FXServer +exec server.cfg")], "fivem");
    check("itzg/minecraft-server:latest", &[], "minecraft-java");
    check("itzg/minecraft-bedrock-server", &[], "minecraft-bedrock");
    check("debian", &[("FTAGENT_EGG", "Ark: Survival Evolved")], "ark-survival-evolved");
}

#[test]
fn short_names_are_accepted_wherever_an_id_is() {
    let catalog = catalog();
    for (short, id) in [
        ("cs2", "counter-strike-2"),
        ("gmod", "garrys-mod"),
        ("tf2", "team-fortress-2"),
        ("css", "counter-strike-source"),
        ("csgo", "counter-strike-global-offensive"),
        ("l4d2", "left-4-dead-2"),
        ("ts3", "teamspeak-3"),
        ("minecraft", "minecraft-java"),
        ("bedrock", "minecraft-bedrock"),
        ("ark", "ark-survival-evolved"),
        ("7dtd", "7-days-to-die"),
        ("pz", "project-zomboid"),
        ("minetest", "luanti"),
        ("goldsrc", "half-life"),
    ] {
        assert_eq!(
            catalog.resolve(short).map(|profile| profile.id.to_string()).as_deref(),
            Some(id),
            "{short}"
        );
    }
}
