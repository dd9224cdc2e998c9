//! `--service 203.0.113.10:25565/tcp=minecraft-java`: from words to the service table.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use ftagent_core::game::Catalog;
use ftagent_core::game::UNKNOWN;
use ftagent_core::service::Judging;
use ftagent_core::service::Path;
use ftagent_core::service::Role;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;

use crate::config::StaticService;

/// A service as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    address: Option<IpAddr>,
    port: u16,
    transport: Transport,
    game: String,
    role: Option<Role>,
    flags: Vec<String>,
}

impl From<StaticService> for Wanted {
    fn from(written: StaticService) -> Self {
        let StaticService { address, port, transport, game, role, flags, .. } = written;
        Self { address, port, transport, game, role, flags }
    }
}

/// Reads `[ADDRESS:]PORT/tcp|udp=GAME`.
pub(crate) fn parse(text: &str) -> Result<Wanted, String> {
    let form = "write [ADDRESS:]PORT/tcp|udp=GAME, such as 203.0.113.10:25565/tcp=minecraft-java";
    let (place, game) = text.split_once('=').ok_or_else(|| format!("there is no `=GAME`; {form}"))?;
    let (place, transport) =
        place.rsplit_once('/').ok_or_else(|| format!("there is no `/tcp` or `/udp`; {form}"))?;
    let transport = match transport {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        other => return Err(format!("`{other}` is neither `tcp` nor `udp`")),
    };
    let (address, port) = match place.parse::<u16>() {
        Ok(port) => (None, port),
        Err(_) => {
            let socket: SocketAddr =
                place.parse().map_err(|_| format!("`{place}` is no address and port; {form}"))?;
            (Some(socket.ip()), socket.port())
        }
    };
    if port == 0 {
        return Err("port 0 does not exist".to_owned());
    }
    if game.is_empty() {
        return Err(format!("there is no game behind `=`; {form}"));
    }
    Ok(Wanted { address, port, transport, game: game.to_owned(), role: None, flags: Vec::new() })
}

/// The table. A game that nobody knows is judged by `generic`, with one warning a name.
pub(crate) fn resolve(wanted: &[Wanted], catalog: &Catalog, warn: &mut dyn FnMut(String)) -> Services {
    let mut unknown: Vec<&str> = Vec::new();
    let mut services = Vec::new();
    for want in wanted {
        let (game, role, judging) = catalog.judge_named(&want.game, want.port, want.transport);
        if *game == *UNKNOWN && !unknown.contains(&want.game.as_str()) {
            unknown.push(&want.game);
            let near = catalog
                .nearest(&want.game)
                .map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
            warn(format!("no game `{}` is known{near}; it is judged by `generic`", want.game));
        }
        let flags = match &judging {
            Judging::Plugin(plugin) => {
                let names: Vec<_> = want.flags.iter().map(String::as_str).collect();
                let (flags, unknown) = catalog.flags_named(plugin, &names);
                for flag in unknown {
                    warn(format!("plugin `{plugin}` has no flag `{flag}`"));
                }
                flags
            }
            Judging::WrongTransport => 0,
        };
        let addresses = match want.address {
            Some(address) => vec![address],
            None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        };
        services.extend(addresses.into_iter().map(|ip| Service {
            key: ServiceKey { ip, port: want.port, transport: want.transport },
            server: want.game.as_str().into(),
            game: game.clone(),
            role: want.role.unwrap_or(role),
            judging: judging.clone(),
            path: Path::Forwarded,
            flags,
        }));
    }
    let own: Vec<_> = wanted.iter().filter_map(|want| want.address).collect();
    Services::new(services, own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read() {
        let check = |text: &str, address: Option<&str>, port, transport, game: &str| {
            let wanted = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(wanted.address, address.map(|a| a.parse().expect("an address")), "{text}");
            assert_eq!(
                (wanted.port, wanted.transport, wanted.game.as_str()),
                (port, transport, game),
                "{text}"
            );
        };
        check(
            "203.0.113.10:25565/tcp=minecraft-java",
            Some("203.0.113.10"),
            25565,
            Transport::Tcp,
            "minecraft-java",
        );
        check("19132/udp=minecraft-bedrock", None, 19132, Transport::Udp, "minecraft-bedrock");
        check("[2001:db8::10]:27015/udp=cs2", Some("2001:db8::10"), 27015, Transport::Udp, "cs2");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("25565", "`=GAME`"),
            ("25565=rust", "`/tcp` or `/udp`"),
            ("25565/sctp=rust", "neither"),
            ("70000/tcp=rust", "no address and port"),
            ("0/tcp=rust", "port 0"),
            ("1/tcp=", "no game"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
