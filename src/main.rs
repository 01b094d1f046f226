//! The `hitchpost` command. Everything is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A proxied call makes many small, short-lived allocations on several threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    hitchpost::cli::main()
}
