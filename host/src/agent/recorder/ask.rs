//! From what somebody asks for to a recording: whose packets, and under which key addresses are replaced.

use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use ftagent_capture::Anonymiser;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;

use super::carries_credentials;

/// Fewer characters of a server's name are no beginning of it.
const BEGINNING_CHARACTERS: usize = 4;

const KEY_BYTES: usize = 32;

/// The services of the server that somebody means; those that credentials come by are left out.
pub(crate) fn services_of(services: &Services, server: &str) -> Result<Vec<ServiceKey>, String> {
    let found = match server.parse::<SocketAddr>() {
        Ok(at) => {
            let here =
                |key: &ServiceKey| key.port == at.port() && (key.ip == at.ip() || key.ip.is_unspecified());
            services.iter().find(|service| here(&service.key)).map(|service| &service.server)
        }
        Err(_) => {
            let named = |name: &str| {
                name == server || server.len() >= BEGINNING_CHARACTERS && name.starts_with(server)
            };
            let mut names: Vec<_> =
                services.iter().map(|service| &service.server).filter(|name| named(name)).collect();
            names.sort();
            names.dedup();
            if names.len() > 1 && !names.iter().any(|name| name.as_ref() == server) {
                return Err(format!("`{server}` is the beginning of {} servers", names.len()));
            }
            names.iter().find(|name| name.as_ref() == server).or(names.first()).copied()
        }
    };
    let server = found.ok_or_else(|| format!("no server `{server}`; `ftagent services` lists them"))?;
    let of_it = services.iter().filter(|service| service.server == *server);
    let keys: Vec<_> = of_it.filter(|s| !carries_credentials(s.role)).map(|s| s.key).collect();
    if keys.is_empty() {
        return Err(format!("`{server}` has only ports that credentials come by; they are never recorded"));
    }
    Ok(keys)
}

/// The node's own key for replacing addresses, made when it is first needed: the operator recognises an address in
/// everything that he gave away, nobody else does.
pub(crate) fn anonymiser(state_dir: &Path) -> anyhow::Result<Anonymiser> {
    let path = state_dir.join("anonymise.key");
    let shown = path.display();
    if let Ok(known) = std::fs::read(&path) {
        let key = known.first_chunk::<KEY_BYTES>().filter(|_| known.len() == KEY_BYTES);
        let key = key.with_context(|| format!("{shown} is no key; remove it to make a new one"))?;
        return Ok(Anonymiser::new(key));
    }
    let mut key = [0; KEY_BYTES];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key));
    random.context("failed to read /dev/urandom")?;
    let mut options = std::fs::OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(&path);
    written.and_then(|mut file| file.write_all(&key)).with_context(|| format!("failed to write {shown}"))?;
    Ok(Anonymiser::new(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ftagent_core::service::Judging;
    use ftagent_core::service::Path as Way;
    use ftagent_core::service::Role;
    use ftagent_core::service::Service;
    use ftagent_core::service::Transport;

    fn service(server: &str, port: u16, role: Role) -> Service {
        Service {
            key: ServiceKey {
                ip: "203.0.113.10".parse().expect("an address"),
                port,
                transport: Transport::Tcp,
            },
            server: server.into(),
            game: "toy".into(),
            role,
            judging: Judging::WrongTransport,
            path: Way::Forwarded,
            flags: 0,
        }
    }

    #[test]
    fn a_server_is_found_by_its_name_the_beginning_of_it_or_a_port() {
        let all = [
            service("5c4ab7a2", 1, Role::Game),
            service("5c4ab7a2", 2, Role::Rcon),
            service("5c4affff", 3, Role::Query),
            service("5c4a", 4, Role::Game),
            service("vault", 5, Role::Rcon),
        ];
        let services = Services::new(all, []);
        for (asked, expected) in [
            ("5c4ab7a2", Ok(vec![1])),
            ("5c4ab", Ok(vec![1])),
            ("5c4a", Ok(vec![4])),
            ("203.0.113.10:3", Ok(vec![3])),
            ("203.0.113.10:2", Ok(vec![1])),
            ("5c4", Err("no server `5c4`")),
            ("203.0.113.11:3", Err("no server")),
            ("vault", Err("never recorded")),
            ("nobody", Err("no server `nobody`")),
        ] {
            match (services_of(&services, asked), expected) {
                (Ok(keys), Ok(ports)) => {
                    assert_eq!(keys.iter().map(|key| key.port).collect::<Vec<_>>(), ports, "{asked}");
                }
                (Err(says), Err(part)) => assert!(says.contains(part), "{asked}: {says}"),
                (found, expected) => panic!("{asked}: {found:?} is not {expected:?}"),
            }
        }
        let both = Services::new([service("abcd1", 1, Role::Game), service("abcd2", 2, Role::Game)], []);
        assert!(services_of(&both, "abcd").expect_err("which?").contains("2 servers"));
    }

    #[test]
    fn the_key_is_made_once_and_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = "192.0.2.1".parse().expect("an address");
        let first = anonymiser(dir.path()).expect("writable").address(address);
        assert_eq!(anonymiser(dir.path()).expect("readable").address(address), first);
        std::fs::write(dir.path().join("anonymise.key"), b"short").expect("writable");
        assert!(anonymiser(dir.path()).expect_err("no key").to_string().contains("is no key"));
    }
}
