//! The binary `bursar`: the broker, and a client for people and scripts.

fn main() -> std::process::ExitCode {
    bursar_server::cli::run()
}
