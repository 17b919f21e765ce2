//! The console sessions of the README, run as they stand: `$ ` is a command of one shell, what follows is what it prints.

use crate::harness::{BURSAR, Broker};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

#[test]
fn the_readme_says_what_happens() {
    if Command::new("python3").arg("--version").output().is_err() {
        return crate::harness::skip("the_readme_says_what_happens", "python3", "install Python 3");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<&str> = readme.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let (mut commands, mut expected) = (String::new(), String::new());
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => commands += &format!("{command}\n"),
                None => expected += &format!("{line}\n"),
            }
        }
        assert_eq!(run(&commands), expected, "{commands}");
    }
}

fn run(commands: &str) -> String {
    let broker = Broker::start();
    let path = format!("{}:{}", Path::new(BURSAR).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh")
        .arg("-e")
        .env("PATH", path)
        .env("BURSAR_ADDRESS", broker.unix())
        .env("BURSAR_AUTHKEY_FILE", broker.key_file())
        .current_dir(broker.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success(), "{commands}");
    String::from_utf8(output.stdout).unwrap()
}
