//! The server: routes over a Unix socket.

use std::convert::Infallible;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use futures_util::stream;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::ApiError;
use crate::views::BlockChange;
use crate::views::BlockView;
use crate::views::Event;
use crate::views::ModeChange;
use crate::views::ModeView;
use crate::views::Problem;
use crate::views::Status;

/// How long the agent may take for an answer before the client is told that it did not.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A question that the published status does not answer.
#[derive(Debug)]
pub enum Request {
    /// Everything known of one address.
    Explain {
        /// The address.
        address: IpAddr,
        /// Where the answer goes.
        reply: oneshot::Sender<Value>,
    },
    /// Change the mode.
    Mode {
        /// To what.
        change: ModeChange,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<ModeView, String>>,
    },
    /// Block or allow a network, or take that back; without a change, list them.
    Blocks {
        /// What to change.
        change: Option<BlockChange>,
        /// Where the answer goes: all of them.
        reply: oneshot::Sender<Result<Vec<BlockView>, String>>,
    },
    /// Record the packets of a server.
    Record {
        /// Whose, and for how long.
        query: RecordQuery,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<CaptureBlocks, String>>,
    },
}

/// What somebody wants recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordQuery {
    /// The server: its uuid, the beginning of it, its name, or `ip:port` of one of its ports.
    pub server: String,
    /// For how long, from 1 to [`RECORD_SECONDS_MAX`].
    pub seconds: u64,
    /// Replace addresses and cut payload.
    pub anonymise: bool,
}

/// Longest recording in seconds.
pub const RECORD_SECONDS_MAX: u64 = 3_600;

/// Blocks of a capture file as they come; the file ends with them.
pub type CaptureBlocks = mpsc::Receiver<Vec<u8>>;

/// What the agent lays open to the server.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The newest status. The agent replaces it; the server only reads.
    pub status: watch::Receiver<Arc<Status>>,
    /// Events as they happen. Slow readers miss the oldest and are told how many.
    pub events: broadcast::Sender<Arc<Event>>,
    /// Requests to the agent. Bounded; when it is full the client is told to come back.
    pub requests: mpsc::Sender<Request>,
}

/// Makes the socket at `path` (mode 0600) and answers until the task is dropped.
pub async fn serve(path: &Path, desk: Desk) -> Result<(), ApiError> {
    let fault = |op| move |source| ApiError::Socket { op, path: path.to_path_buf(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault("replace")(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(fault("listen at"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fault("protect"))?;
    axum::serve(listener, routes(desk)).await.map_err(fault("answer at"))
}

fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/explain", get(explain))
        .route("/v1/mode", post(mode))
        .route("/v1/blocks", get(blocks).post(change_block))
        .route("/v1/events", get(events))
        .route("/v1/record", post(record))
        .with_state(desk)
}

async fn status(State(desk): State<Desk>) -> Response {
    let status = desk.status.borrow().clone();
    Json(&*status).into_response()
}

#[derive(Deserialize)]
struct ExplainQuery {
    address: IpAddr,
}

async fn explain(State(desk): State<Desk>, Query(query): Query<ExplainQuery>) -> Response {
    let (reply, answer) = oneshot::channel();
    match ask(&desk, Request::Explain { address: query.address, reply }, answer).await {
        Ok(explanation) => Json(explanation).into_response(),
        Err(problem) => problem,
    }
}

async fn blocks(State(desk): State<Desk>) -> Response {
    answer_blocks(&desk, None).await
}

async fn change_block(State(desk): State<Desk>, Json(change): Json<BlockChange>) -> Response {
    answer_blocks(&desk, Some(change)).await
}

async fn answer_blocks(desk: &Desk, change: Option<BlockChange>) -> Response {
    let (reply, answer) = oneshot::channel();
    match ask(desk, Request::Blocks { change, reply }, answer).await {
        Ok(Ok(blocks)) => Json(blocks).into_response(),
        Ok(Err(refusal)) => problem(StatusCode::CONFLICT, refusal),
        Err(problem) => problem,
    }
}

async fn mode(State(desk): State<Desk>, Json(change): Json<ModeChange>) -> Response {
    let (reply, answer) = oneshot::channel();
    match ask(&desk, Request::Mode { change, reply }, answer).await {
        Ok(Ok(view)) => Json(view).into_response(),
        Ok(Err(refusal)) => problem(StatusCode::CONFLICT, refusal),
        Err(problem) => problem,
    }
}

async fn events(State(desk): State<Desk>) -> Response {
    let feed = desk.events.subscribe();
    let lines = stream::unfold(feed, |mut feed| async move {
        let line = match feed.recv().await {
            Ok(event) => serde_json::to_string(&*event).unwrap_or_default(),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                format!("{{\"what\":\"missed\",\"events\":{missed}}}")
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((Ok::<_, Infallible>(line + "\n"), feed))
    });
    Response::new(Body::from_stream(lines))
}

async fn record(State(desk): State<Desk>, Json(query): Json<RecordQuery>) -> Response {
    if !(1..=RECORD_SECONDS_MAX).contains(&query.seconds) {
        let says = format!("a recording lasts from 1 to {RECORD_SECONDS_MAX} seconds, not {}", query.seconds);
        return problem(StatusCode::BAD_REQUEST, says);
    }
    let (reply, answer) = oneshot::channel();
    match ask(&desk, Request::Record { query, reply }, answer).await {
        Ok(Ok(blocks)) => {
            let blocks = stream::unfold(blocks, |mut blocks| async move {
                let block = blocks.recv().await?;
                Some((Ok::<_, Infallible>(block), blocks))
            });
            Response::new(Body::from_stream(blocks))
        }
        Ok(Err(refusal)) => problem(StatusCode::CONFLICT, refusal),
        Err(problem) => problem,
    }
}

async fn ask<T>(desk: &Desk, request: Request, answer: oneshot::Receiver<T>) -> Result<T, Response> {
    if desk.requests.try_send(request).is_err() {
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy; ask again".to_owned()));
    }
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(value)) => Ok(value),
        _ => Err(problem(StatusCode::GATEWAY_TIMEOUT, "the agent did not answer in time".to_owned())),
    }
}

fn problem(status: StatusCode, error: String) -> Response {
    (status, Json(Problem { error })).into_response()
}
