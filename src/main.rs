//! The `hitchpost` command. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    hitchpost::cli::main()
}
