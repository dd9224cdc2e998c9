//! Real receivers: an HTTP server of this test's own, slow, dead and unwilling, and real programs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::post;
use ftagent_alert::Alerts;
use ftagent_alert::Notice;
use ftagent_alert::Pace;
use ftagent_alert::Settings;
use ftagent_alert::Webhook;
use ftagent_alert::What;
use ftagent_alert::signature;
use ftagent_core::effect::Notice as CoreNotice;
use ftagent_core::incident::Incident;
use ftagent_core::incident::Severity;
use tokio::task::JoinHandle;

const SECRET: &str = "0123456789abcdef";
const PACE: Pace = Pace { answer_ms: 1_000, retry_ms: 20, failures: 5, probe_ms: 300, change_ms: 30_000 };

/// What the server does with one request.
#[derive(Clone, Copy)]
struct Reply {
    status: u16,
    after_ms: u64,
    retry_after: Option<&'static str>,
}

const fn status(status: u16) -> Reply {
    Reply { status, after_ms: 0, retry_after: None }
}

/// A request as it came.
#[derive(Clone)]
struct Came {
    at: Instant,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Came {
    fn notice(&self) -> Notice {
        serde_json::from_slice(&self.body).expect("a notice is JSON of a known form")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("plain text")
    }
}

/// The server; it answers from a script, then with 200.
#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<VecDeque<Reply>>>,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Server {
    async fn start(script: &[Reply]) -> (Self, SocketAddr) {
        let server =
            Self { script: Arc::new(Mutex::new(script.iter().copied().collect())), ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let at = listener.local_addr().expect("it is bound");
        let (script, came) = (Arc::clone(&server.script), Arc::clone(&server.came));
        let answer = async move |headers: HeaderMap, body: Bytes| {
            came.lock().expect("nobody panics").push(Came {
                at: Instant::now(),
                headers,
                body: body.to_vec(),
            });
            let reply = script.lock().expect("nobody panics").pop_front().unwrap_or(status(200));
            tokio::time::sleep(Duration::from_millis(reply.after_ms)).await;
            let mut headers = HeaderMap::new();
            if let Some(value) = reply.retry_after {
                headers.insert("retry-after", value.parse().expect("a header"));
            }
            (StatusCode::from_u16(reply.status).expect("a status"), headers).into_response()
        };
        let routes = Router::new().route("/hook", post(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (server, at)
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().expect("nobody panics").clone()
    }

    /// Waits until so many requests came.
    async fn wait(&self, requests: usize) -> Vec<Came> {
        let end = Instant::now() + Duration::from_secs(30);
        while self.came().len() < requests {
            assert!(Instant::now() < end, "only {} of {requests} requests came", self.came().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.came()
    }
}

fn settings(dir: &Path, at: SocketAddr) -> Settings {
    let secret = dir.join("secret");
    std::fs::write(&secret, SECRET).expect("writable");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    Settings {
        webhook: Some(Webhook { url: format!("http://{at}/hook"), secret_file: Some(secret) }),
        state_dir: dir.join("state"),
        pace: PACE,
        ..Settings::default()
    }
}

fn start(settings: &Settings) -> (Alerts, JoinHandle<()>) {
    ftagent_alert::start(settings).expect("the settings are good").expect("there is somebody to tell")
}

fn incident(id: u64) -> Arc<Incident> {
    Arc::new(Incident { id, server: "node".into(), severity: Severity::High, ..Incident::default() })
}

fn one_attack(alerts: &Alerts, id: u64) {
    alerts.tell(&CoreNotice::IncidentOpened(incident(id)));
    alerts.tell(&CoreNotice::IncidentChanged(incident(id)));
    alerts.tell(&CoreNotice::IncidentClosed(incident(id)));
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The notices without repetitions, as `what incident`.
fn told(came: &[Came]) -> Vec<(What, u64)> {
    let mut seen = std::collections::HashSet::new();
    let fresh = came.iter().filter(|came| seen.insert(came.header("x-ftagent-delivery").to_owned()));
    fresh.map(Came::notice).map(|notice| (notice.what, notice.incident)).collect()
}

#[tokio::test]
async fn l01_one_attack_is_opened_and_closed_once_each_and_signed() {
    let (dir, (server, at)) = (dir(), Server::start(&[]).await);
    let (alerts, _task) = start(&settings(dir.path(), at));
    one_attack(&alerts, 1);
    let came = server.wait(2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.came().len(), 2, "nothing is repeated");
    assert_eq!(told(&came), [(What::Opened, 1), (What::Closed, 1)]);
    assert_eq!(came[0].notice().id, came[1].notice().id);
    for request in &came {
        let seconds = request.header("x-ftagent-timestamp").parse().expect("seconds");
        let expected = format!("v1={}", signature(SECRET.as_bytes(), seconds, &request.body));
        assert_eq!(request.header("x-ftagent-signature"), expected);
        assert_eq!(request.header("content-type"), "application/json");
        assert!(!String::from_utf8_lossy(&request.body).contains(SECRET));
    }
}

#[tokio::test]
async fn l03_telling_does_not_wait_for_a_receiver_that_needs_8_s() {
    let slow = Reply { status: 200, after_ms: 8_000, retry_after: None };
    let (dir, (server, at)) = (dir(), Server::start(&[slow]).await);
    let patient = Settings { pace: Pace { answer_ms: 10_000, ..PACE }, ..settings(dir.path(), at) };
    let (alerts, _task) = start(&patient);
    alerts.tell(&CoreNotice::IncidentOpened(incident(1)));
    server.wait(1).await;
    let begun = Instant::now();
    for id in 2..102 {
        alerts.tell(&CoreNotice::IncidentOpened(incident(id)));
        tokio::task::yield_now().await;
    }
    let took = begun.elapsed();
    println!("100 incidents told in {took:?} while the receiver thinks");
    assert!(took < Duration::from_secs(4), "{took:?}");
    // It was slow, not dead: nothing is repeated.
    let came = server.wait(101).await;
    assert_eq!(came.len(), 101);
    assert_eq!(told(&came).len(), 101);
    assert!(came[1].at - came[0].at >= Duration::from_secs(8), "in order, one after the other");
    assert_eq!(alerts.lost_full(), 0);
}

#[tokio::test]
async fn l04_a_dead_receiver_costs_nothing_and_does_not_hold_up_the_other() {
    let dir = dir();
    // A port that nobody listens at.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback");
    let written = dir.path().join("told");
    let program = program(dir.path(), &format!("cat >> {}", written.display()));
    let both = Settings { exec: vec![program], ..settings(dir.path(), dead) };
    let (alerts, task) = start(&both);
    one_attack(&alerts, 1);
    let lines = lines(&written, 2).await;
    assert_eq!(lines.iter().map(|notice| notice.what).collect::<Vec<_>>(), [What::Opened, What::Closed]);
    let end = Instant::now() + Duration::from_secs(20);
    while !alerts.told()[0].open {
        assert!(Instant::now() < end, "{:?}", alerts.told());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((alerts.told()[0].waiting, alerts.told()[1].waiting), (2, 0));
    assert!(alerts.told()[0].trouble.as_deref().is_some_and(|why| why.contains("refused")));
    // Ending does not wait for it either.
    let begun = Instant::now();
    drop(alerts);
    task.await.expect("it does not panic");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn l06_after_five_failures_there_is_a_probe_and_success_lets_all_through() {
    let script = [status(500); 6];
    let (dir, (server, at)) = (dir(), Server::start(&script).await);
    let (alerts, _task) = start(&settings(dir.path(), at));
    one_attack(&alerts, 1);
    one_attack(&alerts, 2);
    let came = server.wait(10).await;
    let gap_ms = |at: usize| (came[at].at - came[at - 1].at).as_millis();
    assert!(gap_ms(5) >= 290, "the breaker is open: {} ms", gap_ms(5));
    assert!(gap_ms(6) >= 290, "a failed probe opens it again: {} ms", gap_ms(6));
    let expected = [(What::Opened, 1), (What::Closed, 1), (What::Opened, 2), (What::Closed, 2)];
    assert_eq!(told(&came), expected);
}

#[tokio::test]
async fn l07_a_client_error_is_not_retried() {
    let script = [status(400), status(404), status(302)];
    let (dir, (server, at)) = (dir(), Server::start(&script).await);
    let (alerts, _task) = start(&settings(dir.path(), at));
    one_attack(&alerts, 1);
    one_attack(&alerts, 2);
    server.wait(4).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.came().len(), 4);
    let told = &alerts.told()[0];
    assert_eq!((told.refused, told.delivered, told.failed, told.open), (3, 1, 0, false));
}

#[tokio::test]
async fn l08_a_server_error_and_a_timeout_are_retried_until_they_are_delivered() {
    let late = Reply { status: 200, after_ms: 3_000, retry_after: None };
    let script = [status(500), status(502), late];
    let (dir, (server, at)) = (dir(), Server::start(&script).await);
    let (alerts, _task) = start(&settings(dir.path(), at));
    one_attack(&alerts, 1);
    let came = server.wait(5).await;
    assert_eq!(told(&came), [(What::Opened, 1), (What::Closed, 1)]);
    let bodies: Vec<_> = came[..4].iter().map(|came| &came.body).collect();
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "every try says the same");
    assert_eq!(alerts.told()[0].failed, 3);
}

#[tokio::test]
async fn l09_retry_after_is_honoured_and_nonsense_in_it_is_tolerated() {
    let asks = |value| Reply { status: 503, after_ms: 0, retry_after: Some(value) };
    let script = [asks("1"), asks("next tuesday"), status(503)];
    let (dir, (server, at)) = (dir(), Server::start(&script).await);
    let (alerts, _task) = start(&settings(dir.path(), at));
    alerts.tell(&CoreNotice::IncidentOpened(incident(1)));
    let came = server.wait(4).await;
    let gap_ms = |at: usize| (came[at].at - came[at - 1].at).as_millis();
    assert!(gap_ms(1) >= 990, "{} ms", gap_ms(1));
    assert!(gap_ms(2) < 900, "{} ms", gap_ms(2));
}

#[tokio::test]
async fn l10_what_could_not_be_told_is_told_after_a_restart_in_order() {
    let dir = dir();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback");
    let (alerts, task) = start(&settings(dir.path(), dead));
    one_attack(&alerts, 1);
    alerts.tell(&CoreNotice::IncidentOpened(incident(2)));
    drop(alerts);
    task.await.expect("it does not panic");
    let (server, at) = Server::start(&[]).await;
    let (_alerts, _task) = start(&settings(dir.path(), at));
    let came = server.wait(4).await;
    let expected = [(What::Opened, 1), (What::Closed, 1), (What::Opened, 2), (What::Closed, 2)];
    assert_eq!(told(&came), expected, "and what was open when we ended is over");
    assert_eq!(came[0].notice().node_id, came[3].notice().node_id);
}

#[tokio::test]
async fn l05_an_incident_that_a_killed_agent_left_open_ends_at_the_receiver() {
    let (dir, (server, at)) = (dir(), Server::start(&[]).await);
    let settings = settings(dir.path(), at);
    let (alerts, task) = start(&settings);
    alerts.tell(&CoreNotice::IncidentOpened(incident(9)));
    server.wait(1).await;
    let end = Instant::now() + Duration::from_secs(10);
    while alerts.told()[0].delivered == 0 {
        assert!(Instant::now() < end, "{:?}", alerts.told());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    task.abort();
    let _killed = task.await;
    let (_alerts, _task) = start(&settings);
    let came = server.wait(2).await;
    let (opened, closed) = (came[0].notice(), came[came.len() - 1].notice());
    assert_eq!((opened.id.clone(), What::Closed), (closed.id, closed.what));
    assert_eq!(closed.closed_because, Some(ftagent_alert::Because::AgentEnded));
}

/// A program that does what a shell script says. The shell is the test's, not ours.
fn program(dir: &Path, script: &str) -> String {
    let path = dir.join(format!("tell-{}", script.len()));
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writable");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    path.display().to_string()
}

async fn lines(path: &PathBuf, least: usize) -> Vec<Notice> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.matches('\n').count();
        if whole >= least {
            return text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        }
        assert!(Instant::now() < end, "only {whole} lines: {text}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn exec_only(dir: &Path, exec: &[&str], names: bool) -> Settings {
    Settings {
        exec: exec.iter().map(|word| (*word).to_owned()).collect(),
        names,
        state_dir: dir.join("state"),
        pace: PACE,
        ..Settings::default()
    }
}

#[tokio::test]
async fn s02_shell_characters_in_any_field_are_inert() {
    let dir = dir();
    let (written, touched) = (dir.path().join("told"), dir.path().join("touched"));
    let program = program(
        dir.path(),
        &format!("cat >> {}; echo \"$#:$1\" > {}.args", written.display(), written.display()),
    );
    let evil = format!("$(touch {0}) `touch {0}`; touch {0} | 'x\"\n{{}} --flag", touched.display());
    let (alerts, _task) = start(&exec_only(dir.path(), &[&program, "$(touch /nowhere) *"], true));
    let evil: Arc<str> = evil.as_str().into();
    let evil_incident = Incident {
        id: 1,
        server: Arc::clone(&evil),
        game: Arc::clone(&evil),
        says: Arc::clone(&evil),
        reason: Arc::clone(&evil),
        ..Incident::default()
    };
    alerts.tell(&CoreNotice::IncidentOpened(Arc::new(evil_incident)));
    let told = lines(&written, 1).await;
    assert_eq!((&*told[0].server, &*told[0].says), (&*evil, &*evil), "they arrive as they are");
    assert!(!touched.exists(), "and nothing reads them");
    let arguments = std::fs::read_to_string(format!("{}.args", written.display())).expect("it ran");
    assert_eq!(arguments, "1:$(touch /nowhere) *\n");
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let dir = dir();
    let pids = dir.path().join("pids");
    let program = program(dir.path(), &format!("sleep 600 & echo $! >> {}; wait", pids.display()));
    let (alerts, task) = start(&exec_only(dir.path(), &[&program], false));
    alerts.tell(&CoreNotice::IncidentOpened(incident(1)));
    let end = Instant::now() + Duration::from_secs(20);
    while alerts.told()[0].failed < 2 {
        assert!(Instant::now() < end, "{:?}", alerts.told());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(alerts);
    task.await.expect("it does not panic");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = std::fs::read_to_string(&pids).expect("it ran");
    // The last one may have been cut off by our own end, which only kills the program itself.
    for pid in started.lines().take(2) {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{pid} still runs: {stat}");
    }
    let end_of_rest = started.lines().skip(2).filter_map(|pid| pid.parse().ok());
    end_of_rest.for_each(|pid: i32| {
        let _ = rustix::process::Pid::from_raw(pid)
            .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
    });
}

#[tokio::test]
async fn settings_that_cannot_work_are_found_at_the_start() {
    let dir = dir();
    let at: SocketAddr = "127.0.0.1:9".parse().expect("an address");
    let good = settings(dir.path(), at);
    let loose = good.webhook.clone().and_then(|webhook| webhook.secret_file).expect("it has one");
    std::fs::set_permissions(&loose, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let said = |settings: &Settings| {
        ftagent_alert::start(settings).err().map_or_else(String::new, |e| e.to_string())
    };
    assert!(said(&good).contains("mode 0644"), "{}", said(&good));
    assert!(said(&exec_only(dir.path(), &["/nowhere/tell"], false)).contains("/nowhere/tell"));
    let clear = Webhook { url: "http://hooks.example/token".to_owned(), secret_file: None };
    let clear = said(&Settings { webhook: Some(clear), exec: Vec::new(), ..good.clone() });
    assert!(clear.contains("only `https:`") && !clear.contains("token"), "{clear}");
    assert!(ftagent_alert::start(&Settings::default()).expect("nothing is wrong").is_none());
}
