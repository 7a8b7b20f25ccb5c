//! Every end-to-end test, in one program, a module a part.
//!
//! **Invariant:** a test that measures, kills or loads asks for the machine alone (`turn::alone`).

mod accounts;
mod e2ee;
mod hmac;
mod rooms;
mod sync;
