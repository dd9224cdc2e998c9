//! System packages: finds out which commands are missing and installs what brings them.
//!
//! What must stay true: nothing is removed or upgraded on purpose, no service is started, and a node where game
//! containers already run is left alone unless its operator says otherwise.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;

/// A command and the Debian package that brings it.
pub(crate) struct Need {
    command: &'static str,
    package: &'static str,
}

const fn need(command: &'static str, package: &'static str) -> Need {
    Need { command, package }
}

/// What the lab and real clients need.
pub(crate) const LAB: &[Need] = &[
    need("dockerd", "docker.io"),
    need("docker", "docker.io"),
    need("iptables", "iptables"),
    need("ipset", "ipset"),
    need("nft", "nftables"),
    need("ip", "iproute2"),
    need("conntrack", "conntrack"),
    need("nsenter", "util-linux"),
    need("sysctl", "procps"),
    need("busybox", "busybox-static"),
    need("node", "nodejs"),
    need("npm", "npm"),
    need("python3", "python3"),
    need("pip3", "python3-pip"),
];

/// What only the tests with real games need.
pub(crate) const GAMES: &[Need] = &[need("bzfs", "bzflag-server"), need("bzadmin", "bzflag-server")];

/// Where Debian's commands are; a superuser's path often lacks the last two.
const PLACES: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/games"];
/// Where packages ask whether they may start their service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing and says so through `say`. Needs root only if something is missing.
pub(crate) fn ensure(needs: &[Need], on_this_node: bool, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let games = running_games();
    if !games.is_empty() && !on_this_node {
        bail!(
            "{} game containers run on this machine ({}, ...); the lab leaves them alone, but it costs this node's \
             processor for two minutes. `--on-this-node` does it all the same",
            games.len(),
            games[0]
        );
    }
    let mut packages: Vec<&str> =
        needs.iter().filter(|need| find(need.command).is_none()).map(|need| need.package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!("missing: {}; run as root, or `apt-get install {}`", packages.join(", "), packages.join(" "));
    }
    say(&format!("installing {} (nothing is removed, no service is started)", packages.join(", ")));
    install(&packages)?;
    let missing: Vec<&str> =
        needs.iter().filter(|need| find(need.command).is_none()).map(|need| need.command).collect();
    if !missing.is_empty() {
        bail!("still missing after the installation: {}", missing.join(", "));
    }
    Ok(())
}

/// Whether we are root, asked of the kernel's own file so that no further dependency is needed.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1).map(|effective| effective == "0")).unwrap_or(false)
}

/// Where a command is.
fn find(command: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let own = path.split(':').filter(|place| !place.is_empty());
    own.chain(PLACES.iter().copied()).map(|place| Path::new(place).join(command)).find(|path| path.is_file())
}

/// Names of game containers of the machine's own Docker, if it has one that answers.
fn running_games() -> Vec<String> {
    if !Path::new("/var/run/docker.sock").exists() {
        return Vec::new();
    }
    let mut docker = Command::new("docker");
    docker.args(["-H", "unix:///var/run/docker.sock", "ps", "--format", "{{.Names}}"]);
    docker.args(["--filter", "label=ContainerType=server_process"]);
    match docker.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    let _policy = NoServices::begin()?;
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-remove", "--no-install-recommends"], packages].concat())
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let output = apt.output().context("this is no Debian: `apt-get` is missing")?;
    if !output.status.success() {
        bail!(
            "`apt-get {}` ended with {}\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// While it exists, freshly installed packages start no service. A policy that somebody else made is left as it is.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn begin() -> anyhow::Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { is_ours: false });
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        let ours = Self { is_ours: true };
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {POLICY} executable"))?;
        Ok(ours)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_where_debian_puts_them() {
        assert!(find("sh").is_some());
        assert!(find("no-such-command-anywhere").is_none());
    }
}
