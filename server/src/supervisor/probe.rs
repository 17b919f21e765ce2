//! One question of a check, asked once: whether a worker has a session, a command ends with 0, somebody listens, a page answers, or it
//! has said so itself. When and how often it is asked, and what becomes of the answer, is decided elsewhere.

use bursar::processes::Probe;
use bursar_supervisor::Program;
use http::{
    Request, Uri,
    header::{CONNECTION, HOST, USER_AGENT},
};
use http_body_util::Empty;
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{ffi::OsString, pin::pin, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// A worker that is asked about.
pub trait Asked: Send + Sync {
    /// Whether a process of its tree has a session at the broker that lives.
    fn has_session(&self) -> bool;

    /// Where its commands are run: the environment, directory and user are taken from this.
    fn program(&self) -> Program;

    /// Whether it has said itself what the check waits for, by `sd_notify`.
    fn notified(&self) -> bool;
}

/// Asks, and waits for the answer, but no longer than that. An error: what is wrong, for people. Dropped, a command is killed with all
/// it has started.
pub async fn ask(probe: &Probe, longest: Duration, of: &dyn Asked) -> Result<(), String> {
    let answer = async {
        match probe {
            Probe::Session => said(of.has_session(), "it has no session at the broker"),
            Probe::Notify => said(of.notified(), "it has not said so by sd_notify"),
            Probe::Command(command) => run(command, of.program()).await,
            Probe::Tcp(address) => connect(address).await.map(drop),
            Probe::Http(url) => get(url).await,
        }
    };
    let late = || format!("{} did not answer within {} ms", describe(probe), longest.as_millis());
    timeout(longest, answer).await.unwrap_or_else(|_| Err(late()))
}

fn describe(probe: &Probe) -> String {
    match probe {
        Probe::Session | Probe::Notify => "the worker".to_owned(),
        Probe::Command(command) => format!("the command `{}`", command.join(" ")),
        Probe::Tcp(address) => address.clone(),
        Probe::Http(url) => url.clone(),
    }
}

fn said(is_so: bool, otherwise: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(otherwise.to_owned()) }
}

async fn run(command: &[String], surroundings: Program) -> Result<(), String> {
    let [program, arguments @ ..] = command else { return Err("there is no command to ask".to_owned()) };
    let arguments = arguments.iter().map(OsString::from).collect();
    let program = Program { command: program.into(), arguments, ..surroundings };
    let ended = program.run().await.map_err(|error| format!("`{}` cannot be run: {error}", command.join(" ")))?;
    if ended.exit.is_success() {
        return Ok(());
    }
    let words = ended.last_lines.last().map(|line| format!(": {line}")).unwrap_or_default();
    Err(format!("`{}` {}{words}", command.join(" "), ended.exit))
}

async fn connect(address: &str) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("nobody to be reached at {address}: {error}"))
}

/// One request on one connection, of which only the status is read.
async fn get(url: &str) -> Result<(), String> {
    let (address, request) = request(url).ok_or_else(|| format!("{url:?} is no address such as http://127.0.0.1:8080/health"))?;
    let stream = connect(&address).await?;
    let failed = |error: hyper::Error| format!("{url} did not answer as HTTP does: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let mut answer = pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It has ended: the answer is there, or will never be.
        _ = connection => answer.await,
    };
    let status = answer.map_err(failed)?.status();
    let is_fine = (200..400).contains(&status.as_u16());
    said(is_fine, &format!("{url} answered {status}"))
}

/// Where to connect, and what to ask there.
fn request(url: &str) -> Option<(String, Request<Empty<Bytes>>)> {
    let url: Uri = url.parse().ok()?;
    let authority = url.authority().filter(|_| url.scheme_str() == Some("http"))?;
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, authority.as_str()).header(CONNECTION, "close").header(USER_AGENT, "bursar");
    Some((address, request.body(Empty::new()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// More than anything here takes.
    const LONG: Duration = Duration::from_secs(30);

    struct Worker {
        is_there: bool,
    }

    impl Asked for Worker {
        fn has_session(&self) -> bool {
            self.is_there
        }

        fn program(&self) -> Program {
            Program::default()
        }

        fn notified(&self) -> bool {
            self.is_there
        }
    }

    async fn ask_long(probe: Probe) -> Result<(), String> {
        ask(&probe, LONG, &Worker { is_there: false }).await
    }

    #[tokio::test]
    async fn what_the_worker_says_is_the_answer() {
        for probe in [Probe::Session, Probe::Notify] {
            assert_eq!(ask(&probe, LONG, &Worker { is_there: true }).await, Ok(()));
            let problem = ask(&probe, LONG, &Worker { is_there: false }).await.unwrap_err();
            assert!(problem.starts_with("it has "), "{problem}");
        }
    }

    #[tokio::test]
    async fn who_listens_is_there_and_who_does_not_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(ask_long(Probe::Tcp(address.clone())).await, Ok(()));
        drop(listener);
        let problem = ask_long(Probe::Tcp(address.clone())).await.unwrap_err();
        assert!(problem.starts_with(&format!("nobody to be reached at {address}: Connection refused")), "{problem}");
    }

    /// Answers one request with this. What it was asked.
    async fn answer(listener: &TcpListener, with: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
        }
        stream.write_all(with.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    }

    #[tokio::test]
    async fn a_page_answers_with_its_status() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/health?deep=1");
        for (status, is_fine) in [
            ("200 OK", true),
            ("204 No Content", true),
            ("302 Found", true),
            ("404 Not Found", false),
            ("503 Service Unavailable", false),
        ] {
            let response = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
            let (said, asked) = tokio::join!(ask_long(Probe::Http(url.clone())), answer(&listener, &response));
            assert!(
                asked.starts_with("GET /health?deep=1 HTTP/1.1\r\n") && asked.contains(&format!("host: {address}\r\n")),
                "{asked}"
            );
            assert_eq!(said, if is_fine { Ok(()) } else { Err(format!("{url} answered {status}")) });
        }
        let (said, _) = tokio::join!(ask_long(Probe::Http(url.clone())), answer(&listener, "what?\r\n\r\n"));
        assert!(said.unwrap_err().starts_with(&format!("{url} did not answer as HTTP does")));
    }

    #[tokio::test]
    async fn who_is_silent_is_waited_for_no_longer_than_was_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let short = Duration::from_millis(10);
        let problem = ask(&Probe::Http(url.clone()), short, &Worker { is_there: true }).await.unwrap_err();
        assert_eq!(problem, format!("{url} did not answer within 10 ms"));
    }

    #[tokio::test]
    async fn a_question_that_makes_no_sense_says_so() {
        for url in ["127.0.0.1:80", "https://127.0.0.1/", "http://", "/health"] {
            let problem = ask_long(Probe::Http(url.to_owned())).await.unwrap_err();
            assert!(problem.contains("is no address such as"), "{url}: {problem}");
        }
        assert_eq!(ask_long(Probe::Command(Vec::new())).await, Err("there is no command to ask".to_owned()));
    }
}
