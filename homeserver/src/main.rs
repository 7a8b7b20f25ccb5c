//! The program `roost`.

#![forbid(unsafe_code)]

/// Long-polls by the thousand: jemalloc keeps each a third smaller than the system's allocator does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    roost::cli::main(roost::app::serve)
}
