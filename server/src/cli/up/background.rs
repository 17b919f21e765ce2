//! `bursar up --detach`: the same in the background, in a session of its own, with all its output in a file.

use super::Args;
use crate::{
    cli::{
        Client, child,
        failure::{Exit, Failure},
        not_in_time,
        output::Output,
        processes::{open, ps, settle::Settling},
    },
    config::{self, Config},
};
use bursar::Manager;
use ring::digest::{SHA256, digest};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

/// How often one looks whether it listens: nobody tells.
const LOOK: Duration = Duration::from_millis(20);
/// So much of its output is shown when it does not come up: what a terminal shows at once.
const LAST_LINES: usize = 20;
const LAST_BYTES: u64 = 16 << 10;
/// A log that has more when something is started is put aside: enough for weeks of what people run so, and little on a disk.
const LOG_MAX_BYTES: u64 = 10 << 20;
/// Bytes of the hash in the name of a log: two configurations of one user in folders of the same name do not share it by chance.
const HASH_BYTES: usize = 4;

/// Starts it, and waits until its processes are up or have failed.
pub fn run(args: &Args, file: &Path, config: &Config) -> Result<(), Failure> {
    let path = log_path(args, file)?;
    let failed = |error| Failure::new(Exit::Failed, format!("up: {} cannot be written: {error}", path.display()));
    put_aside(&path).map_err(failed)?;
    // What runs before stays in it: one wants to know tomorrow why it ended yesterday.
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
    let begins = log.metadata().map_err(failed)?.len();
    let started = child::once_more(&arguments(args, file), log);
    let mut child =
        started.map_err(|error| Failure::new(Exit::Failed, format!("up: bursar cannot be started again: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(async {
        let client = Client::of_broker(config);
        let manager = listening(&client, &mut child).await.map_err(|failure| with_last_lines(failure, &path, begins))?;
        let outcome = settle(&manager, args.wait, &path).await;
        manager.close().await;
        let advice =
            format!("the others run on: `bursar ps` shows them, {} has their output, `bursar down` stops them", path.display());
        outcome.map_err(|failure| Failure { message: format!("up: {}\n{advice}", failure.message), ..failure })
    })
}

fn log_path(args: &Args, file: &Path) -> Result<PathBuf, Failure> {
    match &args.log_file {
        Some(path) => Ok(path.clone()),
        None => {
            let directory = config::runtime_dir().map_err(|error| Failure::new(Exit::Failed, format!("up: {error}")))?;
            Ok(directory.join(log_name(file)))
        }
    }
}

/// One for each configuration: `up-app-1a2b3c4d.log`, by the folder that it is in.
fn log_name(file: &Path) -> String {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let hash = digest(&SHA256, file.as_os_str().as_bytes());
    let hash: String = hash.as_ref()[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    let words = ["up", &folder, &hash].map(|word| word.to_owned());
    format!("{}.log", words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-"))
}

/// A log that has grown large is `.1` from now on, and what was that before is gone.
fn put_aside(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() > LOG_MAX_BYTES => {
            let mut aside = path.as_os_str().to_owned();
            aside.push(".1");
            fs::rename(path, aside)
        }
        _ => Ok(()),
    }
}

/// The same, as far as it matters there.
fn arguments(args: &Args, file: &Path) -> Vec<OsString> {
    let fixed = ["up", "--in-background", "--timestamps", "--color", "never", "--config"];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
    arguments.push(file.into());
    if let Some(level) = &args.log_level {
        arguments.extend(["--log-level".into(), level.into()]);
    }
    arguments.extend(args.name.iter().map(OsString::from));
    arguments
}

/// Until this very broker listens: one that was there before would answer, too.
async fn listening(client: &Client, child: &mut Child) -> Result<Manager, Failure> {
    loop {
        let ended =
            child.try_wait().map_err(|error| Failure::new(Exit::Failed, format!("up: it cannot be waited for: {error}")))?;
        if let Some(status) = ended {
            let exit = status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .filter(|code| *code != 0)
                .map_or(Exit::Failed, Exit::OfCommand);
            return Err(Failure { exit, message: "up: it did not come up".into() });
        }
        match client.connect().await {
            Ok(manager) if manager.status().await?.pid == child.id() => return Ok(manager),
            Ok(manager) => manager.close().await,
            Err(failure) if failure.exit == Exit::Unreachable => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn settle(manager: &Manager, wait: Duration, log: &Path) -> Result<(), Failure> {
    let supervise = open(manager).await?;
    let settling = Settling::of_all(&supervise, &[], |_| {});
    let late = || not_in_time("the processes were not up".into());
    let settled = tokio::time::timeout(wait, settling.up()).await.unwrap_or_else(|_| Err(late()));
    let mut output = Output::stdout(false);
    ps::show(&supervise, &[], &mut output).await?;
    output.line(format_args!("the output of all is in {}", log.display()))?;
    output.flush()?;
    settled.map(drop)
}

fn with_last_lines(failure: Failure, path: &Path, begins: u64) -> Failure {
    let lines: String = last_lines(path, begins).iter().map(|line| format!("\n  {line}")).collect();
    Failure { message: format!("{}; the last lines of {}:{lines}", failure.message, path.display()), ..failure }
}

/// What was written behind this place, as far as it is shown.
fn last_lines(path: &Path, begins: u64) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let from = begins.max(fs::metadata(path)?.len().saturating_sub(LAST_BYTES));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_has_a_log_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let name = |folder: &str| {
            let folder = directory.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("bursar.toml"), "").unwrap();
            log_name(&folder.join("../app/./bursar.toml"))
        };
        let first = name("one/app");
        assert!(first.starts_with("up-app-") && first.ends_with(".log") && first.len() == "up-app-1a2b3c4d.log".len(), "{first}");
        assert_eq!(first, log_name(&directory.path().join("one/app/bursar.toml")));
        assert_ne!(first, name("two/app"));
    }

    #[test]
    fn a_large_log_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("up.log");
        put_aside(&path).unwrap();
        File::create(&path).unwrap().set_len(LOG_MAX_BYTES).unwrap();
        put_aside(&path).unwrap();
        assert!(path.exists(), "there is room in it");
        File::create(&path).unwrap().set_len(LOG_MAX_BYTES + 1).unwrap();
        put_aside(&path).unwrap();
        assert!(!path.exists() && directory.path().join("up.log.1").exists());
    }

    #[test]
    fn only_the_end_of_this_run_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("up.log");
        let before = "an earlier run\n";
        let lines: String = (0..30).map(|number| format!("line {number}\n")).collect();
        fs::write(&path, format!("{before}{lines}")).unwrap();
        let shown = last_lines(&path, before.len() as u64);
        assert_eq!((shown.len(), shown[0].as_str(), shown[19].as_str()), (20, "line 10", "line 29"));
        fs::write(&path, format!("{before}one\n")).unwrap();
        assert_eq!(last_lines(&path, before.len() as u64), ["one"]);
        assert!(last_lines(&directory.path().join("nothing"), 0).is_empty());
    }
}
