//! The benchmark works. Not how fast: a figure depends on the machine, a test must not.

use std::process::Command;

/// Without other peers, so that it does not depend on what is installed.
fn bench(arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar-bench"));
    let output = command.args(["--quick", "--peers", "echo"]).args(arguments).output().unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.success(), said, errors)
}

#[test]
fn every_measure_gives_a_figure() {
    let (is_success, said, errors) = bench(&[]);
    assert!(is_success, "{said}\n{errors}");
    assert_eq!(said.matches("\n  bursar ").count(), 16, "{said}");
    assert_eq!(said.matches("\n  tokio echo ").count(), 1, "{said}");
    assert_eq!(errors, "");
}

#[test]
fn a_peer_that_is_missing_is_named_and_left_out() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar-bench"));
    let output = command.args(["--quick", "--only", "put (p50"]).env("PATH", "/nonexistent").output().unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{said}\n{errors}");
    for peer in ["python manager", "redis stream", "redis pub/sub", "redis pub/sub, its client", "nats core"] {
        assert!(errors.contains(&format!("MISSING: {peer} is left out: ")), "{errors}");
    }
    assert!(said.contains("\n  bursar ") && !said.contains("redis"), "{said}");
}

#[test]
fn a_measure_that_does_not_exist_is_refused() {
    let (is_success, said, errors) = bench(&["--only", "nonsense"]);
    assert!(!is_success);
    assert_eq!(said, "");
    assert!(errors.contains("no measure") && errors.contains("queue 8+8, batched"), "{errors}");
}
