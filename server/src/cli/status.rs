//! `bursar status`: what the broker says of itself, and who is connected.

use super::{
    Client, Signals,
    failure::Failure,
    output::{Output, span},
};
use bursar_proto::v1::registry::{SessionInfo, StatusReply};
use serde_json::{Value, json};

/// Show the broker and its sessions
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar status\n  bursar status --json | jq .sessions_total")]
pub struct Args {
    #[command(flatten)]
    client: Client,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    super::session(&args.client, Signals::End, async |manager, output| {
        let status = manager.status().await?;
        match output.json {
            true => output.document(&document(status)),
            false => people(output, &manager.address(), status),
        }
    })
}

fn document(status: StatusReply) -> Value {
    let StatusReply {
        version,
        server_id,
        boot_epoch,
        uptime_ms,
        pid,
        connections,
        objects,
        sessions,
        sessions_total,
        engine,
        survives,
    } = status;
    let sessions: Vec<Value> = sessions.into_iter().map(session).collect();
    json!({
        "version": version, "server_id": hex(&server_id), "boot_epoch": boot_epoch, "uptime_ms": uptime_ms, "pid": pid,
        "connections": connections, "objects": objects, "sessions": sessions, "sessions_total": sessions_total,
        "engine": engine, "survives": survives,
    })
}

fn session(session: SessionInfo) -> Value {
    let SessionInfo { id, label, host, pid, peer, state, age_ms, silent_ms, in_flight } = session;
    json!({
        "id": id, "label": label, "host": host, "pid": pid, "peer": peer, "state": state, "age_ms": age_ms,
        "silent_ms": silent_ms, "in_flight": in_flight,
    })
}

fn people(output: &mut Output, address: &str, status: StatusReply) -> Result<(), Failure> {
    output.pairs(&[
        ("address", address.to_owned()),
        ("version", status.version),
        ("pid", status.pid.to_string()),
        ("up for", span(status.uptime_ms)),
        ("engine", format!("{} (what is acknowledged survives: {})", status.engine, status.survives)),
        ("objects", status.objects.to_string()),
        ("connections", status.connections.to_string()),
        ("sessions", status.sessions_total.to_string()),
    ])?;
    let row = |session: SessionInfo| {
        vec![
            session.id.to_string(),
            super::output::cell(&session.label),
            super::output::cell(&session.host),
            session.pid.to_string(),
            session.state,
            span(session.age_ms),
            span(session.silent_ms),
            session.in_flight.to_string(),
        ]
    };
    let rows: Vec<_> = status.sessions.into_iter().map(row).collect();
    output.line("")?;
    output.table(&["SESSION", "LABEL", "HOST", "PID", "STATE", "AGE", "SILENT", "IN FLIGHT"], &rows)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
