//! The client: what `ftagent status` and its sisters use.

use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ApiError;
use crate::server::RecordQuery;
use crate::views::BlockChange;
use crate::views::BlockView;
use crate::views::ModeChange;
use crate::views::ModeView;
use crate::views::Problem;
use crate::views::Status;

/// How long to wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// A client of the agent behind one socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    http: reqwest::Client,
}

impl Client {
    /// A client of the socket at `path`. Nothing is opened yet.
    pub fn new(path: &Path) -> Result<Self, ApiError> {
        let http = reqwest::Client::builder()
            .unix_socket(path)
            .tls_backend_preconfigured(no_tls())
            .connect_timeout(CONNECT_WITHIN)
            .no_proxy()
            .build()
            .map_err(|error| ApiError::NoAgent { path: path.to_path_buf(), cause: chain(&error) })?;
        Ok(Self { path: path.to_path_buf(), http })
    }

    /// The agent's status.
    pub async fn status(&self) -> Result<Status, ApiError> {
        self.read("/v1/status", self.http.get(url("/v1/status"))).await
    }

    /// Everything known of one address.
    pub async fn explain(&self, address: IpAddr) -> Result<Value, ApiError> {
        let route = format!("/v1/explain?address={address}");
        self.read("/v1/explain", self.http.get(url(&route))).await
    }

    /// Changes the mode.
    pub async fn set_mode(&self, change: &ModeChange) -> Result<ModeView, ApiError> {
        self.read("/v1/mode", self.http.post(url("/v1/mode")).json(change)).await
    }

    /// What is blocked and allowed by hand and in the configuration.
    pub async fn blocks(&self) -> Result<Vec<BlockView>, ApiError> {
        self.read("/v1/blocks", self.http.get(url("/v1/blocks"))).await
    }

    /// Blocks or allows a network, or takes that back; answers with all of them.
    pub async fn change_block(&self, change: &BlockChange) -> Result<Vec<BlockView>, ApiError> {
        self.read("/v1/blocks", self.http.post(url("/v1/blocks")).json(change)).await
    }

    /// Hands each event line to `each` until the agent ends or `each` says no.
    pub async fn events(&self, mut each: impl FnMut(&str) -> bool) -> Result<(), ApiError> {
        let mut response = self.send(self.http.get(url("/v1/events"))).await?;
        let mut rest = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let Some(chunk) = chunk.map_err(|error| unreadable("/v1/events", &error))? else { return Ok(()) };
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if !each(String::from_utf8_lossy(&line).trim_end()) {
                    return Ok(());
                }
            }
        }
    }

    /// Hands each piece of a capture file to `each` until the recording ends or `each` says no.
    pub async fn record(
        &self,
        query: &RecordQuery,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), ApiError> {
        let route = "/v1/record";
        let response = self.send(self.http.post(url(route)).json(query)).await?;
        let mut response = accepted(response).await?;
        while let Some(piece) = response.chunk().await.map_err(|error| unreadable(route, &error))? {
            if !each(&piece) {
                break;
            }
        }
        Ok(())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ApiError> {
        request
            .send()
            .await
            .map_err(|error| ApiError::NoAgent { path: self.path.clone(), cause: chain(&error) })
    }

    async fn read<T: DeserializeOwned>(
        &self,
        route: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ApiError> {
        let response = accepted(self.send(request).await?).await?;
        response.json().await.map_err(|error| unreadable(route, &error))
    }
}

/// Nothing on a Unix socket is encrypted: a store without certificates, so that none are read from the disk.
fn no_tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("ring knows the default versions");
    config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

/// The answer, unless it is no.
async fn accepted(response: reqwest::Response) -> Result<reqwest::Response, ApiError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let message = match response.json::<Problem>().await {
        Ok(problem) => problem.error,
        Err(_) => format!("the agent answered {status}"),
    };
    Err(ApiError::Refused { message })
}

fn url(route: &str) -> String {
    format!("http://ftagent{route}")
}

fn unreadable(route: &str, error: &reqwest::Error) -> ApiError {
    ApiError::Unreadable { path: route.to_owned(), cause: chain(error) }
}

/// The innermost cause: the outer ones only say that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
