//! The binary `bursar`: the broker, and a client for people and scripts.

fn main() -> std::process::ExitCode {
    // First of all: what stands between a broker and its workers is this program, too.
    bursar_supervisor::enter();
    bursar_server::cli::run()
}
