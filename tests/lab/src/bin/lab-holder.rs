//! Holds a lab with a daemon and a server until it is killed; the test of cleaning up kills it.

use std::net::SocketAddr;

use ftagent_lab::Docker;
use ftagent_lab::Lab;
use ftagent_lab::ServerSpec;
use ftagent_lab::address;

fn main() -> anyhow::Result<()> {
    let lab = Lab::new()?;
    let docker = Docker::start(&lab)?;
    let public = SocketAddr::from((address::NODE, 25565));
    docker.run_server(&ServerSpec::new("lab:holder", public, &["/busybox", "sleep", "1000"]))?;
    println!("{} {}", lab.name(), lab.dir().display());
    loop {
        std::thread::park();
    }
}
