//! What `ftagent doctor` checks: everything the agent would need, and whether the wall is in the packets' way.

use ftagent_discovery::Docker;

use super::look;
use super::plugins::PluginSet;
use crate::cli::doctor::Check;
use crate::config::Config;
use crate::exit::Failure;

/// All checks, in the order of a packet's life.
pub(crate) fn doctor(config: &Config) -> Result<Vec<Check>, Failure> {
    let mut plugins = PluginSet::built_in(super::sandbox(config)?)?;
    let mut checks = vec![root()];
    for refused in plugins.load_folder(&config.plugins_dir()) {
        checks.push(bad("plugin", refused.to_string(), "replace or remove the file"));
    }
    let names: Vec<_> = plugins.manifests().iter().map(|manifest| manifest.name.to_string()).collect();
    checks.push(good("plugins", names.join(", ")));
    let snapshot = look::snapshot_once(config, &plugins)?;
    checks.push(docker(config, &snapshot));
    checks
        .push(good("services", format!("{} of {} servers", snapshot.services.len(), snapshot.servers.len())));
    checks.push(match look::interfaces(config, &snapshot) {
        Ok(interfaces) => {
            let names: Vec<_> =
                interfaces.iter().map(|(i, because)| format!("{} ({because})", i.name)).collect();
            good("capture", format!("af-packet on {}", names.join(", ")))
        }
        Err(failure) => bad("capture", failure.error.to_string(), "name an interface with `--interface`"),
    });
    let wall = ftagent_firewall::doctor(1 << config.firewall_mark_bit, look::docker_backend(&snapshot));
    checks.extend(wall.into_iter().map(|check| Check {
        name: check.name.to_owned(),
        ok: check.ok,
        says: check.says,
        mend: (!check.mend.is_empty()).then_some(check.mend),
    }));
    Ok(checks)
}

fn root() -> Check {
    if rustix::process::geteuid().is_root() {
        good("privileges", "root")
    } else {
        bad(
            "privileges",
            "not root: packets cannot be captured and nothing can be enforced",
            "run it as root",
        )
    }
}

fn docker(config: &Config, snapshot: &ftagent_discovery::Snapshot) -> Check {
    match &snapshot.docker {
        Docker::Connected => good(
            "docker",
            format!(
                "version {}, firewall backend {}",
                snapshot.docker_version.as_deref().unwrap_or("unknown"),
                snapshot.firewall_backend.as_deref().unwrap_or("not told (iptables before 28.1)")
            ),
        ),
        Docker::NotAsked => bad("docker", "it did not answer in time", "systemctl status docker"),
        Docker::Unreachable { why } => bad(
            "docker",
            why.clone(),
            &format!("start Docker, or name its socket ({})", config.docker_socket.display()),
        ),
    }
}

fn good(name: &str, says: impl Into<String>) -> Check {
    Check { name: name.to_owned(), ok: true, says: says.into(), mend: None }
}

fn bad(name: &str, says: impl Into<String>, mend: &str) -> Check {
    Check { name: name.to_owned(), ok: false, says: says.into(), mend: Some(mend.to_owned()) }
}
