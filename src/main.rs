//! The `portent` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    portent::cli::run()
}
